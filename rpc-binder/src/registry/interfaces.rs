//! Interfaces that are registered: each once, however many servers have it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rpc_runtime::binder::MethodDescription;

/// Interfaces by their fingerprints.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    known: BTreeMap<u128, Known>,
    bytes: usize,
    /// Those that were let go of.
    unneeded: Vec<u128>,
    /// Whether those that nobody has are known until the store has forgotten them: others may rely on
    /// that meanwhile.
    is_shared: bool,
}

#[derive(Debug)]
struct Known {
    methods: Arc<[MethodDescription]>,
    /// Records that have it.
    holders: u32,
}

impl Interfaces {
    pub(super) fn new(is_shared: bool) -> Self {
        Self { is_shared, ..Self::default() }
    }

    pub(super) fn get(&self, fingerprint: u128) -> Option<&Arc<[MethodDescription]>> {
        self.known.get(&fingerprint).map(|known| &known.methods)
    }

    /// The fingerprints of all.
    pub(super) fn all(&self) -> impl Iterator<Item = u128> {
        self.known.keys().copied()
    }

    /// What all of them take.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds one that records will have.
    pub(super) fn add(&mut self, fingerprint: u128, methods: &Arc<[MethodDescription]>) {
        self.known.entry(fingerprint).or_insert_with(|| {
            self.bytes += bytes(methods);
            Known { methods: Arc::clone(methods), holders: 0 }
        });
    }

    /// One more record has it.
    pub(super) fn hold(&mut self, fingerprint: u128) {
        let known = self.known.get_mut(&fingerprint).expect("it was added before");
        known.holders += 1;
    }

    /// One record less has it.
    pub(super) fn release(&mut self, fingerprint: u128) {
        let Some(known) = self.known.get_mut(&fingerprint) else { return };
        known.holders -= 1;
        if known.holders == 0 {
            self.unneeded.push(fingerprint);
            if !self.is_shared {
                self.forget(fingerprint);
            }
        }
    }

    /// Is known no more, unless somebody has it.
    pub(super) fn forget(&mut self, fingerprint: u128) {
        if !self.is_unneeded(fingerprint) {
            return;
        }
        if let Some(known) = self.known.remove(&fingerprint) {
            self.bytes -= bytes(&known.methods);
        }
    }

    /// Takes note of one that a shared store has, and perhaps nobody else.
    pub(super) fn review(&mut self, fingerprint: u128) {
        if self.is_unneeded(fingerprint) {
            self.unneeded.push(fingerprint);
        }
    }

    fn is_unneeded(&self, fingerprint: u128) -> bool {
        self.known.get(&fingerprint).is_none_or(|known| known.holders == 0)
    }

    /// The store still has these.
    pub(super) fn put_back(&mut self, unneeded: Vec<u128>) {
        self.unneeded.extend(unneeded);
    }

    /// Those that nobody has any more, since this was asked last.
    pub(super) fn take_unneeded(&mut self) -> Vec<u128> {
        let mut unneeded = std::mem::take(&mut self.unneeded);
        unneeded.sort_unstable();
        unneeded.dedup();
        // A shared store has forgotten what is not known, by another binder.
        unneeded.retain(|fingerprint| {
            self.is_unneeded(*fingerprint) && self.is_shared == self.known.contains_key(fingerprint)
        });
        unneeded
    }
}

/// What an interface's description takes.
pub(super) fn bytes(methods: &[MethodDescription]) -> usize {
    methods.iter().map(MethodDescription::page_bytes).sum()
}
