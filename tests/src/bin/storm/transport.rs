//! What carries a storm's calls.

use std::error::Error;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use clap::ValueEnum;

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
