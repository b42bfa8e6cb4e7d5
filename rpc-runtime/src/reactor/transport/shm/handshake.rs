//! How two processes come to share memory: the caller makes it and gives it away by the socket, with a
//! greeting that says what it is. Nothing is answered: the caller uses it at once, and a server that wants
//! none of it closes the socket.
//!
//! So the memory is the caller's to account for. A server takes at most one greeting from a socket, whole,
//! by one read, and waits for it no longer than for any first PDU.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use socket2::Socket;

use super::pipe::Pipe;
use super::ring::Side;
use super::system::{self, Region, WORDS_BYTES};

/// Bytes of each ring. What a slow reader may leave unread.
const RING_BYTES: usize = 2 * 1024 * 1024;

/// All of the memory.
pub(super) const REGION_BYTES: usize = WORDS_BYTES + 2 * RING_BYTES;

/// What every caller says first. The last byte is the version of all that two processes must agree on here.
pub(super) const GREETING: [u8; 16] = *b"rpc-runtime shm\x02";

/// Greets the server at the other end of a connected socket.
///
/// # Errors
///
/// There is no memory, or the socket is no more.
pub(super) fn greet(socket: Socket) -> io::Result<Pipe> {
    let (region, gift) = Region::create(REGION_BYTES)?;
    if system::send_with(&socket, &GREETING, &gift)? != GREETING.len() {
        return Err(io::ErrorKind::WriteZero.into()); // a fresh socket has room for it
    }
    Ok(Pipe::new(Arc::new(socket), region, Side::Caller))
}

/// What a caller is to share, if its greeting has come.
///
/// # Errors
///
/// `InvalidData`: this is no caller of ours, or what it gave cannot be used safely. Else the socket has
/// ended.
pub(super) fn welcome(socket: &Socket) -> io::Result<Option<Region>> {
    let mut greeting = [0; GREETING.len()];
    let (len, gifts) = match system::receive_with(socket, &mut greeting) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(None),
        Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
        other => other?,
    };
    // One call sent it, so one read brings it.
    let is_ours = greeting[..len] == GREETING;
    let [memory]: [OwnedFd; 1] = gifts.try_into().map_err(|_| io::ErrorKind::InvalidData)?;
    if !is_ours {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Region::of_peer(&memory, REGION_BYTES).map(Some)
}
