//! What happened in a run, folded into 64 bits as it happens, and kept as text if asked for.
//!
//! The hash depends on every event, its time and its order, and on nothing else: not on the
//! machine, not on addresses in memory, not on real time. Two runs of a seed have equal hashes, or
//! something in them is not a function of the seed. Not a cryptographic hash: nobody cheats here.

use std::collections::VecDeque;
use std::fmt;

use super::hosts::HostId;
use crate::address::Address;
use crate::ids::CallId;
use crate::time::Instant;
use crate::wire::{self, Envelope, Kind, Pdu};

/// Why a datagram did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The faults in force dropped it.
    Fault,
    /// The path is cut.
    Partition,
    /// A scripted rule dropped it.
    Script,
    /// Nobody is there: the host is down, or nothing listens on the port.
    Nobody,
    /// The receiver's queue was full.
    QueueFull,
    /// Its stream broke, or none was to be had.
    Broken,
    /// It is longer than the path carries.
    TooLong,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fault => "dropped by the network",
            Self::Partition => "dropped by the partition",
            Self::Script => "dropped by script",
            Self::TooLong => "too long for the path",
            Self::Nobody => "nobody there",
            Self::QueueFull => "queue full",
            Self::Broken => "lost with its stream",
        })
    }
}

/// Something that happens in a simulated world.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A datagram left.
    Sent {
        /// From.
        from: Address,
        /// To.
        to: Address,
        /// What it holds.
        datagram: &'a [u8],
    },
    /// A datagram, or a copy of it, will not arrive.
    Lost {
        /// From.
        from: Address,
        /// To.
        to: Address,
        /// Why.
        why: Lost,
        /// What it held.
        datagram: &'a [u8],
    },
    /// A datagram arrived.
    Arrived {
        /// From.
        from: Address,
        /// To.
        to: Address,
        /// What it holds, perhaps damaged.
        datagram: &'a [u8],
    },
    /// A node's time came.
    Woke(HostId),
    /// A thread was given the baton.
    Ran {
        /// Its host.
        host: HostId,
        /// Its number.
        thread: usize,
    },
    /// A host crashed.
    Crashed(HostId),
    /// A host came up, in this life.
    Started {
        /// The host.
        host: HostId,
        /// Its life, counted from 1.
        life: u32,
    },
    /// The stream broke that `from` had opened to `to`.
    Broke {
        /// From.
        from: Address,
        /// To.
        to: Address,
    },
    /// Somebody wrote something down.
    Note {
        /// What.
        text: &'a str,
    },
}

/// The record of a run.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    events: u64,
    names: Vec<String>,
    kept: VecDeque<(Instant, String)>,
    kept_max: usize,
}

impl Trace {
    /// An empty record that keeps the text of the last `kept_max` events.
    #[must_use]
    pub fn new(kept_max: usize) -> Self {
        Self { hash: 0, events: 0, names: Vec::new(), kept: VecDeque::new(), kept_max }
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        // The finalizer of MurmurHash3: every bit of the fold reaches every bit of the hash.
        let mut hash = self.hash ^ self.events;
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    }

    /// How many events there were.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Keeps the text of the last `events` events from here on; 0 keeps none, which is faster.
    pub fn keep(&mut self, events: usize) {
        self.kept_max = events;
        self.kept.truncate(events);
    }

