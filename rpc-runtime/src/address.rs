//! Where a message goes: plain data, compared and hashed by the core, understood by drivers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// A place that a driver can send to. The core only compares and stores it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Address {
    /// An IP address and port of the real world, for datagrams.
    Ip(SocketAddr),
    /// An IP address and port, reached by a stream.
    Tcp(SocketAddr),
    /// A place on this machine, or one of its processes that calls there: a number that stands for the
    /// name where there is one, or has the user in its upper half.
    Local(u64),
    /// A host of the simulator, by its number.
    Virtual(u32),
    /// A host of the simulator and a port of it, reached by a stream.
    VirtualStream(u32),
}

/// The lower half of a simulated number: the host, without its port.
const VIRTUAL_HOST_MASK: u32 = 0xffff;

/// All places that one host can send from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An IPv4 address, at whatever port.
    V4(Ipv4Addr),
    /// An IPv6 network of 64 bits, in which a host chooses its addresses itself (RFC 8981).
    V6(u64),
    /// A user of this machine.
    Local(u32),
    /// A host of the simulator.
    Virtual(u32),
}

impl Address {
    /// The host that sends from here.
    #[must_use]
    pub const fn host(self) -> Host {
        match self {
            Self::Virtual(host) => Host::Virtual(host),
            // One host has many streams, each from a port of its own.
            Self::VirtualStream(number) => Host::Virtual(number & VIRTUAL_HOST_MASK),
            Self::Local(number) => Host::Local((number >> 32) as u32),
            Self::Ip(address) | Self::Tcp(address) => match address.ip().to_canonical() {
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
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Local(number) => write!(f, "local {number:016x}"),
            Self::Virtual(host) => write!(f, "host {host}"),
            Self::VirtualStream(number) => write!(f, "stream {number}"),
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
        let tcp = Address::Tcp("192.0.2.1:1".parse().unwrap());
        assert_eq!(tcp.host(), host("192.0.2.1:1"), "whatever it speaks");
        assert_eq!(Address::Local(1).host(), Address::Local(2).host());
        let another_user = Address::Local(1_000 << 32 | 1);
        assert_ne!(Address::Local(1).host(), another_user.host());
        assert_ne!(Address::Virtual(1).host(), Address::Virtual(2).host());
        let streams = [1, 2].map(|port| Address::VirtualStream(port << 16 | 7).host());
        assert_eq!(streams[0], streams[1]);
        assert_eq!(streams[0], Address::Virtual(7).host());
    }
}
