//! The disk of a server without threads: generations, rows and effects of durable calls. It survives
//! crashes of its host; what one commit writes is there in whole or not at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ids::{CallId, ClientId, GenerationId, Incarnation, Sequence, SlotIndex};
use crate::protocol::{DurableRow, DurableTable};
use crate::time::{Duration, Instant};
use crate::wire::ReplyStatus;

/// Shared by the lives of one server; cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    /// The life that opened the disk last: no earlier one writes any more (C4).
    life: Incarnation,
    generations: BTreeMap<GenerationId, Table>,
    /// How often each call's effect was written.
    effects: BTreeMap<u64, u32>,
    /// Commits that are still to fail.
    failures: u32,
}

/// One generation.
#[derive(Debug)]
struct Table {
    client: ClientId,
    rows: BTreeMap<SlotIndex, DurableRow>,
    /// When its client was heard of last.
    contact: Instant,
}

/// What a durable call leaves behind.
#[derive(Clone, Debug)]
pub struct Record {
    /// The call's place.
    pub call: CallId,
    /// Its request's digest.
    pub digest: u64,
    /// How it ended.
    pub status: ReplyStatus,
    /// What its client is told.
    pub body: Vec<u8>,
    /// The call's number, if its effect is written too.
    pub effect: Option<u64>,
}

impl Disk {
    /// A life of the server begins: earlier ones are fenced.
    pub fn open(&self, life: Incarnation) {
        self.contents().life = life;
    }

    /// Whether a later life has opened the disk.
    #[must_use]
    pub fn is_fenced(&self, life: Incarnation) -> bool {
        self.contents().life != life
    }

    /// The generation that a client wants, or a new one under the name `fresh`; none for a life that
    /// is fenced.
    #[must_use]
    pub fn generation(
        &self,
        (life, now): (Incarnation, Instant),
        client: ClientId,
        wanted: GenerationId,
        fresh: GenerationId,
    ) -> Option<DurableTable> {
        let mut contents = self.contents();
        if contents.life != life {
            return None;
        }
        let known = contents.generations.get(&wanted).is_some_and(|table| table.client == client);
        let generation = if known { wanted } else { fresh };
        let new = Table { client, rows: BTreeMap::new(), contact: now };
        let table = contents.generations.entry(generation).or_insert(new);
        table.contact = now;
        Some(DurableTable { generation, rows: table.rows.values().cloned().collect() })
    }

    /// Notes what is in use, and deletes what nobody has asked for in `retention`.
    pub fn retain(
        &self,
        life: Incarnation,
        now: Instant,
        in_use: &[(ClientId, GenerationId)],
        retention: Duration,
    ) {
        let mut contents = self.contents();
        if contents.life != life {
            return;
        }
        for (_, generation) in in_use {
            if let Some(table) = contents.generations.get_mut(generation) {
                table.contact = now;
            }
        }
        contents.generations.retain(|_, table| now.since(table.contact) <= retention);
    }

    /// Deletes a generation.
    pub fn forget(&self, generation: GenerationId) {
        self.contents().generations.remove(&generation);
    }

    /// Deletes all generations, as retention does when nobody has asked for them in a long time.
    pub fn forget_all(&self) {
        self.contents().generations.clear();
    }

    /// Lets the next `count` commits fail, with nothing written.
    pub fn fail(&self, count: u32) {
        self.contents().failures = count;
    }

    /// The client's reply is there: its bytes need not be kept.
    pub fn acknowledge(&self, life: Incarnation, call: CallId) {
        let mut contents = self.contents();
        if contents.life != life {
            return;
        }
        let generation = GenerationId(call.session.0);
        let table = contents.generations.get_mut(&generation);
        if let Some(row) = table.and_then(|table| table.rows.get_mut(&call.slot))
            && row.sequence == call.sequence
        {
            row.ended = None;
        }
    }

    /// The rows of all generations.
    #[must_use]
    pub fn rows(&self) -> Vec<DurableRow> {
        let contents = self.contents();
        contents.generations.values().flat_map(|table| table.rows.values().cloned()).collect()
    }

    /// Writes a call's effect and reply, both or neither; says whether that was done.
    #[must_use]
    pub fn commit(&self, life: Incarnation, record: &Record) -> bool {
        let mut contents = self.contents();
        if contents.life != life {
            return false;
        }
        if contents.failures > 0 {
            contents.failures -= 1;
            return false;
        }
        let Record { call, digest, status, ref body, effect } = *record;
        let generation = GenerationId(call.session.0);
        let Some(table) = contents.generations.get_mut(&generation) else { return false };
        let rows = &mut table.rows;
        let last = rows.get(&call.slot).map_or(Sequence::ZERO, |row| row.sequence);
        if last >= call.sequence {
            return false;
        }
        let ended = Some((status, body.clone()));
        let (slot, sequence) = (call.slot, call.sequence);
        rows.insert(slot, DurableRow { slot, sequence, digest, ended });
        if let Some(effect) = effect {
            *contents.effects.entry(effect).or_default() += 1;
        }
        true
    }

    /// The calls whose effects are on the disk, and how often.
    #[must_use]
    pub fn effects(&self) -> BTreeMap<u64, u32> {
        self.contents().effects.clone()
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
