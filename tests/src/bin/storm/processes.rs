//! The processes of a storm: this program, started again with another part to play.

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

/// The moments at which a storm kills: the same for the same seed.
#[derive(Debug)]
pub(crate) struct Moments(u64);

impl Moments {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// What carries the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Unix,
    Shm,
}

impl Transport {
    /// A place for a server that was free a moment ago.
    pub(crate) fn place(self, folder: &Path) -> Result<String, Box<dyn Error>> {
        Ok(match self {
            Self::Udp => UdpSocket::bind("127.0.0.1:0")?.local_addr()?.to_string(),
            Self::Tcp => format!("tcp://{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?),
            Self::Unix => format!("unix://{}", folder.join("socket").display()),
            Self::Shm => format!("shm://{}", folder.join("socket").display()),
        })
    }
}

/// How far the killing is.
pub(crate) fn bar(kills: u32) -> Result<ProgressBar, Box<dyn Error>> {
    let bar = ProgressBar::new(u64::from(kills));
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} kills, {eta} left")?);
    Ok(bar)
}

/// Starts a part. It ends when its standard input does.
pub(crate) fn start(arguments: &[&str]) -> Result<Child, Box<dyn Error>> {
    Ok(Command::new(env::current_exe()?).args(arguments).stdin(Stdio::piped()).spawn()?)
}

/// Starts a server's part, and waits until it serves.
pub(crate) fn start_server(arguments: &[&str]) -> Result<Child, Box<dyn Error>> {
    let mut command = Command::new(env::current_exe()?);
    let mut server =
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let stdout = server.stdout.take().ok_or("the server has no standard output")?;
    let mut url = String::new();
    BufReader::new(stdout).read_line(&mut url)?;
    if url.is_empty() {
        server.wait()?;
        return Err("the server did not start".into());
    }
    Ok(server)
}
