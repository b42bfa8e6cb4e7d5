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
}

#[derive(Debug)]
struct Known {
    methods: Arc<[MethodDescription]>,
    /// Records that have it.
    holders: u32,
}

impl Interfaces {
    pub(super) fn get(&self, fingerprint: u128) -> Option<&Arc<[MethodDescription]>> {
        self.known.get(&fingerprint).map(|known| &known.methods)
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
            self.bytes -= bytes(&known.methods);
            self.known.remove(&fingerprint);
            self.unneeded.push(fingerprint);
        }
    }

    /// The store still has these.
    pub(super) fn put_back(&mut self, unneeded: Vec<u128>) {
        self.unneeded.extend(unneeded);
    }

    /// Those that nobody has any more, since this was asked last.
    pub(super) fn take_unneeded(&mut self) -> Vec<u128> {
        let mut unneeded = std::mem::take(&mut self.unneeded);
        unneeded.retain(|fingerprint| !self.known.contains_key(fingerprint));
        unneeded
    }
}

/// What an interface's description takes.
pub(super) fn bytes(methods: &[MethodDescription]) -> usize {
    methods.iter().map(MethodDescription::page_bytes).sum()
}
