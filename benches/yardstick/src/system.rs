//! What every contestant can do: serve in one process, and be called from another.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use clap::ValueEnum;

/// Whatever went wrong, in words.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// Datagrams on the loopback.
    Udp,
    /// A stream on the loopback.
    Tcp,
    /// A stream through the file system.
    Unix,
    /// Memory that two processes share.
    Shm,
    /// Memory of one process: the server is a thread of the client's.
    Mem,
}

impl Transport {
    pub(crate) const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Unix, Self::Shm, Self::Mem];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::Shm => "shm",
            Self::Mem => "mem",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is measured. The raw echoes do just this and no more; frameworks offer all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// One small call after the other.
    Echo,
    /// Many small calls at once.
    Many,
    /// Messages of so many bytes in the argument, and a small reply.
    Sink(usize),
    /// Messages of so many bytes in the reply to a small argument.
    Source(usize),
}

impl Work {
    /// The word for it on the command line of the other process.
    pub(crate) fn word(self) -> String {
        match self {
            Self::Echo => "echo".to_owned(),
            Self::Many => "many".to_owned(),
            Self::Sink(bytes) => format!("sink:{bytes}"),
            Self::Source(bytes) => format!("source:{bytes}"),
        }
    }

    pub(crate) fn parse(word: &str) -> Result<Self> {
        Ok(match word.split_once(':') {
            None if word == "echo" => Self::Echo,
            None if word == "many" => Self::Many,
            Some(("sink", bytes)) => Self::Sink(bytes.parse()?),
            Some(("source", bytes)) => Self::Source(bytes.parse()?),
            _ => return Err(format!("`{word}` is no work").into()),
        })
    }
}

/// Bytes of a small message, each way.
pub(crate) const SMALL_BYTES: usize = 64;

/// One call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request<'a> {
    /// Nothing in, nothing out. The raw echoes have no such thing and send [`SMALL_BYTES`].
    Null,
    /// The same bytes come back.
    Echo(&'a [u8]),
    /// The bytes stay there; their number comes back. A system may keep them as they are for as long as it likes.
    Sink(&'a Arc<Vec<u8>>),
    /// So many bytes come back.
    Source(usize),
}

/// A contestant.
pub(crate) trait System: Sync {
    fn name(&self) -> &'static str;

    fn speaks(&self, transport: Transport, work: Work) -> bool;

    /// Serves until the process ends. `folder` is there for sockets; `announce` is told the address.
    fn serve(&self, at: Place<'_>, announce: &dyn Fn(&str)) -> Result<()>;

    fn connect(&self, transport: Transport, work: Work, address: &str) -> Result<Box<dyn Caller>>;
}

/// Where and for what a server is started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) transport: Transport,
    pub(crate) work: Work,
    /// A path that nobody else uses, not in existence yet.
    pub(crate) path: &'a str,
}

/// One connection to a server.
pub(crate) trait Caller {
    /// Calls and waits.
    fn call(&mut self, request: Request<'_>) -> Result<()>;

    /// Echoes `small` with `outstanding` calls under way until `until`; how many ended.
    fn pump(&mut self, small: &[u8], outstanding: usize, until: Instant) -> Result<u64>;

    /// The same connection, for another thread.
    fn shared(&self) -> Option<Box<dyn Caller + Send>> {
        None
    }

    /// Another connection of this process to the same server, where there can be several.
    fn another(&self) -> Option<Result<Box<dyn Caller>>> {
        None
    }
}
