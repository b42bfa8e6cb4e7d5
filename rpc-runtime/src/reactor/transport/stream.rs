//! PDUs over streams: TCP and Unix sockets.
//!
//! A stream holds PDUs back to back. What comes is cut into datagrams of whole PDUs, and what is sent
//! leaves whole or not at all, so the machines on both sides notice nothing of it: sessions outlive
//! streams. A stream that brings anything else is closed. RFC 9293, `tcp(7)`, `unix(7)`.
//!
//! [`dialled`] is the end that calls, [`listening`] the one that is called; [`tcp`] and [`unix`] open
//! them. Nothing here waits for a peer but [`Link::receive`](crate::driver::Link::receive).

use std::io;
use std::os::fd::AsRawFd as _;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::{SockAddr, Socket};

use super::spin::Spin;
use super::uninit;
use crate::address::Address;
use crate::time::Duration;

pub mod dialled;
pub mod listening;
pub(super) mod crowd;
mod peers;
mod queue;
pub mod tcp;
pub mod unix;

/// Bytes taken from a stream at once, and so the longest datagram that it yields: several frames, because
/// the beginning of the next one, with which most reads end, is copied.
const READ_BYTES_MAX: usize = 128 * 1024;

/// What waits for room in one stream, at the most: what comes on top does not leave.
const QUEUE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What the kernel is asked to hold for a Unix socket; it gives what its limits allow.
const UNIX_BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// How long a wait blocks in the read, where nobody can wake it. Long beside a reply of a near peer, short
/// beside the timers that a wake-up is about.
const BLOCKED: Duration = Duration::from_millis(4);

/// After how long a TCP peer that acknowledges nothing is given up (RFC 5482).
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// After how long without a byte a TCP peer is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How a place is reached.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// As the machines know it.
    pub(super) address: Address,
    /// As the system does.
    pub(super) place: SockAddr,
}

/// Sets what all streams have in common.
fn prepare(socket: &Socket) -> io::Result<()> {
    if socket.local_addr()?.as_socket().is_some() {
        socket.set_tcp_nodelay(true)?;
        let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(any(target_os = "android", target_os = "linux"))]
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    } else {
        // A TCP socket finds its own size; a Unix socket's default holds three frames.
        let _ = socket.set_send_buffer_size(UNIX_BUFFER_BYTES);
    }
    Ok(())
}

/// Has the poll report what becomes possible.
fn watch(registry: &Registry, socket: &Socket, token: Token, interest: Interest) -> io::Result<()> {
    registry.register(&mut SourceFd(&socket.as_raw_fd()), token, interest)
}

fn unwatch(registry: &Registry, socket: &Socket) {
    // It fails only where it was not watched.
    let _ = registry.deregister(&mut SourceFd(&socket.as_raw_fd()));
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// Bytes.
    Bytes(usize),
    /// None for now.
    Nothing,
    /// None ever again.
    End,
}

/// A read that brings so much is one of a message that goes on, mostly, in bytes.
const BULK_BYTES: usize = 16 * 1024;

/// Reads what is there; if nothing is, waits for it: looks for a moment first where `spin` says so, if that
/// pays.
fn await_read(socket: &Socket, buffer: &mut [u8], spin: Option<&mut Spin>) -> Read {
    let mut seen = Read::Nothing;
    let looks = |spin: &mut Spin| {
        spin.sees_by_asking(|| {
            seen = read(socket, buffer, false);
            seen != Read::Nothing
        })
    };
    if spin.is_some_and(looks) { seen } else { read(socket, buffer, true) }
}

/// Reads what is there; if nothing is, waits as long as the socket was told to, or not at all.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other error ends the stream")]
fn read(socket: &Socket, buffer: &mut [u8], waits: bool) -> Read {
    let flags = if waits { 0 } else { libc::MSG_DONTWAIT };
    match socket.recv_with_flags(uninit(buffer), flags) {
        Ok(0) => Read::End,
        Ok(len) => Read::Bytes(len),
        Err(error) => match error.kind() {
            // A TCP peer that acknowledged nothing for too long is `TimedOut`, which is for good.
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Read::Nothing,
            _ => Read::End,
        },
    }
}

#[cfg(test)]
mod tests;
