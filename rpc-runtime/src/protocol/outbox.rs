//! What a machine has to say: events in order, and PDUs packed into datagrams by address.

use std::collections::VecDeque;

use super::fragment::Part;
use super::{Output, path};
use crate::address::Address;
use crate::wire::{self, Envelope, HEADER_BYTES, HeaderSum, PROTOCOL_VERSION, Pdu, Probe, Probed};

/// Filled while input is handled, emptied by the drain. Datagram buffers are used again.
#[derive(Debug)]
pub(crate) struct Outbox<E> {
    events: VecDeque<E>,
    datagrams: VecDeque<(Address, Vec<u8>)>,
    /// Of datagrams that were taken out.
    popped: u64,
    /// What stands behind datagrams that are only the heads of theirs, by how many came before.
    parts: VecDeque<(u64, Part)>,
    /// What stands behind the one that was taken out last.
    part: Option<Part>,
    spare: Vec<Vec<u8>>,
    /// So many were gathered that all but the last leave.
    leaves: bool,
    /// Calls under way: how much is gathered depends on it.
    under_way: usize,
    sum: HeaderSum,
}

/// Datagram buffers kept for reuse.
const SPARE_MAX: usize = 256;

/// Spare buffers stay behind.
impl<E: Clone> Clone for Outbox<E> {
    fn clone(&self) -> Self {
        let (events, datagrams) = (self.events.clone(), self.datagrams.clone());
        let (parts, part, popped) = (self.parts.clone(), self.part.clone(), self.popped);
        Self { events, datagrams, popped, parts, part, ..Self::new() }
    }
}

impl<E> Outbox<E> {
    pub(crate) fn new() -> Self {
        Self {
            events: VecDeque::new(),
            datagrams: VecDeque::new(),
            popped: 0,
            parts: VecDeque::new(),
            part: None,
            spare: Vec::new(),
            leaves: false,
            under_way: 0,
            sum: HeaderSum::default(),
        }
    }

    pub(crate) fn event(&mut self, event: E) {
        self.events.push_back(event);
    }

    pub(crate) fn pop_event(&mut self) -> Option<E> {
        self.events.pop_front()
    }

    /// So many calls are under way now.
    #[inline]
    pub(crate) const fn set_under_way(&mut self, calls: usize) {
        self.under_way = calls;
    }

    /// Appends a PDU to the last datagram if that goes to the same address and has room, else
    /// begins another.
    pub(crate) fn send(&mut self, to: Address, envelope: &Envelope, pdu: &Pdu<'_>) {
        let is_whole = self.parts.back().is_none_or(|(place, _)| place + 1 != self.next_place());
        if let Some((address, datagram)) = self.datagrams.back_mut() {
            let (whole, bytes_max) = (datagram.len(), path::gathered_bytes(to, self.under_way));
            let may_fit = whole + payload_bytes(pdu) < bytes_max;
            if *address == to && may_fit && is_whole && datagram.first() == Some(&PROTOCOL_VERSION)
            {
                wire::encode_by(&mut self.sum, envelope, pdu, datagram);
                if datagram.len() <= bytes_max {
                    return;
                }
                datagram.truncate(whole);
            }
        }
        let mut datagram = self.spare.pop().unwrap_or_default();
        datagram.clear();
        wire::encode_by(&mut self.sum, envelope, pdu, &mut datagram);
        self.datagrams.push_back((to, datagram));
    }

    /// The same of a PDU whose last bytes stay where they are. It has a datagram of its own.
    pub(crate) fn send_before(
        &mut self,
        to: Address,
        envelope: &Envelope,
        pdu: &Pdu<'_>,
        part: Part,
    ) {
        let mut head = self.spare.pop().unwrap_or_default();
        head.clear();
        wire::encode_before(envelope, pdu, part.bytes().len(), &mut head);
        self.parts.push_back((self.next_place(), part));
        self.datagrams.push_back((to, head));
    }

    /// Says a PDU in the name of another version, in a datagram of its own: others do not read on.
    pub(crate) fn send_as(&mut self, version: u8, to: Address, envelope: &Envelope, pdu: &Pdu<'_>) {
        let mut datagram = self.spare.pop().unwrap_or_default();
        datagram.clear();
        wire::encode_as(&mut self.sum, version, envelope, pdu, &mut datagram);
        self.datagrams.push_back((to, datagram));
    }

    /// How many datagrams there were before the next one.
    fn next_place(&self) -> u64 {
        self.popped + self.datagrams.len() as u64
    }

