//! The slots of a session that have something to remember, found by their number at once.
//!
//! Clients use the lowest free slot, so a table by number is hardly ever sparse. It grows by small pages:
//! an idle session has one. Its owner bounds the numbers.

use super::slot::Slot;
use crate::ids::SlotIndex;

/// Slots in a page.
const PAGE_SLOTS: u32 = 4;

type Page = [Option<Slot>; PAGE_SLOTS as usize];

/// Slots by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    pages: Vec<Option<Box<Page>>>,
}

const fn place(index: SlotIndex) -> (usize, usize) {
    ((index.0 / PAGE_SLOTS) as usize, (index.0 % PAGE_SLOTS) as usize)
}

impl Slots {
    /// How many there are.
    #[cfg(any(test, feature = "model"))]
    pub(super) fn len(&self) -> usize {
        self.iter().count()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn get(&self, index: SlotIndex) -> Option<&Slot> {
        let (page, place) = place(index);
        self.pages.get(page)?.as_ref()?[place].as_ref()
    }

    pub(super) fn get_mut(&mut self, index: SlotIndex) -> Option<&mut Slot> {
        let (page, place) = place(index);
        self.pages.get_mut(page)?.as_mut()?[place].as_mut()
    }

    /// The slot, which is made if there is none. Takes memory by how high the number is.
    pub(super) fn get_or_default(&mut self, index: SlotIndex) -> &mut Slot {
        if self.get(index).is_none() {
            self.make(index);
        }
        self.get_mut(index).expect("it was made if there was none")
    }

    #[cold]
    fn make(&mut self, index: SlotIndex) {
        let (page, place) = place(index);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        self.pages[page].get_or_insert_default()[place] = Some(Slot::default());
    }

    /// All of them, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SlotIndex, &Slot)> {
        self.pages.iter().zip(0..).flat_map(|(page, number): (_, u32)| {
            let slots = page.iter().flat_map(|page| page.iter()).zip(number * PAGE_SLOTS..);
            slots.filter_map(|(slot, index)| Some((SlotIndex(index), slot.as_ref()?)))
        })
    }

    #[cfg(test)]
    pub(super) fn values(&self) -> impl Iterator<Item = &Slot> {
        self.iter().map(|(_, slot)| slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Sequence;

    #[test]
    fn slots_are_found_by_their_numbers_and_counted_once() {
        let mut slots = Slots::default();
        for index in [9, 0, 3, 9, 1_023] {
            slots.get_or_default(SlotIndex(index)).last = Sequence(u64::from(index) + 1);
        }
        assert_eq!(slots.len(), 4);
        for (index, last) in [(0, Some(1)), (3, Some(4)), (9, Some(10)), (1, None), (2_000, None)] {
            let found = slots.get(SlotIndex(index)).map(|slot| slot.last.0);
            assert_eq!(found, last, "slot {index}");
            assert_eq!(slots.get_mut(SlotIndex(index)).map(|slot| slot.last.0), last);
        }
        let all: Vec<u32> = slots.iter().map(|(index, _)| index.0).collect();
        assert_eq!(all, [0, 3, 9, 1_023]);
    }
}
