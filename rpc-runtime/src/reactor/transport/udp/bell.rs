//! The bell that gets a thread out of a blocking receive.
//!
//! A thread inside `recvfrom` notices nothing but datagrams, so ringing means sending one: eight
//! random bytes from a socket that is used for nothing else, to the socket that is waited on. A peer
//! can forge neither the bytes, which never leave the machine, nor (but on this machine) the
//! sender; and whoever could would end one wait early, which every wait allows for.
//!
//! The datagram only ends the wait; that somebody rang is said by a flag. So a bell rung while
//! nobody waits costs no system call, and one whose datagram finds the receive buffer full is heard
//! all the same: a full buffer keeps nobody waiting.
//!
//! Where several sockets share an address the kernel picks one for each sender. So the datagram says which
//! socket it is for, and a filter of the group sends it there ([`ways`](super::ways)).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::random::Rng as _;
use crate::reactor::random::SystemRng;

/// Bytes of what a bell sends: a secret, and the number of the socket that it is for.
const TOKEN_BYTES: usize = 8 + 4;

/// A bell for the one thread that may wait on a socket.
#[derive(Debug)]
pub(super) struct Bell {
    clapper: UdpSocket,
    from: SocketAddr,
    to: SocketAddr,
    token: [u8; TOKEN_BYTES],
    is_rung: AtomicBool,
    is_waited_on: AtomicBool,
}

impl Bell {
    /// A bell for the socket bound to `waited_on`.
    pub(super) fn for_socket(waited_on: SocketAddr) -> io::Result<Self> {
        Self::of_group(waited_on, SystemRng::new().next_u64().to_be_bytes(), 0)
    }

    /// A bell for the socket of this number, of those bound to `waited_on` that share a secret.
    pub(super) fn of_group(
        waited_on: SocketAddr,
        secret: [u8; 8],
        number: u32,
    ) -> io::Result<Self> {
        let host = match waited_on.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            bound @ (IpAddr::V4(_) | IpAddr::V6(_)) => bound,
        };
        let mut to = waited_on;
        to.set_ip(host);
        let mut place = to; // keeps the scope of a link-local address
        place.set_port(0);
        let clapper = UdpSocket::bind(place)?;
        clapper.set_nonblocking(true)?;
        let mut token = [0; TOKEN_BYTES];
        let (first, last) = token.split_at_mut(secret.len());
        first.copy_from_slice(&secret);
        last.copy_from_slice(&number.to_be_bytes());
        Ok(Self {
            from: clapper.local_addr()?,
            clapper,
            to,
            token,
            is_rung: AtomicBool::new(false),
            is_waited_on: AtomicBool::new(false),
        })
    }

    /// What the bells of a group have in common.
    pub(super) fn secret(&self) -> [u8; 8] {
        *self.token.first_chunk().expect("it begins with that")
    }

    /// Ends the present wait, or the next one.
    pub(super) fn ring(&self) {
        // The order matters on both sides (Dekker): here the flag before the look at who waits,
        // there "I wait" before the look at the flag. One of the two sees the other.
        let was_rung = self.is_rung.swap(true, Ordering::SeqCst);
        if !was_rung && self.is_waited_on.load(Ordering::SeqCst) {
            // Nothing to be done about a failure: on the same machine only a full buffer loses it.
            let _ = self.clapper.send_to(&self.token, self.to);
        }
    }

    /// Announces a wait, unless the bell was rung since the last one.
    pub(super) fn wait(&self) -> Option<Waiting<'_>> {
        self.is_waited_on.store(true, Ordering::SeqCst);
        let waiting = Waiting { bell: self };
        // Looked at first: to change it costs more, and it is hardly ever rung.
        let is_rung = self.is_rung.load(Ordering::SeqCst);
        (!is_rung || !self.is_rung.swap(false, Ordering::SeqCst)).then_some(waiting)
    }

    /// Whether a datagram is this bell's, and takes the ringing back if it is.
    pub(super) fn heard(&self, from: SocketAddr, datagram: &[u8]) -> bool {
        // The kernel may have put two of them together.
        let is_ours = datagram.starts_with(&self.token) && from == self.from;
        if is_ours {
            self.is_rung.store(false, Ordering::SeqCst);
        }
        is_ours
    }
}

/// A thread's announcement that it waits on the socket; dropping it takes that back.
#[derive(Debug)]
pub(super) struct Waiting<'b> {
    bell: &'b Bell,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Nobody relies on seeing this: who does not, sends a datagram too many.
        self.bell.is_waited_on.store(false, Ordering::Release);
    }
}
