//! The processes of a storm: a program, started again with another part to play; and the moments at
//! which some of them are killed.

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use indicatif::{ProgressBar, ProgressStyle};

/// The moments at which a storm kills: the same for the same seed.
#[derive(Debug)]
pub struct Moments(u64);

impl Moments {
    /// Those of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// How far the killing is.
///
/// # Errors
///
/// Never: the bar's picture is a good one.
pub fn bar(kills: u32) -> Result<ProgressBar, Box<dyn Error>> {
    let bar = ProgressBar::new(u64::from(kills));
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} kills, {eta} left")?);
    Ok(bar)
}

/// Starts a part. It ends when its standard input does.
///
/// # Errors
///
/// The system's word.
pub fn start(arguments: &[&str]) -> Result<Child, Box<dyn Error>> {
    Ok(Command::new(env::current_exe()?).args(arguments).stdin(Stdio::piped()).spawn()?)
}

/// Starts a server's part, and waits until it serves.
///
/// # Errors
///
/// It does not.
pub fn start_server(arguments: &[&str]) -> Result<Child, Box<dyn Error>> {
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

/// Where a later life finds the place of a former one free: no other process has the address, and the
/// system gives the port to nobody who does not ask for it.
#[must_use]
pub fn lasting_place(port: u16) -> String {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    format!("udp://127.{}.{middle}.{low}:{port}", high | 128)
}
