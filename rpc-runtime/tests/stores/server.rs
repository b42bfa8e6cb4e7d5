//! A PostgreSQL server for a test or a bench: made in a folder of its own, gone with it.
#![expect(clippy::disallowed_methods, reason = "somebody has to read what the server says")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A server that listens at a Unix socket in its own folder.
pub(crate) struct Server {
    folder: TempDir,
    programs: PathBuf,
    /// Whose processes they are, if this one's may not be: the server refuses to be root's.
    owner: Option<(u32, u32)>,
    does_flush: bool,
    running: Option<Child>,
}

impl Server {
    /// Starts one, or says why not. A server that does not flush keeps what it wrote over a crash
    /// of its processes, though not of the machine.
    pub(crate) fn start(does_flush: bool) -> Result<Self, String> {
        let programs = programs().ok_or("no PostgreSQL is installed (initdb, postgres)")?;
        let folder = TempDir::with_prefix("pg").map_err(|error| error.to_string())?;
        let mine = fs::metadata(folder.path()).map_err(|error| error.to_string())?;
        let owner = if mine.uid() == 0 {
            let owner = user("postgres").or_else(|| user("nobody"));
            let (user, group) = owner.ok_or("this is root, and there is nobody to be instead")?;
            chown(folder.path(), Some(user), Some(group)).map_err(|error| error.to_string())?;
            Some((user, group))
        } else {
            None
        };
        let mut server = Self { folder, programs, owner, does_flush, running: None };
        let mut make = server.command("initdb");
        make.args(["-A", "trust", "-U", "bank", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
        let made = make.arg(server.data()).output().map_err(|error| error.to_string())?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)));
        }
        server.run()?;
        Ok(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    /// Starts the server's processes, and waits until they serve.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        command.args(["-c", "listen_addresses=", "-c", "max_connections=20"]);
        if !self.does_flush {
            command.args(["-c", "fsync=off"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let mut says = BufReader::new(child.stderr.take().ok_or("it is piped")?);
        self.running = Some(child);
        let mut said = String::new();
        loop {
            let from = said.len();
            if says.read_line(&mut said).map_err(|error| error.to_string())? == 0 {
                return Err(format!("postgres ended: {said}"));
            }
            if said[from..].contains("ready to accept connections") {
                break;
            }
        }
        std::thread::spawn(move || says.read_to_end(&mut Vec::new()));
        Ok(())
    }

    /// Ends all its processes at once, as a crash does.
    pub(crate) fn crash(&mut self) {
        if let Some(mut child) = self.running.take() {
            let id = child.id().to_string();
            let told = Command::new("kill").args(["-QUIT", &id]).status();
            if !told.is_ok_and(|status| status.success()) {
                let _gone = child.kill();
            }
            let _ended = child.wait();
        }
    }

    /// How to connect.
    pub(crate) fn config(&self) -> String {
        format!("host={} user=bank dbname=postgres", self.folder.path().display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

/// Where the programs are: the newest of Debian's, or wherever the path finds them.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    folders.into_iter().find(|folder| is_there(folder, "initdb") && is_there(folder, "postgres"))
}

fn is_there(folder: &Path, program: &str) -> bool {
    folder.join(program).is_file()
}

/// The numbers of a user and its group.
fn user(name: &str) -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}
