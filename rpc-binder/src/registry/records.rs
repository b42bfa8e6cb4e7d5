//! All records, each found by its id, and without any search by its slot.
//!
//! Does not know what stands in them.

use std::ops::Index;

use rpc_runtime::binder::RegistrationId;

use super::record::Record;
use super::table::{Key, Table};

/// Records that are made room for at a time.
const CHUNK: usize = 128;

/// Where a record stands, for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

impl Slot {
    fn index(self) -> usize {
        usize::try_from(self.0).expect("it is that of a record in memory")
    }
}

/// Records by their ids.
#[derive(Debug)]
pub(super) struct Records {
    by_id: Table<RegistrationId, Slot>,
    /// As many slots as there ever were records at a time, and some. In chunks: what leads to them is small,
    /// and at hand; and nothing moves when there are more.
    chunks: Vec<Box<[Option<Record>]>>,
    /// Those without a record; the last is taken first.
    free: Vec<Slot>,
}

impl Records {
    pub(super) fn new(key: Key) -> Self {
        Self { by_id: Table::new(key), chunks: Vec::new(), free: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn contains_key(&self, id: &RegistrationId) -> bool {
        self.by_id.contains_key(id)
    }

    pub(super) fn get(&self, id: &RegistrationId) -> Option<&Record> {
        self.by_id.get(id).map(|slot| self.at(*slot))
    }

    pub(super) fn get_mut(&mut self, id: &RegistrationId) -> Option<&mut Record> {
        let slot = *self.by_id.get(id)?;
        self.chunks[slot.index() / CHUNK][slot.index() % CHUNK].as_mut()
    }

    /// The record that stands there.
    pub(super) fn at(&self, slot: Slot) -> &Record {
        let record = &self.chunks[slot.index() / CHUNK][slot.index() % CHUNK];
        record.as_ref().expect("who knows a slot knows of its record")
    }

    /// Takes in one whose id is not there.
    pub(super) fn insert(&mut self, id: RegistrationId, record: Record) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| self.grow());
        self.chunks[slot.index() / CHUNK][slot.index() % CHUNK] = Some(record);
        let former = self.by_id.insert(id, slot);
        assert_eq!(former, None, "an id has one record");
        slot
    }

    pub(super) fn remove(&mut self, id: &RegistrationId) -> Option<Record> {
        let slot = self.by_id.remove(id)?;
        self.free.push(slot);
        self.chunks[slot.index() / CHUNK][slot.index() % CHUNK].take()
    }

    /// Makes room. Gives the first of the new slots.
    fn grow(&mut self) -> Slot {
        let next = self.chunks.len() * CHUNK;
        self.chunks.push((0..CHUNK).map(|_| None).collect());
        let slots = (next..next + CHUNK).map(|slot| u32::try_from(slot).map(Slot));
        let mut slots = slots.map(|slot| slot.expect("their number is bounded"));
        let first = slots.next().expect("a chunk has slots");
        self.free.extend(slots.rev());
        first
    }
}

impl Index<&RegistrationId> for Records {
    type Output = Record;

    fn index(&self, id: &RegistrationId) -> &Record {
        self.at(self.by_id[id])
    }
}

#[cfg(test)]
impl Records {
    /// Each slot has a record, or is free once.
    pub(super) fn audit(&self) {
        let free: std::collections::BTreeSet<u32> = self.free.iter().map(|slot| slot.0).collect();
        assert_eq!(free.len(), self.free.len(), "a slot is free once");
        for (index, record) in self.chunks.iter().flatten().enumerate() {
            assert_eq!(record.is_none(), free.contains(&u32::try_from(index).unwrap()), "{index}");
        }
        assert_eq!(self.by_id.len() + free.len(), self.chunks.len() * CHUNK);
    }
}
