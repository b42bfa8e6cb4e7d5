//! Datagrams between two processes of one machine, through memory that both have.
//!
//! The caller makes it, and gives it to who listens at a socket in the file system ([`handshake`]): so
//! whoever may write to that file may call, as over Unix sockets, and nobody but the two has the memory.
//! Each writes one [`ring`] of it and reads the other. The socket stays open: it wakes who sleeps in a
//! poll, and its end is the end of the peer's process. In between a short call makes no system call but
//! to wake who sleeps ([`pipe`]), and none while neither side sleeps ([`spin`](super::spin)).
//!
//! What leaves is a datagram, whole or not at all, and what comes is as many of them as there were. Sessions
//! outlive rings as they outlive streams. Neither side trusts the other in anything: what a peer can do by
//! writing what and when it likes is to lose its own rings.
//!
//! [`dialled`] is the end that calls, [`listening`] the one that is called. `memfd_create(2)`, `unix(7)`,
//! `futex(2)`.

use std::sync::Arc;

use super::stream::{Way, unix};
use super::{cannot_listen, number_of};
use crate::address::Address;
use crate::driver::{Link, LinkError};
use crate::time::Duration;

mod callers;
pub mod dialled;
mod handshake;
pub mod listening;
mod pipe;
mod ring;
mod system;

use dialled::Dialled;
use listening::{Bounds, Listening};

/// How long a thread sleeps at its word, where it hears nobody but one peer that may be dead. Long beside a
/// reply of a near peer, short beside the timers that a wake-up is about.
const BLOCKED: Duration = Duration::from_millis(4);

/// Bytes of waking left in a socket before they are taken out: a poll tells of each as it comes.
const BELLS_KEPT_MAX: u32 = 64;

/// Listens at a path.
///
/// # Errors
///
/// [`LinkError::InUse`] when somebody listens there, or something else than a socket has that name;
/// [`LinkError::Unresolved`] when no socket can have it; else the system's word.
pub fn listen(path: &str) -> Result<Arc<dyn Link>, LinkError> {
    let way = way(path)?;
    let opened = unix::bind_named(&way, path).and_then(|(socket, name)| {
        Listening::on((socket, Some(name)), way.address, Bounds::default())
    });
    Ok(Arc::new(opened.map_err(|error| cannot_listen(path, error))?))
}

/// An endpoint from which to reach whoever listens at a path. The memory is made when something is sent.
///
/// # Errors
///
/// [`LinkError::Unresolved`], or the system's word.
pub fn dial(path: &str) -> Result<(Arc<dyn Link>, Address), LinkError> {
    let way = way(path)?;
    let address = way.address;
    let dialled = Dialled::to(way).map_err(|error| {
        LinkError::System(format!("cannot open a poll to reach {path}"), error.into())
    })?;
    Ok((Arc::new(dialled), address))
}

/// The way to the socket. Its address is not that of the same path over a stream.
fn way(path: &str) -> Result<Way, LinkError> {
    let way = unix::way(path)?;
    let Address::Local(number) = way.address else { return Ok(way) };
    let address = Address::Local(number_of(&[&b"shm"[..], &number.to_le_bytes()].concat()));
    Ok(Way { address, ..way })
}

/// Whether a ring can carry it.
fn is_sendable(datagram: &[u8]) -> bool {
    (1..=ring::DATAGRAM_BYTES_MAX).contains(&datagram.len())
}

#[cfg(test)]
mod tests;
