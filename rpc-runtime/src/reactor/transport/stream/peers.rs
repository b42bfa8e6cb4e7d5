//! Those who have a stream to a listener: what is read from one, and what is written to one.
//!
//! Writing is for any thread, and each stream has its own lock for it, held while the socket takes
//! what it can without waiting. Reading is for the one that receives. Knows one stream at a time.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::Socket;

use super::super::spin::Spin;
use super::queue::Queue;
use super::{BULK_BYTES, Read, await_read, read};
use crate::address::Address;
use crate::driver::Sent;
use crate::reactor::clock;
use crate::time::Instant;
use crate::wire;

/// By which part of what may wait a peer must have read so much of its answers that more is read from
/// it: who does not read cannot ask for more.
const CHOKED_SHARE: usize = 4;

/// Where the stream's thread has it, and its number.
pub(super) type Place = (usize, u64);

/// The end of a stream that is written to.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) socket: Socket,
    /// Who calls by it.
    pub(super) address: Address,
    /// Which of the threads that receive has it, and its number among all streams.
    pub(super) way: usize,
    pub(super) number: u64,
    /// Where that thread has it, once it has.
    index: AtomicUsize,
    /// When something came last, in microseconds.
    heard: AtomicU64,
    backlog: Mutex<Backlog>,
}

/// What its peer has yet to read.
#[derive(Debug, Default)]
struct Backlog {
    queue: Queue,
    /// When something of it left last, or began to wait.
    moved: Instant,
}

/// What waits in all streams of a listener, and how much may.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) queued_bytes: AtomicUsize,
    pub(super) stream_bytes_max: usize,
    pub(super) all_bytes_max: usize,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It left, or waits behind what waits already.
    Yes,
    /// It waits, and is the first that does.
    Waits,
    /// Too much waits: it did not leave, and is lost.
    Full,
    /// There is no stream any more.
    Lost,
}

impl From<Written> for Sent {
    fn from(written: Written) -> Self {
        match written {
            Written::Yes | Written::Waits => Self::Yes,
            Written::Full => Self::Full,
            Written::Lost => Self::Failed,
        }
    }
}

impl Stream {
    /// A stream that begins now, of this thread and number.
    pub(super) fn new(
        socket: Socket,
        address: Address,
        (way, number): (usize, u64),
        now: Instant,
    ) -> Self {
        let (index, heard) = (AtomicUsize::new(usize::MAX), AtomicU64::new(now.as_micros()));
        Self { socket, address, way, number, index, heard, backlog: Mutex::default() }
    }

    pub(super) fn place(&self) -> Place {
        (self.index.load(Ordering::Relaxed), self.number)
    }

    /// Its thread has it there.
    pub(super) fn stands_at(&self, index: usize) {
        self.index.store(index, Ordering::Relaxed);
    }

    /// When something came last.
    pub(super) fn heard(&self) -> Instant {
        Instant::from_micros(self.heard.load(Ordering::Relaxed))
    }

