//! Where a datagram goes: plain data, compared and hashed by the core, understood by drivers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// A place that a driver can send to. The core only compares and stores it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Address {
    /// An IP address and port of the real world.
    Ip(SocketAddr),
    /// A host of the simulator, by its number.
    Virtual(u32),
}

/// All places that one host can send from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An IPv4 address, at whatever port.
    V4(Ipv4Addr),
    /// An IPv6 network of 64 bits, in which a host chooses its addresses itself (RFC 8981).
    V6(u64),
    /// A host of the simulator.
    Virtual(u32),
}

impl Address {
    /// The host that sends from here.
    #[must_use]
    pub const fn host(self) -> Host {
        match self {
            Self::Virtual(host) => Host::Virtual(host),
            Self::Ip(address) => match address.ip().to_canonical() {
                IpAddr::V4(ip) => Host::V4(ip),
                IpAddr::V6(ip) => Host::V6((ip.to_bits() >> 64) as u64),
            },
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn host(address: &str) -> Host {
        Address::Ip(address.parse().unwrap()).host()
    }

    #[test]
    fn a_host_has_every_port_and_a_whole_network_of_version_6() {
        assert_eq!(host("192.0.2.1:1"), host("192.0.2.1:2"));
        assert_eq!(host("192.0.2.1:1"), host("[::ffff:192.0.2.1]:1"), "as a dual socket says it");
        assert_eq!(host("[2001:db8::1]:1"), host("[2001:db8::ffff:0:2]:1"));
        assert_ne!(host("192.0.2.1:1"), host("192.0.2.2:1"));
        assert_ne!(host("[2001:db8:0:1::1]:1"), host("[2001:db8:0:2::1]:1"));
        assert_ne!(Address::Virtual(1).host(), Address::Virtual(2).host());
    }
}
