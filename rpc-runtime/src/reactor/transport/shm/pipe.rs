//! One end of what joins a caller and a server: the rings, and the socket by which they came to be.
//!
//! # Who wakes whom
//!
//! A side that has nothing to read says in its word `asleep` how it is to be woken, looks once more, and
//! sleeps: at that very word ([`AT_WORD`], a futex), or in a poll that watches the socket too
//! ([`IN_POLL`]), by a byte that means nothing. Who writes to a ring looks at its reader's word, and makes
//! a system call only if it says so; who takes the word back to [`AWAKE`] makes it, and nobody else.
//!
//! No wake-up is lost. The reader stores its word, then loads the count of what was written; the writer
//! stores that count, then loads the word; both with a sequentially consistent fence in between. In the
//! one order of the fences the earlier one's store is seen by the later one's load (Dekker): the writer
//! sees the word, or the reader sees the count. A word that changes before its owner sleeps at it ends
//! the sleep at once (`futex(2)`).
//!
//! The words belong to a peer as well, which may write what it likes: that may cost it its own wake-ups,
//! and this side one look each. So nobody sleeps at a word for longer than [`super::BLOCKED`], and a poll
//! sees the socket's end, which is the peer's.

use std::io;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::Socket;

use super::super::uninit;
use super::ring::{Hostile, Reader, Rings, Side, Writer};
use super::system::{self, Region};
use crate::time::Duration;

/// A side is to look by itself before it sleeps.
pub(super) const AWAKE: u32 = 0;
/// It sleeps at its word.
pub(super) const AT_WORD: u32 = 1;
/// It sleeps where a byte by the socket wakes it.
pub(super) const IN_POLL: u32 = 2;

/// Bytes of waking taken from the socket at once.
const BELLS_MAX: usize = 256;

/// One end of a pair of rings.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Says when the peer's process has ended, and wakes.
    pub(super) socket: Arc<Socket>,
    region: Region,
    side: Side,
    writer: Mutex<Writer>,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is in the ring.
    Yes,
    /// There is no room for it.
    Full,
}

impl Pipe {
    pub(super) fn new(socket: Arc<Socket>, region: Region, side: Side) -> Self {
        Self { socket, region, side, writer: Mutex::default() }
    }

    fn rings(&self) -> Rings<'_> {
        Rings::of(self.side, self.region.words(), self.region.rings())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a datagram; the peer is yet to be woken.
    pub(super) fn push(&self, datagram: &[u8]) -> Result<Pushed, Hostile> {
        let has_room = self.writer().write(&self.rings(), datagram)?;
        Ok(if has_room { Pushed::Yes } else { Pushed::Full })
    }

    /// How much the peer has yet to read.
    pub(super) fn unread(&self) -> Result<u32, Hostile> {
        self.writer().unread(&self.rings())
    }

    /// How much the peer ever read, as counts go.
    pub(super) fn ever_read(&self) -> u32 {
        self.writer().ever_read()
    }

    /// Whether the peer has so much to read that it is not to be heard until it has.
    pub(super) fn is_choked(&self) -> Result<bool, Hostile> {
        self.writer().is_choked(&self.rings())
    }

    /// Copies out what has come; wakes a peer that waits for the room.
    pub(super) fn pop(&self, reader: &mut Reader, buffer: &mut [u8]) -> Result<usize, Hostile> {
        let rings = self.rings();
        let len = reader.read(&rings, buffer)?;
        if len > 0 && reader.owes_room(&rings) {
            let _ = self.nudge(); // that it is not there is found by who reads from it
        }
        Ok(len)
    }

    pub(super) fn has_news(&self, reader: &Reader) -> bool {
        reader.has_news(&self.rings())
    }

    /// Wakes the peer, if it sleeps: to be called after each change that it may wait for. Says whether it
    /// may be there. A socket that takes no more bytes has some that the peer has yet to see.
    pub(super) fn nudge(&self) -> bool {
        let asleep = self.rings().theirs.asleep;
        fence(Ordering::SeqCst);
        if asleep.load(Ordering::Relaxed) == AWAKE {
            return true;
        }
        match asleep.swap(AWAKE, Ordering::Relaxed) {
            AWAKE => true,
            AT_WORD => {
                system::rouse(asleep);
                true
            }
            _ => {
                let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
                match self.socket.send_with_flags(&[0], flags) {
                    Ok(_) => true,
                    Err(error) => error.kind() == io::ErrorKind::WouldBlock,
                }
            }
        }
    }

    /// Says how this side is to be woken. What the peer did before it could see that is to be looked for
    /// afterwards.
    pub(super) fn announce(&self, how: u32) {
        self.rings().ours.asleep.store(how, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// This side looks by itself again.
    pub(super) fn rise(&self) {
        self.rings().ours.asleep.store(AWAKE, Ordering::Relaxed);
    }

    /// Sleeps until this side is woken, as was announced.
    pub(super) fn sleep(&self, patience: Duration) {
        system::sleep(self.rings().ours.asleep, AT_WORD, patience);
    }

    /// Wakes this side's own thread that sleeps so, or is about to.
    pub(super) fn rouse(&self) {
        self.rise();
        system::rouse(self.rings().ours.asleep);
    }

    /// Takes bytes of waking from the socket; says whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        let mut bells = [0; BELLS_MAX];
        match self.socket.recv_with_flags(uninit(&mut bells), libc::MSG_DONTWAIT) {
            Ok(len) => len == 0,
            Err(error) => {
                !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
            }
        }
    }

    /// Whether the socket has ended, whatever it holds.
    pub(super) fn has_hung_up(&self) -> bool {
        system::has_hung_up(&self.socket)
    }

    /// Nothing is to come any more: both ends find the socket's end.
    pub(super) fn shut(&self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}