    /// Something came.
    pub(super) fn hear(&self, now: Instant) {
        self.heard.store(now.as_micros(), Ordering::Relaxed);
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes behind what waits already.
    pub(super) fn write(&self, parts: [&[u8]; 2], room: &Room) -> Written {
        let Backlog { queue, moved } = &mut *self.backlog();
        let before = queue.len();
        let is_full = before + parts[0].len() + parts[1].len() > room.stream_bytes_max
            || (before > 0 && room.queued_bytes.load(Ordering::Relaxed) > room.all_bytes_max);
        if is_full {
            return Written::Full;
        }
        let sent = queue.send(&self.socket, parts);
        room.queued_bytes.fetch_add(queue.len() - before, Ordering::Relaxed);
        if sent.is_err() {
            self.shut();
            return Written::Lost;
        }
        if before > 0 || queue.is_empty() {
            return Written::Yes;
        }
        *moved = clock::now();
        Written::Waits
    }

    /// Writes what waits, as far as the socket takes it. Says whether so much waits still that the peer
    /// is to read before it is heard again.
    pub(super) fn flush(&self, room: &Room) -> bool {
        let Backlog { queue, moved } = &mut *self.backlog();
        let before = queue.len();
        if before == 0 {
            return false;
        }
        if queue.flush(&self.socket).is_err() {
            self.shut();
        }
        let after = queue.len();
        if after < before {
            room.queued_bytes.fetch_sub(before - after, Ordering::Relaxed);
            *moved = clock::now();
        }
        after > room.stream_bytes_max / CHOKED_SHARE
    }

    /// Since when its peer has read nothing, where something waits for it.
    pub(super) fn stuck_since(&self) -> Option<Instant> {
        let backlog = self.backlog();
        (!backlog.queue.is_empty()).then_some(backlog.moved)
    }

    /// Nothing comes or leaves any more: the receiving thread finds the end.
    pub(super) fn shut(&self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// Gives back the room of what will not be written.
    pub(super) fn close(&self, room: &Room) {
        self.shut();
        let mut backlog = self.backlog();
        room.queued_bytes.fetch_sub(backlog.queue.len(), Ordering::Relaxed);
        backlog.queue.clear();
    }
}

/// What the receiving thread knows of a stream.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The beginning of a PDU, and since when there is no more of it than a beginning.
    partial: Vec<u8>,
    since: Instant,
    /// Whether a whole PDU ever came.
    pub(super) is_proved: bool,
    /// Whether the last read brought much.
    is_bulk: bool,
    spin: Spin,
}

/// What came by a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Come {
    /// So many bytes of whole PDUs, and whether there may be more.
    Pdus(usize, bool),
    /// A part of one, and whether there may be more.
    Part(bool),
    /// Nothing.
    Nothing,
    /// Something that is no PDU, behind so many bytes of PDUs.
    Malformed(usize),
    /// The end.
    End,
}

impl Reading {
    /// Of a stream that begins now.
    pub(super) fn since(now: Instant) -> Self {
        Self { since: now, ..Self::default() }
    }

    /// Reads once; waits a little for something to come if it may. `is_ending` says that the stream is
    /// known to have an end, which is to be found.
    pub(super) fn read(
        &mut self,
        socket: &Socket,
        buffer: &mut [u8],
        (is_ending, waits): (bool, bool),
        now: impl Fn() -> Instant,
    ) -> Come {
        let kept = self.partial.len();
        let Some(room) = buffer.get_mut(kept..).filter(|room| !room.is_empty()) else {
            return Come::Malformed(0); // longer than the reader expects
        };
        let room_bytes = room.len();
        let come = if waits {
            await_read(socket, room, self.is_bulk.then_some(&mut self.spin))
        } else {
            read(socket, room, false)
        };
        let read = match come {
            Read::Bytes(read) => read,
            Read::Nothing => return Come::Nothing,
            Read::End => return Come::End,
        };
        // A read that does not fill its buffer has emptied the socket, and the next bytes are news
        // (epoll(7), question 9).
        let is_more = read == room_bytes || is_ending;
        self.is_bulk = read >= BULK_BYTES;
        buffer[..kept].copy_from_slice(&self.partial);
        self.partial.clear();
        let come = &buffer[..kept + read];
        match wire::frames(come) {
            Err((whole, _)) => Come::Malformed(whole),
            Ok(whole) => {
                self.partial.extend_from_slice(&come[whole..]);
                if !self.partial.is_empty() && (kept == 0 || whole > 0) {
                    self.since = now();
                }
                self.is_proved |= whole > 0;
                if whole > 0 { Come::Pdus(whole, is_more) } else { Come::Part(is_more) }
            }
        }
    }

    /// Since when a PDU is awaited: the first, or the rest of one.
    pub(super) fn awaits_since(&self) -> Option<Instant> {
        (!self.is_proved || !self.partial.is_empty()).then_some(self.since)
    }
}
