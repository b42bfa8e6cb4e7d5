//! Names of places in a simulated world: hosts, and the ports on them.
//!
//! Knows how a host and a port make an [`Address`]; does not know what lives there.

use std::fmt;

use crate::address::Address;

/// A simulated host, numbered from 0 in the order they were added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u16);

impl HostId {
    /// The host's main endpoint: where its server listens, or its node lives.
    #[must_use]
    pub const fn address(self) -> Address {
        self.port(0)
    }

    /// An endpoint of the host. Port 0 prints as the bare host number.
    #[must_use]
    pub const fn port(self, port: u16) -> Address {
        Address::Virtual((port as u32) << u16::BITS | self.0 as u32)
    }

    /// An endpoint of the host as those call it who want a stream to it.
    #[must_use]
    pub const fn stream(self, port: u16) -> Address {
        Address::VirtualStream((port as u32) << u16::BITS | self.0 as u32)
    }

    /// The host and port of an address; `None` for one of the real world.
    #[must_use]
    pub fn of(address: Address) -> Option<(Self, u16)> {
        match address {
            Address::Ip(_) | Address::Tcp(_) | Address::Local(_) => None,
            Address::Virtual(number) | Address::VirtualStream(number) => {
                let [a, b, c, d] = number.to_le_bytes();
                Some((Self(u16::from_le_bytes([a, b])), u16::from_le_bytes([c, d])))
            }
        }
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {}", self.0)
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_host_and_port() {
        assert_eq!(HostId::of(HostId(7).port(1_025)), Some((HostId(7), 1_025)));
        assert_eq!(HostId(3).address().to_string(), HostId(3).to_string());
        assert_eq!(HostId::of(HostId(7).stream(33_000)), Some((HostId(7), 33_000)));
        assert_eq!(HostId::of(Address::Ip(([127, 0, 0, 1], 80).into())), None);
    }
}
