//! What the entries of a journal add up to: who the client is, its durable slots, its calls.
//!
//! Calls that have ended are kept for a while: a life that died between the end of a call and its
//! report learns in the next what that end was. Knows no file and no bytes.

use std::collections::{BTreeMap, VecDeque};

use super::codec::{self, Ending, Entry, StartedCall};
use crate::ids::{
    CallId, ClientId, GenerationId, Incarnation, Sequence, ServerId, SessionId, SlotIndex, Space,
};
use crate::protocol::{ClientSlot, ClientTable};

/// The most calls that have ended which are kept, and the most bytes of them.
const ENDED_CALLS_MAX: usize = 1_024;
const ENDED_BYTES_MAX: usize = 1 << 20;

/// The bytes of a call that are not its arguments, its reply and its names; near enough.
const CALL_BYTES: usize = 120;

/// What the entries of a journal add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The client and its last life.
    pub life: Option<(ClientId, Incarnation)>,
    /// Bytes that were no entry.
    pub damaged_bytes: usize,
    /// The version of an entry that a later release wrote, if there is one.
    pub later_version: Option<u8>,
    generations: BTreeMap<GenerationId, Marks>,
    calls: BTreeMap<CallId, Call>,
    /// Those that have ended, oldest end first.
    ended: VecDeque<CallId>,
    open_bytes: usize,
    ended_bytes: usize,
}

/// Durable slots: whose they are, and the last call of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Marks {
    server: ServerId,
    slots: BTreeMap<SlotIndex, Sequence>,
}

/// A call, and how it ended if it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its start.
    pub started: StartedCall,
    /// Its end.
    pub ending: Option<Ending>,
}

impl Call {
    fn bytes(&self) -> usize {
        let started = &self.started;
        let texts = started.label.len() + started.place.len();
        let ending = self.ending.as_ref().map_or(0, Ending::len);
        CALL_BYTES + texts + started.arguments.len() + ending
    }
}

impl Ledger {
    /// Adds an entry.
    pub fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Life(client, incarnation) => self.life = Some((client, incarnation)),
            Entry::Generation(server, generation, slots) => {
                for (slot, sequence) in slots {
                    self.mark(server, generation, slot, sequence);
                }
                self.generations.entry(generation).or_default().server = server;
            }
            Entry::Started(started) => {
                let CallId { session, space, slot, sequence } = started.call;
                if space == Space::Durable {
                    self.mark(started.server, GenerationId(session.0), slot, sequence);
                }
                self.remove(started.call);
                let call = Call { started, ending: None };
                self.open_bytes += call.bytes();
                self.calls.insert(call.started.call, call);
            }
            Entry::Ended(id, ending) => self.end(id, ending),
            Entry::Withdrawn(id) => self.remove(id),
            Entry::Forgotten(generation) => _ = self.generations.remove(&generation),
        }
    }

    /// A slot's last call is that one, or a later one.
    pub fn mark(
        &mut self,
        server: ServerId,
        generation: GenerationId,
        slot: SlotIndex,
        sequence: Sequence,
    ) {
        let marks = self.generations.entry(generation).or_default();
        marks.server = server;
        let last = marks.slots.entry(slot).or_default();
        *last = sequence.max(*last);
    }

    fn remove(&mut self, id: CallId) {
        let Some(call) = self.calls.remove(&id) else { return };
        if call.ending.is_some() {
            self.ended.retain(|ended| *ended != id);
            self.ended_bytes -= call.bytes();
        } else {
            self.open_bytes -= call.bytes();
        }
    }

    fn end(&mut self, id: CallId, ending: Ending) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.ending.is_none()) else {
            return;
        };
        self.open_bytes -= call.bytes();
        call.ending = Some(ending);
        self.ended_bytes += call.bytes();
        self.ended.push_back(id);
        while self.ended.len() > ENDED_CALLS_MAX || self.ended_bytes > ENDED_BYTES_MAX {
            let Some(&oldest) = self.ended.front() else { return };
            self.remove(oldest);
        }
    }

    /// A call.
    #[must_use]
    pub fn call(&self, id: CallId) -> Option<&Call> {
        self.calls.get(&id)
    }

    /// All calls.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.values()
    }

    /// Calls without an end.
    pub fn open(&self) -> impl Iterator<Item = &StartedCall> {
        self.calls().filter(|call| call.ending.is_none()).map(|call| &call.started)
    }

    /// How many calls have no end, and their bytes.
    #[must_use]
    pub fn open_size(&self) -> (usize, usize) {
        (self.calls.len() - self.ended.len(), self.open_bytes)
    }

    /// About how long the shortest journal is that adds up to this.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let marks = self.generations.values().map(|marks| marks.slots.len() + 1).sum::<usize>();
        self.open_bytes + self.ended_bytes + marks * size_of::<(SlotIndex, Sequence)>()
    }

    /// The generations of durable slots at a server, those with open calls first.
    #[must_use]
    pub fn generations_at(&self, server: ServerId) -> Vec<GenerationId> {
        let there = self.generations.iter().filter(|(_, marks)| marks.server == server);
        let mut there: Vec<GenerationId> = there.map(|(generation, _)| *generation).collect();
        there.sort_by_key(|generation| !self.has_open(*generation));
        there
    }

    fn has_open(&self, generation: GenerationId) -> bool {
        let name = SessionId(generation.0);
        self.open().any(|call| call.call.space == Space::Durable && call.call.session == name)
    }

    /// A generation as the machine goes on with it.
    #[must_use]
    pub fn table(&self, generation: GenerationId) -> Option<ClientTable> {
        let marks = self.generations.get(&generation)?;
        let (session, space) = (SessionId(generation.0), Space::Durable);
        let slot = |(&slot, &sequence): (&SlotIndex, &Sequence)| {
            let last = self.calls.get(&CallId { session, space, slot, sequence });
            let is_open = last.is_some_and(|call| call.ending.is_none());
            ClientSlot { slot, sequence, is_open }
        };
        let slots = marks.slots.iter().map(slot).collect();
        Some(ClientTable { server: marks.server, generation, slots })
    }

    /// Forgets generations in which no call is open, until at most so many are left.
    pub fn forget_generations(&mut self, generations_max: usize) {
        let more = self.generations.len().saturating_sub(generations_max);
        let unused = self.generations.keys().copied().filter(|&one| !self.has_open(one));
        for generation in unused.take(more).collect::<Vec<_>>() {
            self.generations.remove(&generation);
        }
    }

    /// The shortest journal that adds up to this.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut append = |entry| {
            let place = bytes.len() as u64;
            codec::encode(&entry, place, &mut bytes);
        };
        if let Some((client, incarnation)) = self.life {
            append(Entry::Life(client, incarnation));
        }
        let mut named = std::collections::BTreeSet::new();
        let open = self.calls().filter(|call| call.ending.is_none());
        for call in self.ended.iter().filter_map(|id| self.calls.get(id)).chain(open) {
            let id = call.started.call;
            append(Entry::Started(call.started.clone()));
            if let Some(ending) = &call.ending {
                append(Entry::Ended(id, ending.clone()));
            }
            if id.space == Space::Durable {
                named.insert(GenerationId(id.session.0));
            }
        }
        // What these calls say of their slots is not all, or too much if the server deleted them.
        named.into_iter().for_each(|generation| append(Entry::Forgotten(generation)));
        for (&generation, marks) in &self.generations {
            let slots = marks.slots.iter().map(|(slot, sequence)| (*slot, *sequence)).collect();
            append(Entry::Generation(marks.server, generation, slots));
        }
        bytes
    }
}
