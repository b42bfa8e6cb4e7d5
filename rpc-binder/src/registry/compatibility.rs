//! Which interfaces may be live side by side under one name and major version, and the difference
//! in words where two may not.
//!
//! The rule: a higher minor version has every method of a lower one, unchanged; equal versions have
//! equal methods. So a client built for a version can use every server of that version or a later
//! one. Does not know leases or servers.

use std::collections::BTreeMap;

use rpc_runtime::binder::compatibility::Difference;
use rpc_runtime::binder::{BinderError, MethodDescription, Place, Version};
use rpc_runtime::ids::ServerId;

/// An interface that asks to be admitted.
pub(super) struct Candidate<'a> {
    place: &'a Place,
    methods: &'a [MethodDescription],
    by_name: BTreeMap<&'a str, &'a MethodDescription>,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(place: &'a Place, methods: &'a [MethodDescription]) -> Self {
        Self { place, methods, by_name: by_name(methods) }
    }

    /// The first thing that keeps it from being live beside `live`, if anything does.
    /// `server` names one that has it.
    pub(super) fn difference(
        &self,
        theirs: Version,
        methods: &[MethodDescription],
        server: impl Fn() -> ServerId,
    ) -> Option<String> {
        let Place { name, version: ours, .. } = self.place;
        let beside = || format!("{name} {theirs} (live at server {})", server());
        for old in methods {
            match self.by_name.get(old.name.as_str()) {
                Some(new) if new.fingerprint == old.fingerprint => {}
                Some(new) => {
                    let there = format!("in {}", beside());
                    let difference = Difference::between(new, old).told("here", &there);
                    return Some(format!(
                        "{:?} differs: {difference}: keep it as it is there, or raise the major \
                         version",
                        old.name
                    ));
                }
                None if *ours >= theirs => {
                    return Some(format!(
                        "{name} {ours} lacks the method {:?} of {}: keep it, or raise the major \
                         version",
                        old.name,
                        beside()
                    ));
                }
                None => {}
            }
        }
        if *ours > theirs {
            return None;
        }
        let live = by_name(methods);
        let added = self.methods.iter().find(|method| !live.contains_key(method.name.as_str()))?;
        Some(format!(
            "{name} {ours} has the method {:?}, which {} lacks: raise the minor version",
            added.name,
            beside()
        ))
    }
}

/// Whether no two methods share a name.
pub(super) fn check_names(methods: &[MethodDescription]) -> Result<(), BinderError> {
    let mut names: Vec<_> = methods.iter().map(|method| method.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => {
            let reason = format!("the interface has two methods named {:?}", pair[0]);
            Err(BinderError::Malformed { reason })
        }
    }
}

fn by_name(methods: &[MethodDescription]) -> BTreeMap<&str, &MethodDescription> {
    methods.iter().map(|method| (method.name.as_str(), method)).collect()
}
