//! Datagrams over UDP, IPv4 and IPv6.
//!
//! The descriptor of a link stays blocking, and whoever waits blocks in the receive call itself:
//! waiting for readiness first costs one more system call for each datagram, and is worth it only for waits
//! that the kernel's ticks are too coarse for. Sending passes
//! `MSG_DONTWAIT` and never waits; many datagrams for one peer cost one system call ([`segments`]). How long the kernel waits is decided in [`patience`], how another
//! thread ends a wait in [`bell`]; an endpoint at several addresses is in [`several`], and how several
//! threads receive at one in [`ways`]. RFC 768, RFC 8085; `udp(7)`, `socket(7)`.
//!
//! Does not know what datagrams hold.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use socket2::SockRef;

use super::{bind_first, resolve_target, system, uninit};
use crate::address::Address;
use crate::driver::{Link, LinkError, Received, Sent};
use crate::reactor::clock;
use crate::time::{Duration, Instant};
use crate::wire::DATAGRAM_BYTES_MAX;

mod bell;
mod path;
mod patience;
mod segments;
pub mod several;
mod ways;

use bell::Bell;
use patience::{Patience, Timeout};
use segments::Segments;

/// What the kernel is asked to hold for us in each direction; it gives what its limits allow.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Shorter waits are told to the kernel exactly: a receive time-out is rounded up to ticks of 1 to 10 ms, one
/// more than there are. Far below what any call waits for, such as the report that a call is worked on
/// (`Limits::working_after`): only probes and losses are worth one more system call.
const FINE_BELOW: Duration = Duration::from_millis(5);

/// How long to hold up after an error that is no news from the network, against a busy loop.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(1);

/// Opens an endpoint at `place`, `host:port`. Several of them, with commas in between, make one
/// endpoint at several addresses. Port 0 lets the system choose.
///
/// # Errors
///
/// [`LinkError::InUse`], [`LinkError::Unresolved`], or the system's word.
pub fn listen(place: &str) -> Result<Arc<dyn Link>, LinkError> {
    let mut sockets = Vec::new();
    for place in place.split(',') {
        sockets.push(bind_first(place, UdpSocket::bind)?);
    }
    let failed =
        |error: io::Error| LinkError::System(format!("cannot listen at {place}"), error.into());
    match <[UdpSocket; 1]>::try_from(sockets) {
        Ok([socket]) => Ok(Arc::new(Udp::on(socket).map_err(failed)?)),
        Err(several) => Ok(Arc::new(several::Several::join(several).map_err(failed)?)),
    }
}

/// Opens an endpoint of the right family from which to reach `place`, `host:port`.
///
/// # Errors
///
/// [`LinkError::Unresolved`], or the system's word.
pub fn dial(place: &str) -> Result<(Arc<dyn Link>, Address), LinkError> {
    let target = resolve_target(place)?;
    // A loopback socket hears nobody from outside, and needs nobody to.
    let from: SocketAddr = match target {
        SocketAddr::V4(to) if to.ip().is_loopback() => (Ipv4Addr::LOCALHOST, 0).into(),
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(to) if to.ip().is_loopback() => (Ipv6Addr::LOCALHOST, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let opened = UdpSocket::bind(from).and_then(Udp::on);
    let link = opened.map_err(|error| {
        LinkError::System(format!("cannot open a socket to reach {place}"), error.into())
    })?;
    Ok((Arc::new(link), Address::Ip(target)))
}

/// One UDP socket as a link.
#[derive(Debug)]
pub struct Udp {
    socket: UdpSocket,
    local: SocketAddr,
    patience: Patience,
    bell: Bell,
    segments: Segments,
    /// Whether the system leaves datagrams in one piece.
    is_unbroken: bool,
    errors: AtomicU64,
}

impl Udp {
    /// Makes a link of a bound socket.
    ///
    /// # Errors
    ///
    /// What the system says when it is asked for one more socket, by which the link is woken.
    pub fn on(socket: UdpSocket) -> io::Result<Self> {
        let bell = Bell::for_socket(socket.local_addr()?)?;
        Self::woken_by(bell, socket)
    }

    fn woken_by(bell: Bell, socket: UdpSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        enlarge_buffers(&socket);
        let patience = Patience::new();
        let segments = Segments::on(&socket);
        let is_unbroken = path::forbid_fragments(&socket, &local);
        let errors = AtomicU64::new(0);
        Ok(Self { socket, local, patience, bell, segments, is_unbroken, errors })
    }

    /// How many receives ended in an error: news of unreachable peers, for the most part.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    fn set_timeout(&self, timeout: Timeout) {
        let set = self.socket.set_read_timeout(timeout);
        set.expect("a bound socket takes a time-out that is not zero");
    }

    fn receive_blocking(
        &self,
        buffer: &mut [u8],
        wanted: Timeout,
    ) -> io::Result<(usize, SocketAddr)> {
        if let Some(shorter) = self.patience.shorten_for(wanted) {
            self.set_timeout(shorter);
        }
        self.socket.recv_from(buffer)
    }

    /// After a receive that gave nothing: lengthens the time-out if it ended too early.
    fn on_timeout(&self, until: Option<Instant>) {
        let left = until.map(|until| clock::left(until).unwrap_or(Duration::ZERO));
        if let Some(longer) = self.patience.lengthen_for(left) {
            self.set_timeout(longer);
        }
    }

    fn on_error(&self, error: &io::Error) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        if !is_of_the_network(error) {
            clock::pause(PAUSE_AFTER_ERROR);
        }
    }
}

