//! What carries a campaign's calls: datagrams, or streams of three kinds.
//!
//! For the machines streams differ by name and bounds only: how much may wait for a reader.

use std::fmt;
use std::str::FromStr;

use rpc_runtime::address::Address;
use rpc_runtime::sim::HostId;
use rpc_runtime::wire::{DATAGRAM_BYTES_MAX, FRAME_BYTES_MAX};

/// A transport, as its URLs begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// Streams with a queue in front of the socket.
    Tcp,
    /// Streams with a queue in front of a socket of this machine.
    Unix,
    /// A ring in shared memory.
    Shm,
}

const ALL: [Transport; 4] = [Transport::Udp, Transport::Tcp, Transport::Unix, Transport::Shm];

/// How much may wait in a stream's queue, or in a ring, in bytes.
const QUEUE_BYTES: usize = 2 << 20;
/// How much the system itself takes beyond a queue, as Linux does: `tcp_wmem`, and `wmem_default`.
const TCP_BYTES: usize = 2_560 << 10;
const UNIX_BYTES: usize = 208 << 10;

impl Transport {
    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::Shm => "shm",
        }
    }

    /// How many bytes may be under way in one direction of a stream; `None` for datagrams.
    #[must_use]
    pub const fn queue_bytes_max(self) -> Option<usize> {
        match self {
            Self::Udp => None,
            Self::Tcp => Some(QUEUE_BYTES + TCP_BYTES),
            Self::Unix => Some(QUEUE_BYTES + UNIX_BYTES),
            Self::Shm => Some(QUEUE_BYTES),
        }
    }

    /// What leaves at once, at most, in bytes: a message that is longer travels in fragments.
    #[must_use]
    pub const fn piece_bytes_max(self) -> usize {
        match self {
            Self::Udp => DATAGRAM_BYTES_MAX,
            Self::Tcp | Self::Unix | Self::Shm => FRAME_BYTES_MAX,
        }
    }

    /// Where to call the server of a host.
    pub(super) const fn address(self, server: HostId) -> Address {
        match self {
            Self::Udp => server.address(),
            Self::Tcp | Self::Unix | Self::Shm => server.stream(0),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = ALL.into_iter().find(|transport| transport.word() == word);
        found.ok_or_else(|| {
            format!("no transport is named `{word}`; known: {}", ALL.map(Self::word).join(", "))
        })
    }
}
