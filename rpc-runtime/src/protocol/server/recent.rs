//! A sorted map that finds at once what it found last: what a machine is told of one session comes in
//! runs, and each of its steps asks for that session, its host and its method anew.

use std::cell::Cell;
use std::collections::BTreeMap;

use slab::Slab;

/// Values by their keys.
#[derive(Clone, Debug)]
pub(super) struct Recent<K, V> {
    places: BTreeMap<K, usize>,
    values: Slab<(K, V)>,
    /// The place of what was found last; of nothing, or of something else, once that was removed.
    last: Cell<usize>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), values: Slab::new(), last: Cell::new(0) }
    }
}

impl<K: Copy + Ord, V> Recent<K, V> {
    fn place(&self, key: &K) -> Option<usize> {
        let last = self.last.get();
        if self.values.get(last).is_some_and(|(found, _)| found == key) {
            return Some(last);
        }
        let place = *self.places.get(key)?;
        self.last.set(place);
        Some(place)
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(self.place(key)?).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.place(key)?;
        self.values.get_mut(place).map(|(_, value)| value)
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.place(key).is_some()
    }

    /// Gives the value that was there before.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let before = self.remove(&key);
        self.places.insert(key, self.values.insert((key, value)));
        before
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.places.remove(key)?;
        Some(self.values.remove(place).1)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All of them, by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.places.values().map(|&place| {
            let (key, value) = &self.values[place];
            (key, value)
        })
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.places.keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Copy + Ord, V: Default> Recent<K, V> {
    /// The value, which is made if there is none.
    pub(super) fn get_or_default(&mut self, key: &K) -> &mut V {
        let place = self.place(key).unwrap_or_else(|| {
            let place = self.values.insert((*key, V::default()));
            self.places.insert(*key, place);
            self.last.set(place);
            place
        });
        &mut self.values[place].1
    }
}

impl<K: Copy + Ord, V> FromIterator<(K, V)> for Recent<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut all = Self::default();
        for (key, value) in pairs {
            all.insert(key, value);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_sorted_map_over_random_operations() {
        let (mut recent, mut model) = (Recent::<u8, u32>::default(), BTreeMap::new());
        let mut state = 11_u64;
        for value in 0..20_000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = (state >> 56) as u8 % 20;
            match (state >> 50) % 5 {
                0 => assert_eq!(recent.insert(key, value), model.insert(key, value)),
                1 => assert_eq!(recent.remove(&key), model.remove(&key)),
                2 => assert_eq!(recent.get_mut(&key), model.get_mut(&key)),
                3 => assert_eq!(recent.get_or_default(&key), model.entry(key).or_default()),
                _ => assert_eq!(recent.get(&key), model.get(&key)),
            }
            assert_eq!(recent.len(), model.len());
            assert!(recent.iter().eq(model.iter()), "in the order of the keys");
        }
    }
}
