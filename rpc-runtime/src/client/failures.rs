//! A log of the failed calls of this process, each with its evidence: one JSON object a line.
//!
//! ```text
//!   whoever waited ──► a bounded queue ──► one thread ──► a file, or stderr
//!                          └─ full: the line is lost, and counted
//! ```
//!
//! Off unless it is asked for: by `RPC_LOG_FAILED=stderr` or `RPC_LOG_FAILED=/a/path` in the environment, or
//! by [`log_to`]. A line is an [`ErrorRecord`], and when it was written. It never holds
//! what a call carried, hence no detail either, in which a handler's own words may stand, and no sources.
//! A call that succeeds costs nothing, and one that fails never waits for the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Serialize;

use crate::driver::Gate;
use crate::error::{CallError, ErrorRecord, Evidence};
use crate::reactor;

/// What the environment says of it.
const VARIABLE: &str = "RPC_LOG_FAILED";
/// Lines that wait to be written.
const QUEUE_LINES_MAX: usize = 1_024;
/// A file that is longer is kept under its name with `.1` behind it, in place of the one before, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The process's standard error.
    Stderr,
    /// A file, to which lines are added: of at most 16 MiB, and one before it of as many.
    File(PathBuf),
}

/// A log's state.
#[derive(Debug)]
struct Log {
    lines: SyncSender<Box<Line>>,
    ended: Arc<dyn Gate>,
}

/// One line of it.
#[derive(Debug, Serialize)]
struct Line {
    unix_ms: u64,
    #[serde(flatten)]
    record: ErrorRecord,
}

static LOG: OnceLock<Mutex<Option<Log>>> = OnceLock::new();
/// Whether failures need not look for a log: there is none, as far as is known.
static IS_OFF: AtomicBool = AtomicBool::new(false);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Has the failed calls of this process be logged from now on; what the environment says counts no more.
///
/// # Errors
///
/// The file cannot be opened, or there is no thread to write it.
pub fn log_to(place: &Place) -> io::Result<()> {
    let log = Log::open(place, FILE_BYTES_MAX)?;
    let mut logging = logging();
    let before = logging.replace(log);
    IS_OFF.store(false, Ordering::Relaxed);
    drop(logging);
    end(before);
    Ok(())
}

/// Ends the log, once all is written that waits to be.
pub fn stop() {
    let mut logging = logging();
    let before = logging.take();
    IS_OFF.store(true, Ordering::Relaxed);
    drop(logging);
    end(before);
}

/// Lines that were lost: too many waited, or could not be written.
#[must_use]
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// A call has failed.
pub(super) fn note(error: &CallError) {
    if IS_OFF.load(Ordering::Relaxed) {
        return;
    }
    let logging = logging();
    let lines = logging.as_ref().map(|log| log.lines.clone());
    if lines.is_none() {
        IS_OFF.store(true, Ordering::Relaxed); // under the lock, so that none has come meanwhile
    }
    drop(logging);
    if let Some(lines) = lines {
        hand_over(&lines, error);
    }
}

/// The process's log; what the environment says, when it is asked for the first time.
fn logging() -> MutexGuard<'static, Option<Log>> {
    let log = LOG.get_or_init(|| Mutex::new(of_environment()));
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

fn of_environment() -> Option<Log> {
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever looks for a failure need not build anew"
    )]
    let said = std::env::var(VARIABLE).ok().filter(|said| !said.is_empty())?;
    let place = if said == "stderr" { Place::Stderr } else { Place::File(said.into()) };
    let opened = Log::open(&place, FILE_BYTES_MAX);
    if opened.is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed); // nobody is there to be told
    }
    opened.ok()
}

/// Waits until a log that takes no more lines has written those that it took.
fn end(log: Option<Log>) {
    let Some(Log { lines, ended }) = log else { return };
    drop(lines);
    ended.wait(None);
}

impl Log {
    fn open(place: &Place, bytes_max: u64) -> io::Result<Self> {
        let mut sink = Sink::open(place, bytes_max)?;
        let (lines, waiting) = sync_channel(QUEUE_LINES_MAX);
        let world = reactor::world();
        let ended = world.gate();
        let told = Arc::clone(&ended);
        let body = move || {
            sink.write_all(&waiting);
            told.open();
        };
        world
            .spawn("rpc-failed", Box::new(body))
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { lines, ended })
    }
}