    /// Whether what is left may wait for more: one datagram that is not full, or, where several leave by
    /// one system call, fewer than are worth one.
    pub(crate) fn may_wait(&mut self) -> bool {
        let held = self
            .datagrams
            .back()
            .map_or(1, |(to, _)| path::gathered_datagrams(*to, self.under_way));
        self.leaves = self.datagrams.len() > if self.leaves { 1 } else { held };
        self.events.is_empty() && !self.leaves && self.parts.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.datagrams.is_empty()
    }

    /// Whether all of it is one write to this stream: what is said to the same peer soon joins it, and the one
    /// is not lost with the other, as in a datagram.
    pub(crate) fn is_one_write(&self, stream: Address) -> bool {
        let is_one = self.events.is_empty() && self.parts.is_empty() && self.datagrams.len() == 1;
        let is_its = self.datagrams.front().is_some_and(|(to, _)| *to == stream);
        is_one && is_its && path::is_stream(stream)
    }

    /// The next event, or else the next datagram, which is moved into `datagram`: nothing if there is neither,
    /// or if it `is_held` and may wait for more.
    #[inline]
    pub(crate) fn poll(&mut self, datagram: &mut Vec<u8>, is_held: bool) -> Option<Output<E>> {
        if is_held && self.may_wait() {
            return None;
        }
        match self.pop_event() {
            Some(event) => Some(Output::Event(event)),
            None => self.pop_datagram(datagram).map(|to| Output::Transmit { to }),
        }
    }

    /// Moves the next datagram into `datagram`, whose buffer is used again; or its head, and the rest is
    /// given by [`Outbox::take_part`].
    pub(crate) fn pop_datagram(&mut self, datagram: &mut Vec<u8>) -> Option<Address> {
        let (to, bytes) = self.datagrams.pop_front()?;
        if self.parts.front().is_some_and(|(place, _)| *place == self.popped) {
            self.part = self.parts.pop_front().map(|(_, part)| part);
        }
        self.popped += 1;
        let before = std::mem::replace(datagram, bytes);
        if self.spare.len() < SPARE_MAX {
            self.spare.push(before);
        }
        Some(to)
    }

    /// Puts what stands behind the datagram that was taken out last, if that was only a head, behind it.
    pub(crate) fn join_part(&mut self, datagram: &mut Vec<u8>) {
        if let Some(part) = self.take_part() {
            part.join(datagram);
        }
    }

    /// What stands behind the datagram that was taken out last, if that was only a head.
    #[inline]
    pub(crate) const fn take_part(&mut self) -> Option<Part> {
        self.part.take()
    }
}

/// What a PDU carries of a message: it is longer than that.
const fn payload_bytes(pdu: &Pdu<'_>) -> usize {
    match pdu {
        Pdu::Request(request) => request.arguments.len(),
        Pdu::Reply(reply) => reply.body.len(),
        // Padded to the length of its datagram, or as short as the rest.
        Pdu::Probe(Probe { bytes, .. }) | Pdu::Probed(Probed { bytes, .. }) => {
            (*bytes as usize).saturating_sub(HEADER_BYTES + Probe::LEN)
        }
        Pdu::Hello(_)
        | Pdu::Cookie(_)
        | Pdu::Welcome(_)
        | Pdu::Reject(_)
        | Pdu::Refuse(_)
        | Pdu::Ack(_)
        | Pdu::Ping(_)
        | Pdu::Working(_)
        | Pdu::Unseen(_)
        | Pdu::Extend(_)
        | Pdu::Cancel(_)
        | Pdu::Seal(_)
        | Pdu::Sealed(_)
        | Pdu::NoSession(_)
        | Pdu::Owner(_)
        | Pdu::Alive(_)
        | Pdu::Goaway(_)
        | Pdu::Bye(_) => 0,
    }
}

/// Buffers for arguments and replies, used again and again.
#[derive(Debug)]
pub(crate) struct Pool {
    buffers: Vec<Vec<u8>>,
}

/// Buffers kept in a pool.
const POOL_MAX: usize = 256;
/// A buffer that grew beyond this is given back to the allocator.
pub(crate) const POOLED_BYTES_MAX: usize = 16 << 10;

/// Spare buffers stay behind.
impl Clone for Pool {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Pool {
    pub(crate) const fn new() -> Self {
        Self { buffers: Vec::new() }
    }

    /// An empty buffer.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// A buffer that holds `bytes`.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.take();
        buffer.extend_from_slice(bytes);
        buffer
    }