    /// The text of the last events, oldest first, a line each.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.kept.iter().map(|(at, text)| format!("{at}  {text}"))
    }

    /// Records an event.
    pub fn record(&mut self, at: Instant, event: &Event<'_>) {
        self.events += 1;
        self.word(at.as_micros());
        match *event {
            Event::Sent { from, to, datagram } => self.datagram(1, from, to, datagram),
            Event::Lost { from, to, why, datagram } => {
                self.datagram(16 + why as u64, from, to, datagram);
            }
            Event::Arrived { from, to, datagram } => self.datagram(2, from, to, datagram),
            Event::Woke(host) => self.word(3 << 32 | u64::from(host.0)),
            Event::Ran { host, thread } => {
                self.word(4 << 32 | u64::from(host.0));
                self.word(thread as u64);
            }
            Event::Crashed(host) => self.word(5 << 32 | u64::from(host.0)),
            Event::Started { host, life } => {
                self.word(6 << 32 | u64::from(host.0));
                self.word(u64::from(life));
            }
            Event::Broke { from, to } => self.datagram(8, from, to, &[]),
            Event::Note { text } => {
                self.word(7 << 32);
                self.bytes(text.as_bytes());
            }
        }
        if self.kept_max > 0 {
            self.remember(at, event);
        }
    }

    /// Names a host in the text.
    pub(super) fn name(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }

    fn datagram(&mut self, kind: u64, from: Address, to: Address, datagram: &[u8]) {
        self.word(kind << 32 | number(from));
        self.word(number(to));
        self.bytes(datagram);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let word = word.try_into().expect("a chunk of eight");
            self.word(u64::from_le_bytes(word));
        }
        let mut last = [0; 8];
        last[..words.remainder().len()].copy_from_slice(words.remainder());
        self.word(u64::from_le_bytes(last));
    }

    /// Folds one word in: rotation makes the order count, the multiplier (the golden ratio)
    /// spreads it.
    fn word(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn remember(&mut self, at: Instant, event: &Event<'_>) {
        if self.kept.len() == self.kept_max {
            self.kept.pop_front();
        }
        let text = self.text(event);
        self.kept.push_back((at, text));
    }

    fn text(&self, event: &Event<'_>) -> String {
        let host = |host: HostId| self.names.get(host.index()).map_or("?", String::as_str);
        let place = |address| match HostId::of(address) {
            Some((id, 0)) => host(id).to_owned(),
            Some((id, port)) => format!("{}:{port}", host(id)),
            None => address.to_string(),
        };
        let line = |from, to, datagram: &[u8], what: &str| {
            let (from, to, pdus) = (place(from), place(to), Pdus(datagram));
            format!("{from:<10} → {to:<10} {pdus:<18} {:>4} B  {what}", datagram.len())
        };
        match *event {
            Event::Sent { from, to, datagram } => line(from, to, datagram, "sent"),
            Event::Lost { from, to, why, datagram } => line(from, to, datagram, &why.to_string()),
            Event::Arrived { from, to, datagram } => line(from, to, datagram, "arrived"),
            Event::Woke(id) => format!("{} wakes by its timer", host(id)),
            Event::Ran { host: id, thread } => format!("{} thread {thread} runs", host(id)),
            Event::Crashed(id) => format!("{} crashes", host(id)),
            Event::Started { host: id, life } => format!("{} starts, life {life}", host(id)),
            Event::Broke { from, to } => line(from, to, &[], "the stream breaks"),
            Event::Note { text } => text.to_owned(),
        }
    }
}

/// Addresses as numbers; the simulator has virtual ones only.
fn number(address: Address) -> u64 {
    match address {
        Address::Virtual(number) => u64::from(number),
        Address::VirtualStream(number) => 1 << u32::BITS | u64::from(number),
        Address::Ip(address) | Address::Tcp(address) => u64::from(address.port()),
        Address::Local(number) => number,
    }
}

/// The PDUs of a datagram and their calls: `REPLY s#7f3a.0.1`, or `REPLY s#7f3a.0.1, ACK s#7f3a.1.7`.
struct Pdus<'a>(&'a [u8]);

impl fmt::Display for Pdus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let Ok((envelope, pdu, behind)) = wire::decode(rest) else {
                let kind = Kind::peek(rest).map_or("no PDU", Kind::name);
                parts.push(format!("{kind} (malformed)"));
                break;
            };
            let name = pdu.kind().name();
            parts.push(
                call(&envelope, &pdu).map_or(name.to_owned(), |call| format!("{name} {call}")),
            );
            rest = behind;
        }
        f.pad(&parts.join(", "))
    }
}

