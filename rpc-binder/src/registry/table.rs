//! A hash table that finds what it holds at a cost that does not grow with it, and shows no order.
//!
//! Its hashes depend on a key of its own, so that nobody outside chooses names that all fall into one
//! place. Does not know what it holds.

use std::borrow::Borrow;
#[expect(clippy::disallowed_types, reason = "nothing here shows the order of its entries")]
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher as _};
use std::ops::Index;

use rpc_runtime::random::Rng;

/// What hashes begin with: drawn once, known to nobody else.
#[derive(Clone)]
pub(super) struct Key(DefaultHasher);

impl Key {
    pub(super) fn draw(rng: &mut dyn Rng) -> Self {
        // SipHash after a secret block is as good as SipHash with a secret key: what follows meets a state
        // that nobody knows.
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(rng.next_u64());
        hasher.write_u64(rng.next_u64());
        Self(hasher)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

impl BuildHasher for Key {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        self.0.clone()
    }
}

/// Values by their keys.
pub(super) struct Table<K, V> {
    #[expect(clippy::disallowed_types, reason = "nothing here shows the order of its entries")]
    entries: HashMap<K, V, Key>,
}

impl<K: Eq + Hash, V> Table<K, V> {
    pub(super) fn new(key: Key) -> Self {
        #[expect(clippy::disallowed_types, reason = "nothing here shows the order of its entries")]
        let entries = HashMap::with_hasher(key);
        Self { entries }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.entries.contains_key(key)
    }

    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key)
    }

    pub(super) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.entries.insert(key, value)
    }

    pub(super) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.entries.remove(key)
    }

    /// The same to all of them, in an order that must not matter.
    pub(super) fn change_all(&mut self, change: impl FnMut(&mut V)) {
        self.entries.values_mut().for_each(change);
    }
}

impl<K: Eq + Hash + Borrow<Q>, Q: Eq + Hash + ?Sized, V> Index<&Q> for Table<K, V> {
    type Output = V;

    fn index(&self, key: &Q) -> &V {
        &self.entries[key]
    }
}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("len", &self.entries.len()).finish()
    }
}
