//! Planted bugs: small edits of the core, each of which breaks a sentence of the contract.
//!
//! A `.bug` file names the sentence, the file, the text to take out and the text to put in its
//! place. They are applied to a copy of the sources, so the core stays clean, and a bug whose text
//! is no longer found is an error: it must be planted anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One planted bug.
#[derive(Clone, Debug)]
pub struct Bug {
    /// Its file's name.
    pub name: String,
    /// The sentence of the contract that it breaks.
    pub breaks: String,
    /// The file that it edits, from the root of the project.
    pub file: PathBuf,
    /// What stands there.
    pub old: String,
    /// What the bug makes of it.
    pub new: String,
}

/// The root of the project's sources.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root")
}

/// All planted bugs, by name.
///
/// # Errors
///
/// A file cannot be read, or is not of the form.
pub fn all() -> io::Result<Vec<Bug>> {
    let mut bugs = Vec::new();
    for entry in fs::read_dir(root().join("tests/planted"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "bug") {
            bugs.push(parse(&path)?);
        }
    }
    bugs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(bugs)
}

fn parse(path: &Path) -> io::Result<Bug> {
    let text = fs::read_to_string(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let form = || io::Error::other(format!("{name}: not of the form breaks:, file:, ---, +++"));
    let (head, edit) = text.split_once("\n---\n").ok_or_else(form)?;
    let (old, new) = edit.split_once("\n+++\n").ok_or_else(form)?;
    let field = |key: &str| {
        head.lines().find_map(|line| line.strip_prefix(key)).map(str::trim).ok_or_else(form)
    };
    Ok(Bug {
        breaks: field("breaks:")?.to_owned(),
        file: PathBuf::from(field("file:")?),
        old: old.to_owned(),
        new: new.trim_end_matches('\n').to_owned(),
        name: name.clone(),
    })
}

impl Bug {
    /// `source` with the bug in it.
    ///
    /// # Errors
    ///
    /// The text to take out does not stand there exactly once.
    pub fn plant(&self, source: &str) -> Result<String, String> {
        match source.matches(&self.old).count() {
            1 => Ok(source.replacen(&self.old, &self.new, 1)),
            found => Err(format!(
                "{}: its text stands {found} times in {}; plant it anew",
                self.name,
                self.file.display()
            )),
        }
    }
}

/// Builds the program `name` from a copy of the sources with the bug in it; gives its place.
///
/// # Errors
///
/// The bug does not find its place, or its sources do not build.
pub fn build(bug: &Bug, name: &str) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let folder = root().join("target/planted");
    let (sources, target) = (folder.join("sources"), folder.join("build"));
    copy_sources(&sources)?;
    let clean = fs::read_to_string(root().join(&bug.file))?;
    fs::write(sources.join(&bug.file), bug.plant(&clean)?)?;
    let built = cargo()
        .current_dir(&sources)
        .args(["build", "--quiet", "--release", "--locked", "--bin", name, "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", "-Awarnings")
        .status();
    fs::write(sources.join(&bug.file), &clean)?;
    if !built?.success() {
        return Err("the sources with the bug do not build".into());
    }
    Ok(target.join("release").join(name))
}

/// The very `cargo` and `rustc` that built this program: whoever asked for another toolchain on the
/// way, be it a dependency with a `rust-toolchain` file of its own, is not heard.
#[must_use]
pub fn cargo() -> Command {
    let cargo = Path::new(env!("CARGO"));
    let mut command = Command::new(cargo);
    let rustc = cargo.with_file_name("rustc");
    if rustc.exists() {
        command.env("RUSTC", rustc);
    }
    command
}

/// Copies what the campaign is built from to `to`, so that bugs can be planted there.
///
/// # Errors
///
/// A file cannot be copied.
pub fn copy_sources(to: &Path) -> io::Result<()> {
    for file in ["Cargo.toml", "Cargo.lock", "clippy.toml", "README.md"] {
        fs::create_dir_all(to)?;
        fs::copy(root().join(file), to.join(file))?;
    }
    for member in ["rpc-macros", "rpc-runtime", "rpc-binder", "examples", "tests", "benches"] {
        copy_folder(&root().join(member), &to.join(member))?;
        prune(&root().join(member), &to.join(member))?;
    }
    Ok(())
}

/// Copies a folder; files that are equal already keep their time, so that nothing is built again.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if path.is_dir() {
            if name != "target" {
                copy_folder(&path, &target)?;
            }
        } else if fs::read(&target).ok() != Some(fs::read(&path)?) {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

/// Removes from the copy what the project no longer has.
fn prune(from: &Path, copy: &Path) -> io::Result<()> {
    for entry in fs::read_dir(copy)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        let original = from.join(name);
        match (path.is_dir(), original.exists()) {
            (true, true) => prune(&original, &path)?,
            (true, false) => fs::remove_dir_all(&path)?,
            (false, true) => {}
            (false, false) => fs::remove_file(&path)?,
        }
    }
    Ok(())
}
