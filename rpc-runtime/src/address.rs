//! Where a datagram goes: plain data, compared and hashed by the core, understood by drivers.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A place that a driver can send to. The core only compares and stores it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Address {
    /// An IP address and port of the real world.
    Ip(SocketAddr),
    /// A host of the simulator, by its number.
    Virtual(u32),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Virtual(host) => write!(f, "host {host}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
