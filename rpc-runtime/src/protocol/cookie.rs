//! Proof of address without memory: a keyed hash that only who receives at the address can repeat.
//!
//! RFC 9147, section 5.1 (stateless cookies). An attacker on the path can read it; the open link
//! does not claim otherwise.

use crate::address::Address;
use crate::hash::{Hasher, SipKey};
use crate::ids::ClientId;
use crate::time::{Duration, Instant};
use crate::wire::COOKIE_BYTES;

/// How long a cookie is good, at least; at most twice that.
const COOKIE_LIFETIME: Duration = Duration::from_secs(10);

/// The cookie of `client` at `address`.
pub(crate) fn make(
    key: SipKey,
    now: Instant,
    address: Address,
    client: ClientId,
) -> [u8; COOKIE_BYTES] {
    of_period(key, period(now), address, client)
}

/// Whether `cookie` was made for `client` at `address` lately.
pub(crate) fn is_good(
    key: SipKey,
    now: Instant,
    address: Address,
    client: ClientId,
    cookie: [u8; COOKIE_BYTES],
) -> bool {
    let period = period(now);
    let last = period.saturating_sub(1);
    [period, last].into_iter().any(|period| of_period(key, period, address, client) == cookie)
}

/// Adds an address to a hash.
pub(crate) fn write_address(hasher: &mut Hasher, address: Address) {
    match address {
        Address::Ip(address) | Address::Tcp(address) => {
            match address.ip() {
                std::net::IpAddr::V4(ip) => hasher.write(&ip.octets()),
                std::net::IpAddr::V6(ip) => hasher.write(&ip.octets()),
            }
            hasher.write(&address.port().to_le_bytes());
        }
        Address::Local(number) => hasher.write_u64(number),
        Address::Virtual(host) | Address::VirtualStream(host) => {
            hasher.write(&host.to_le_bytes());
        }
    }
}

fn period(now: Instant) -> u64 {
    now.as_micros() / u64::try_from(COOKIE_LIFETIME.as_micros()).unwrap_or(u64::MAX)
}

fn of_period(key: SipKey, period: u64, address: Address, client: ClientId) -> [u8; COOKIE_BYTES] {
    let half = |which: u8| {
        let mut hasher = Hasher::new(key);
        hasher.write(&[which]);
        hasher.write_u64(period);
        hasher.write_u64(client.0);
        write_address(&mut hasher, address);
        hasher.finish().to_le_bytes()
    };
    let mut cookie = [0; COOKIE_BYTES];
    let (low, high) = cookie.split_at_mut(COOKIE_BYTES / 2);
    low.copy_from_slice(&half(0));
    high.copy_from_slice(&half(1));
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_for_its_owner_only_and_not_for_ever() {
        let (key, client) = (SipKey([1, 2]), ClientId(3));
        let (here, there) = (Address::Virtual(1), Address::Virtual(2));
        let cookie = make(key, Instant::START, here, client);
        let good = |now, address, client| is_good(key, now, address, client, cookie);
        assert!(good(Instant::START + COOKIE_LIFETIME, here, client));
        assert!(!good(Instant::START + COOKIE_LIFETIME * 2, here, client));
        assert!(!good(Instant::START, there, client));
        assert!(!good(Instant::START, here, ClientId(4)));
    }
}