    /// Gives a buffer back.
    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if self.buffers.len() < POOL_MAX && capacity > 0 && capacity <= POOLED_BYTES_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

/// Boxes kept for reuse: for what goes from hand to hand.
#[derive(Debug)]
pub(crate) struct Spares<T>(Vec<Box<T>>);

/// Boxes kept for reuse: as many as calls that are under way, or whose ends nobody has taken, in a machine
/// that is busy.
const SPARES_MAX: usize = 1_024;

impl<T> Default for Spares<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Spare boxes stay behind.
impl<T> Clone for Spares<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> Spares<T> {
    pub(crate) fn take(&mut self) -> Option<Box<T>> {
        self.0.pop()
    }

    pub(crate) fn give(&mut self, spare: Box<T>) {
        if self.0.len() < SPARES_MAX {
            self.0.push(spare);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Incarnation, Sequence, SessionId, SlotIndex, Space};
    use crate::wire::{Ack, Bye, ByeReason, DATAGRAM_BYTES_MAX};

    const ENVELOPE: Envelope = Envelope {
        space: Space::Session,
        target: 0,
        session: SessionId(1),
        incarnation: Incarnation(1),
    };

    fn lengths(outbox: &mut Outbox<()>) -> Vec<(Address, usize)> {
        let mut datagram = Vec::new();
        std::iter::from_fn(|| outbox.pop_datagram(&mut datagram).map(|to| (to, datagram.len())))
            .collect()
    }

    #[test]
    fn an_answer_may_join_one_write_to_a_stream_and_nothing_else() {
        let (stream, host) = (Address::Local(1), Address::Virtual(1));
        let bye = Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] });
        let joins = |said: &[Address], to| {
            let mut outbox = Outbox::<()>::new();
            said.iter().for_each(|to| outbox.send(*to, &ENVELOPE, &bye));
            outbox.is_one_write(to)
        };
        assert!(joins(&[stream], stream) && joins(&[stream, stream], stream));
        assert!(!joins(&[], stream) && !joins(&[host], host));
        let other = Address::Local(2);
        assert!(!joins(&[stream], other) && !joins(&[stream, other], stream));
        let mut outbox = Outbox::new();
        outbox.send(stream, &ENVELOPE, &bye);
        outbox.event(());
        assert!(!outbox.is_one_write(stream), "somebody is to hear something first");
    }

    #[test]
    fn pdus_to_one_address_share_datagrams_that_are_no_longer_than_one_may_be() {
        let (here, there) = (Address::Virtual(1), Address::Virtual(2));
        let ack = Ack {
            slot: SlotIndex(0),
            sequence: Sequence(1),
            cumulative: 0,
            fragments: 1,
            bitmap: 0,
        };
        let (ack, long) = (Pdu::Ack(ack), HEADER_BYTES + Ack::LEN);
        let fit = DATAGRAM_BYTES_MAX / long;
        let mut outbox = Outbox::<()>::new();
        for _ in 0..=fit {
            outbox.send(here, &ENVELOPE, &ack);
        }
        outbox.send(there, &ENVELOPE, &ack);
        assert_eq!(lengths(&mut outbox), [(here, fit * long), (here, long), (there, long)]);
    }

    #[test]
    fn a_pool_keeps_buffers_of_use_and_not_more_than_it_may() {
        let mut pool = Pool::new();
        pool.give(Vec::new());
        pool.give(Vec::with_capacity(POOLED_BYTES_MAX + 1));
        assert!(pool.buffers.is_empty());
        for _ in 0..=POOL_MAX {
            pool.give(vec![1; 8]);
        }
        assert_eq!(pool.buffers.len(), POOL_MAX);
        assert!(pool.take().is_empty());
    }

    #[test]
    fn nothing_joins_a_head_and_what_comes_behind_it_joins_as_ever() {
        use super::super::fragment::Message;
        use crate::wire::FRAME_BYTES_MAX;

        let part = Message::from(vec![7; FRAME_BYTES_MAX + 1]).part(0..100).expect("it is long");
        let bye = Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] });
        let mut outbox = Outbox::<()>::new();
        let to = Address::Local(1);
        outbox.send_before(to, &ENVELOPE, &bye, part);
        (0..3).for_each(|_| outbox.send(to, &ENVELOPE, &bye));
        let mut datagram = Vec::new();
        assert_eq!(outbox.pop_datagram(&mut datagram), Some(to));
        assert_eq!(outbox.take_part().map(|part| part.bytes().len()), Some(100));
        let head_bytes = datagram.len();
        assert_eq!(outbox.pop_datagram(&mut datagram), Some(to));
        assert!(outbox.take_part().is_none() && datagram.len() == 3 * head_bytes);
        assert_eq!(outbox.pop_datagram(&mut datagram), None);
    }
}