/// Hands a line over, or loses it.
fn hand_over(lines: &SyncSender<Box<Line>>, error: &CallError) {
    let line = Line { unix_ms: reactor::world().unix_ms(), record: without_words(error) };
    if lines.try_send(Box::new(line)).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is known of the failure, without anybody's own words.
fn without_words(error: &CallError) -> ErrorRecord {
    let evidence = Evidence { detail: "".into(), ..error.evidence().clone() };
    CallError::new(error.kind(), error.execution())
        .with_partial(error.is_partial())
        .with_evidence(evidence)
        .with_call(error.call())
        .with_method(error.method())
        .record()
}

/// What the lines are written to.
#[derive(Debug)]
enum Sink {
    Stderr,
    File { path: PathBuf, file: File, bytes: u64, bytes_max: u64 },
}

impl Sink {
    fn open(place: &Place, bytes_max: u64) -> io::Result<Self> {
        match place {
            Place::Stderr => Ok(Self::Stderr),
            Place::File(path) => {
                let (file, bytes) = append_to(path)?;
                Ok(Self::File { path: path.clone(), file, bytes, bytes_max })
            }
        }
    }

    /// Writes what comes until nothing more can.
    fn write_all(&mut self, lines: &Receiver<Box<Line>>) {
        let mut text = Vec::new();
        for line in lines {
            text.clear();
            let written = serde_json::to_writer(&mut text, &line).map_err(io::Error::from);
            text.push(b'\n');
            if written.and_then(|()| self.write(&text)).is_err() {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Stderr => io::stderr().lock().write_all(text),
            Self::File { path, file, bytes, bytes_max } => {
                let more = text.len() as u64;
                // A device, or a pipe, has no end and keeps its name.
                if *bytes > 0 && *bytes + more > *bytes_max && file.metadata()?.is_file() {
                    let mut former = path.clone().into_os_string();
                    former.push(".1");
                    std::fs::rename(&*path, former)?;
                    (*file, *bytes) = append_to(path)?;
                }
                *bytes += more; // a part may be there even if not all could be written
                file.write_all(text)
            }
        }
    }
}

fn append_to(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, Execution};

    fn failure() -> CallError {
        let error = CallError::new(ErrorKind::HandlerPanicked, Execution::Executed);
        error.with_detail("a secret").with_method("bank.pay")
    }

    fn lines_of(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_failed_call_is_a_line_with_its_evidence_and_nobodys_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("failed.json");
        for _life in 0..2 {
            let log = Log::open(&Place::File(path.clone()), FILE_BYTES_MAX).unwrap();
            (0..3).for_each(|_| hand_over(&log.lines, &failure()));
            end(Some(log));
        }
        let lines = lines_of(&path);
        assert_eq!(lines.len(), 6, "a later life adds to it");
        for line in lines {
            assert_eq!(
                (&line["execution"], &line["kind"]),
                (&"executed".into(), &"handler_panicked".into())
            );
            assert_eq!(line["method"], "bank.pay");
            assert!(
                line["unix_ms"].as_u64().unwrap() > 1_600_000_000_000
                    && line["evidence"].is_object()
            );
            assert!(!line.to_string().contains("secret"), "{line}");
        }
    }

    #[test]
    fn a_file_that_is_full_is_kept_once_and_both_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("failed.json");
        let bytes_max = 2_000;
        let mut sink = Sink::open(&Place::File(path.clone()), bytes_max).unwrap();
        for _ in 0..100 {
            sink.write(&[b'x'; 99].iter().chain(b"\n").copied().collect::<Vec<u8>>()).unwrap();
        }
        let sizes = ["failed.json", "failed.json.1"]
            .map(|name| std::fs::metadata(folder.path().join(name)).unwrap().len());
        assert_eq!(sizes, [2_000, 2_000]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn lines_that_nobody_takes_are_lost_and_counted_and_nobody_waits() {
        let (lines, _waiting) = sync_channel(2);
        let log = Log { lines, ended: reactor::world().gate() };
        let before = dropped();
        (0..5).for_each(|_| hand_over(&log.lines, &failure()));
        assert!(dropped() >= before + 3);
    }

    #[test]
    fn what_cannot_be_opened_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Log::open(&Place::File(folder.path().into()), FILE_BYTES_MAX).is_err());
    }
}