/// The call that a PDU is about, if it is about one.
fn call(envelope: &Envelope, pdu: &Pdu<'_>) -> Option<CallId> {
    let (slot, sequence) = match pdu {
        Pdu::Request(pdu) => (pdu.slot, pdu.sequence),
        Pdu::Reply(pdu) => (pdu.slot, pdu.sequence),
        Pdu::Refuse(pdu) => (pdu.slot, pdu.sequence),
        Pdu::Ack(pdu) => (pdu.slot, pdu.sequence),
        Pdu::Ping(pdu) => (pdu.slot, pdu.sequence),
        Pdu::Working(pdu) => (pdu.slot, pdu.sequence),
        Pdu::Unseen(pdu) => (pdu.slot, pdu.sequence),
        Pdu::Extend(pdu) => (pdu.slot, pdu.sequence),
        Pdu::Cancel(pdu) => (pdu.slot, pdu.sequence),
        Pdu::Seal(pdu) => (pdu.slot, pdu.sequence),
        Pdu::Sealed(pdu) => (pdu.slot, pdu.sequence),
        Pdu::NoSession(pdu) => (pdu.slot, pdu.sequence),
        Pdu::Owner(pdu) => (pdu.slot, pdu.sequence),
        Pdu::Alive(pdu) => (pdu.slot, pdu.sequence),
        Pdu::Hello(_)
        | Pdu::Cookie(_)
        | Pdu::Welcome(_)
        | Pdu::Reject(_)
        | Pdu::Goaway(_)
        | Pdu::Bye(_)
        | Pdu::Probe(_)
        | Pdu::Probed(_) => return None,
    };
    Some(CallId { session: envelope.session, space: envelope.space, slot, sequence })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Sequence, SessionId, SlotIndex};
    use crate::wire::{Bye, ByeReason, Ping};

    fn trace(events: &[(u64, &str)]) -> u64 {
        let mut trace = Trace::new(0);
        for (at, text) in events {
            trace.record(Instant::from_micros(*at), &Event::Note { text });
        }
        trace.hash()
    }

    #[test]
    fn the_hash_depends_on_what_when_and_in_which_order() {
        let hashes = [
            trace(&[]),
            trace(&[(1, "a"), (1, "b")]),
            trace(&[(1, "b"), (1, "a")]),
            trace(&[(1, "a"), (2, "b")]),
            trace(&[(1, "ab")]),
            trace(&[(1, "a"), (1, "b"), (1, "")]),
        ];
        let distinct: std::collections::BTreeSet<_> = hashes.iter().collect();
        assert_eq!(distinct.len(), hashes.len());
    }

    #[test]
    fn the_hash_is_the_same_on_every_machine() {
        assert_eq!(trace(&[(1_000, "one"), (2_000, "a longer note")]), GOLDEN);
    }

    const GOLDEN: u64 = 9_485_547_850_671_608_682;

    #[test]
    fn the_last_events_are_kept_as_text() {
        let mut trace = Trace::new(2);
        trace.name("bank");
        trace.name("till");
        let (bank, till) = (HostId(0), HostId(1));
        trace.record(Instant::START, &Event::Started { host: bank, life: 1 });
        let (from, to) = (bank.address(), till.port(1_024));
        let mut both = Vec::new();
        let envelope = Envelope { session: SessionId(0xdead_7f3a), ..Envelope::default() };
        let (slot, sequence) = (SlotIndex(3), Sequence(41));
        wire::encode(&envelope, &Pdu::Ping(Ping { slot, sequence, stamp: 0 }), &mut both);
        wire::encode(&envelope, &Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] }), &mut both);
        let datagram = &both;
        trace.record(
            Instant::from_micros(203_000),
            &Event::Lost { from, to, why: Lost::Script, datagram },
        );
        trace.record(Instant::from_micros(401_000), &Event::Crashed(bank));
        let lines: Vec<_> = trace.lines().collect();
        assert_eq!(
            lines,
            [
                "+0.203000 s  bank       → till:1024  PING s#7f3a.3.41, BYE   88 B  dropped by script",
                "+0.401000 s  bank crashes",
            ]
        );
    }
}
