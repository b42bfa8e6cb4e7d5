//! The client's journal: entries on their way to the disk, what is there, and what a later life of
//! the client makes of it.

use rpc_runtime::ids::{CallId, GenerationId, Incarnation, Space};
use rpc_runtime::protocol::{CallKey, ClientSlot, ClientTable, FormerCall, Record, StartedRecord};

use crate::sides::{ClientSide, MEANT_SERVER, NEVER, spec};
use crate::steps::Step;

/// The journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Journal {
    /// Not on the disk yet, in their order: gone with the client's life.
    pub(crate) pending: Vec<Pending>,
    generation: GenerationId,
    /// Calls of all lives, as the disk knows them.
    pub(crate) calls: Vec<Noted>,
}

/// An entry and who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pending {
    key: CallKey,
    call: CallId,
    entry: Entry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Entry {
    Started { number: u8, digest: u64, server: Incarnation },
    Ended,
    Withdrawn,
    Forgotten,
}

/// A call on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Noted {
    pub(crate) number: u8,
    call: CallId,
    digest: u64,
    server: Incarnation,
    is_open: bool,
}

impl Journal {
    /// The client wants something written down.
    pub(crate) fn want(&mut self, key: CallKey, call: CallId, record: &Record) {
        let entry = match record {
            Record::Started(started) => Entry::Started {
                number: started.arguments.first().copied().unwrap_or(u8::MAX),
                digest: started.digest,
                server: started.incarnation,
            },
            Record::Ended(_) => Entry::Ended,
            Record::Withdrawn => Entry::Withdrawn,
            Record::Forgotten => Entry::Forgotten,
        };
        self.pending.push(Pending { key, call, entry });
    }

    /// Writes one entry; gives it.
    fn write(&mut self) -> Pending {
        let pending = self.pending.remove(0);
        let call = pending.call;
        match pending.entry {
            Entry::Started { number, digest, server } => {
                if call.space == Space::Durable {
                    self.generation = GenerationId(call.session.0);
                }
                self.calls.push(Noted { number, call, digest, server, is_open: true });
            }
            Entry::Ended => {
                let ended = self.calls.iter_mut().filter(|noted| noted.call == call);
                ended.for_each(|noted| noted.is_open = false);
            }
            Entry::Withdrawn => self.calls.retain(|noted| noted.call != call),
            Entry::Forgotten => {
                self.generation = GenerationId::NONE;
                self.calls.retain(|noted| noted.call.session != call.session);
            }
        }
        pending
    }

    /// The durable slots as the disk knows them.
    pub(crate) fn table(&self) -> Option<ClientTable> {
        let generation = self.generation;
        let mut slots: Vec<ClientSlot> = Vec::new();
        for Noted { call, is_open, .. } in &self.calls {
            if call.session.0 != generation.0 || call.space != Space::Durable {
                continue;
            }
            slots.retain(|slot| slot.slot != call.slot);
            let (slot, sequence, is_open) = (call.slot, call.sequence, *is_open);
            slots.push(ClientSlot { slot, sequence, is_open });
        }
        let table = ClientTable { server: MEANT_SERVER, generation, slots };
        generation.is_some().then_some(table)
    }

    /// Calls without an end.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Noted> {
        self.calls.iter().filter(|noted| noted.is_open)
    }
}

impl Step<'_> {
    /// An entry gets to the disk, and the client hears of it.
    pub(crate) fn write(&mut self) {
        let Pending { key, call, entry } = self.state.rest_mut().journal.write();
        match entry {
            Entry::Started { .. } => {
                self.client(|side| side.started_recorded(key, call), |_, ()| ());
            }
            Entry::Ended => self.client(|side| side.ended_recorded(key, call), |_, ()| ()),
            Entry::Withdrawn | Entry::Forgotten => {}
        }
    }

    /// The client asks for the durable slots of an earlier life.
    pub(crate) fn find_generation(&mut self) {
        let table = self.state.rest.journal.table();
        self.client(|side| side.generation_found(table), |_, ()| ());
    }

    /// A later life looks after a call that an earlier one left.
    pub(crate) fn take_over(&mut self, number: u8) {
        let journal = &self.state.rest.journal;
        let table = journal.table();
        let Some(noted) = journal.open().find(|noted| noted.number == number).copied() else {
            return;
        };
        let Noted { call, digest, server, .. } = noted;
        let method = self.config.calls[usize::from(number)];
        let act = move |side: &mut ClientSide| {
            if call.space == Space::Durable {
                side.restore(table);
                let arguments = vec![number];
                let (server, incarnation, spec) = (MEANT_SERVER, server, spec(method, NEVER));
                let started =
                    StartedRecord { server, incarnation, spec, digest, in_doubt: false, arguments };
                side.complete(call, started)
            } else {
                side.resolve_former(FormerCall {
                    call,
                    server: MEANT_SERVER,
                    incarnation: server,
                    in_doubt: false,
                })
            }
        };
        self.client(act, |step, key| {
            let rest = step.state.rest_mut();
            let fact = &mut rest.record.facts[usize::from(number)];
            fact.asks = Some(key);
            if call.space == Space::Durable {
                fact.life = rest.lives.client; // whose call it is now, to be run after all
            }
        });
    }
}
