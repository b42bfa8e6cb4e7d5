//! An interface that no trait made: learned while the program runs, from what a binder keeps.
//!
//! It can be called as any other, by whoever marshals the arguments himself.

use std::sync::OnceLock;

use super::{Found, FoundMethod, Interface, Method, hash_of};
use crate::ids::MethodFingerprint;
use crate::protocol::OrphanStrategy;
use crate::protocol::explain::name_hash;
use crate::semantics::Semantics;

/// A method of an interface that is learned: what a call needs to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnedMethod<'a> {
    /// Its name on the wire.
    pub name: &'a str,
    /// Its signature, for messages.
    pub signature: &'a str,
    /// Its form, for messages.
    pub form: &'a str,
    /// What it promises.
    pub semantics: Semantics,
    /// What names it on the wire.
    pub fingerprint: MethodFingerprint,
    /// Whether its orphans are killed from its clients' journals: then it is not called without one.
    pub is_exterminated: bool,
}

impl Interface {
    /// An interface with these methods, known by their fingerprints and not by their types.
    ///
    /// It lives as long as the process, as one that a trait made: learn it once, not for each call.
    #[must_use]
    pub fn learned(
        name: &str,
        version: (u16, u16),
        methods: &[LearnedMethod<'_>],
    ) -> &'static Self {
        let name = leaked(name);
        let table: Vec<_> = methods
            .iter()
            .map(|one| {
                let method = Method::new(leaked(one.name), leaked(one.signature), one.semantics);
                if one.is_exterminated {
                    method.orphan(OrphanStrategy::Exterminate)
                } else {
                    method
                }
            })
            .collect();
        let interface = Self::new(name, version, Box::leak(table.into_boxed_slice()));
        let service = interface.service_hash();
        let found = methods.iter().map(|one| FoundMethod {
            fingerprint: one.fingerprint,
            name: name_hash(service, hash_of(one.name)),
            form: one.form.to_owned(),
            unsendable: None,
        });
        let found = OnceLock::from(Found::of(name, found.collect()));
        Box::leak(Box::new(Self { found, ..interface }))
    }
}

fn leaked(text: &str) -> &'static str {
    Box::leak(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learned_interface_is_the_one_that_it_was_learned_from() {
        const PAY: Method = Method::new("pay", "(u64)->u64", Semantics::AtMostOnce)
            .orphan(OrphanStrategy::Exterminate);
        let known = Interface::new("bank", (1, 2), &[PAY]);
        let learned = Interface::learned(
            "bank",
            (1, 2),
            &[LearnedMethod {
                name: "pay",
                signature: "(u64)->u64",
                form: known.form(0),
                semantics: Semantics::AtMostOnce,
                fingerprint: known.method_fingerprint(0),
                is_exterminated: true,
            }],
        );
        assert_eq!((learned.name(), learned.version()), (known.name(), known.version()));
        assert_eq!(learned.fingerprint(), known.fingerprint());
        assert_eq!(learned.method_fingerprint(0), known.method_fingerprint(0));
        assert_eq!(learned.name_hash(0), known.name_hash(0));
        assert!(learned.methods()[0].is_exterminated());
        assert_eq!(learned.described(0), known.described(0));
    }
}
