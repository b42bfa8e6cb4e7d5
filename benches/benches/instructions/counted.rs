//! Processes under callgrind, and what they took.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use crate::Result;
use crate::pieces::Piece;

/// Calls in the shorter and in the longer run.
const TIMES: [u64; 2] = [500, 2_500];

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// A piece, in a process of its own.
    Alone(Piece),
    /// One side of null calls over a transport.
    Call(&'static str, Side),
}

/// A side of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// Whether there is a valgrind.
pub(crate) fn is_possible() -> bool {
    let asked = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// The instructions that one call takes.
pub(crate) fn count(work: Work) -> Result<u64> {
    let [few, many] = TIMES;
    let (less, more) = (run(work, few)?, run(work, many)?);
    Ok(more.saturating_sub(less) / (many - few))
}

/// The instructions of a process that does it so many times.
fn run(work: Work, times: u64) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("callgrind.out");
    let times = times.to_string();
    match work {
        Work::Alone(piece) => {
            finished(observed(&out)?.args(["do", piece.name(), &times]).spawn()?)?;
        }
        Work::Call(transport, side) => {
            let is_counted = |this| if this == side { observed(&out) } else { itself() };
            let mut serve = is_counted(Side::Server)?;
            let url = format!("{transport}://127.0.0.1:0");
            serve.args(["serve", &url]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut server = serve.spawn()?;
            let mut url = String::new();
            if let Some(said) = server.stdout.take() {
                BufReader::new(said).read_line(&mut url)?;
            }
            let call = is_counted(Side::Client)?.args(["call", url.trim(), &times]).spawn()?;
            let called = finished(call);
            drop(server.stdin.take()); // it serves until then
            finished(server)?;
            called?;
        }
    }
    total(&fs::read_to_string(out)?)
}

fn itself() -> Result<Command> {
    Ok(Command::new(env::current_exe()?))
}

/// This program under callgrind, which writes to `out`.
fn observed(out: &Path) -> Result<Command> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet"]);
    valgrind.arg(format!("--callgrind-out-file={}", out.display()));
    valgrind.arg(env::current_exe()?);
    valgrind.stderr(Stdio::null());
    Ok(valgrind)
}

fn finished(mut child: Child) -> Result<()> {
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("a process ended with {status}").into()) }
}

/// The sum that callgrind gives at the end.
fn total(out: &str) -> Result<u64> {
    let totals = out.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(totals.ok_or("callgrind wrote no totals")?.trim().parse()?)
}
