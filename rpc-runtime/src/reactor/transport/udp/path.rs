//! Datagrams leave whole or not at all: a probe that the system cut into IP fragments, and the other end
//! put together, would say nothing of the path. `ip(7)`, `ipv6(7)`; RFC 8899, section 3.
//!
//! `IP_PMTUDISC_PROBE` sets the bit "do not fragment", and believes no message of the network about what
//! the path carries, which anybody can forge: only what the protocol's own probes find counts. What is
//! too long for the interface itself is refused (`EMSGSIZE`).

use std::net::{SocketAddr, UdpSocket};

/// Has a socket send datagrams in one piece or not at all; says whether it does.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(super) fn forbid_fragments(socket: &UdpSocket, local: &SocketAddr) -> bool {
    let v4 = set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE);
    let v6 = || set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE);
    // A socket of version 6 may carry version 4, too.
    if local.is_ipv4() { v4 } else { v4 && v6() }
}

#[cfg(any(target_os = "android", target_os = "linux"))]
#[expect(unsafe_code, reason = "no library sets this option alone")]
fn set(socket: &UdpSocket, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> bool {
    use std::os::fd::AsRawFd as _;

    let Ok(length) = libc::socklen_t::try_from(size_of::<libc::c_int>()) else { return false };
    // SAFETY: the descriptor is open as long as the socket is borrowed, and the option's value is an
    // integer that lives through the call, of the length that is told.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length)
    };
    result == 0
}

/// Other systems have other ways, which nobody has tried here: no path is probed.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(super) fn forbid_fragments(_: &UdpSocket, _: &SocketAddr) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(any(target_os = "android", target_os = "linux"))]
    fn sockets_of_both_versions_send_datagrams_whole() {
        for place in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let Ok(socket) = UdpSocket::bind(place) else { continue }; // a machine without version 6
            assert!(forbid_fragments(&socket, &socket.local_addr().unwrap()), "{place}");
        }
    }
}