impl Link for Udp {
    fn local(&self) -> Address {
        Address::Ip(self.local)
    }

    fn datagram_bytes_max(&self) -> usize {
        longest_datagram(&self.local)
    }

    fn unbroken_bytes_max(&self) -> usize {
        if self.is_unbroken { self.datagram_bytes_max() } else { DATAGRAM_BYTES_MAX }
    }

    fn send(&self, to: Address, datagram: &[u8]) -> Sent {
        let Address::Ip(to) = to else { return Sent::Failed };
        let socket = SockRef::from(&self.socket);
        match socket.send_to_with_flags(datagram, &to.into(), libc::MSG_DONTWAIT) {
            Ok(_) => Sent::Yes,
            Err(error) => classify_send(&error),
        }
    }

    fn send_all(&self, datagrams: &[(Address, Vec<u8>)]) {
        self.segments.send_all(&self.socket, datagrams, |to, datagram| {
            let _ = self.send(to, datagram);
        });
    }

    fn further_ways(&self, count: usize) -> Vec<Arc<dyn Link>> {
        ways::of_one(self, count)
    }

    fn receive(&self, buffer: &mut [u8], until: Option<Instant>) -> Received {
        let Some(_waiting) = self.bell.wait() else { return Received::Nothing };
        loop {
            let wanted = match until {
                None => None,
                Some(until) => match clock::left(until) {
                    None => return Received::Nothing,
                    left => left,
                },
            };
            let received = match wanted {
                Some(wait) if wait < FINE_BELOW => {
                    if !system::is_readable_within(self.socket.as_fd(), wait) {
                        continue; // the time is over
                    }
                    receive_now(&self.socket, buffer)
                }
                Some(_) | None => self.receive_blocking(buffer, wanted),
            };
            match received {
                Ok((len, from)) if self.bell.heard(from, &buffer[..len]) => {
                    return Received::Nothing;
                }
                Ok((len, from)) => return Received::Datagram { len, from: Address::Ip(from) },
                Err(error) if is_timeout(&error) => self.on_timeout(until),
                Err(error) => self.on_error(&error),
            }
        }
    }

    fn take(&self, buffer: &mut [u8]) -> Received {
        match receive_now(&self.socket, buffer) {
            Ok((len, from)) if self.bell.heard(from, &buffer[..len]) => Received::Nothing,
            Ok((len, from)) => Received::Datagram { len, from: Address::Ip(from) },
            Err(_) => Received::Nothing, // nothing there, or old news of an unreachable peer
        }
    }

    fn wake(&self) {
        self.bell.ring();
    }
}

/// One datagram if one is there; the descriptor itself stays blocking.
fn receive_now(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    let uninit = uninit(buffer);
    let (len, from) = SockRef::from(socket).recv_from_with_flags(uninit, libc::MSG_DONTWAIT)?;
    let from = from.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((len, from))
}

/// Asks for room for bursts in both directions; the kernel's limits decide.
fn enlarge_buffers(socket: &UdpSocket) {
    let socket = SockRef::from(socket);
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
}

/// The longest payload that fits the length fields: 65,535 less the UDP header, and less the IPv4
/// header, which the length field of IPv4 counts and that of IPv6 does not.
fn longest_datagram(local: &SocketAddr) -> usize {
    match local {
        SocketAddr::V4(_) => 65_535 - 8 - 20,
        SocketAddr::V6(_) => 65_535 - 8,
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Whether a receive error is news from the network about an earlier send (RFC 1122, 4.1.3.3), or
/// a signal: the socket itself is well.
fn is_of_the_network(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

/// What a failed send means to the protocol.
fn classify_send(error: &io::Error) -> Sent {
    let is_full = error.raw_os_error() == Some(libc::ENOBUFS)
        || matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
        || is_of_the_network(error); // about an earlier datagram; this one did not leave
    if is_full { Sent::Full } else { Sent::Failed }
}

#[cfg(test)]
mod tests;
