//! What refusals of unknown and changed methods say in words.
//!
//! The machine keeps texts by number and sends them; what they say is its user's business, who
//! knows names where the machine knows hashes. A text is found again from the reason and the name's
//! hash, so a slot stores no text, and a late duplicate is told the same.

use std::collections::BTreeMap;

use super::MethodEntry;
use crate::wire::RefuseReason;

/// The hash of `service.method`: one half names the service, one the method. It only ever decides
/// what a refusal says, so 16 bits each will do.
#[must_use]
pub const fn name_hash(service: u16, method: u16) -> u32 {
    (service as u32) << u16::BITS | method as u32
}

/// The service's half of a name's hash.
const fn service_of(name: u32) -> u16 {
    let [_, _, low, high] = name.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// The details of refusals. One that is longer than a REFUSE takes is cut when it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanations {
    /// For each method of the server's table: how it is called here.
    pub changed: Vec<Box<str>>,
    /// For each service, by its half of its methods' name hashes: what it has.
    pub unknown: BTreeMap<u16, Box<str>>,
    /// For calls of any other service: what there is.
    pub elsewhere: Box<str>,
}

impl Explanations {
    /// The detail of a refusal of the method with the name hash `name`.
    pub(super) fn of(&self, reason: RefuseReason, name: u32, methods: &[MethodEntry]) -> &str {
        let known = || methods.iter().position(|method| method.name == name);
        let text = match reason {
            RefuseReason::ChangedMethod => known().and_then(|method| self.changed.get(method)),
            // It is there, and cannot be called for want of a durable store.
            RefuseReason::UnknownMethod if known().is_some() => None,
            RefuseReason::UnknownMethod => {
                Some(self.unknown.get(&service_of(name)).unwrap_or(&self.elsewhere))
            }
            RefuseReason::Overload
            | RefuseReason::Draining
            | RefuseReason::Expired
            | RefuseReason::BadArguments
            | RefuseReason::TooLarge
            | RefuseReason::Unauthorised
            | RefuseReason::Generation
            | RefuseReason::IdentityInUse => None,
        };
        text.map_or("", |text| &**text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::MethodFingerprint;
    use crate::semantics::Semantics;

    #[test]
    fn a_refusal_is_explained_by_its_reason_and_its_name() {
        let method = MethodEntry {
            fingerprint: MethodFingerprint(1),
            name: name_hash(7, 1),
            semantics: Semantics::AtMostOnce,
            reply_bytes_max: 64,
            orphans: crate::protocol::OrphanPolicy::default(),
            ack: None,
        };
        let texts = Explanations {
            changed: vec!["changed".into()],
            unknown: [(7, "unknown".into())].into(),
            elsewhere: "elsewhere".into(),
        };
        let of = |reason, name| texts.of(reason, name, &[method]);
        assert_eq!(of(RefuseReason::ChangedMethod, name_hash(7, 1)), "changed");
        assert_eq!(of(RefuseReason::UnknownMethod, name_hash(7, 2)), "unknown");
        assert_eq!(of(RefuseReason::UnknownMethod, name_hash(7, 1)), "", "it is there");
        assert_eq!(of(RefuseReason::UnknownMethod, name_hash(8, 1)), "elsewhere");
        assert_eq!(of(RefuseReason::Overload, name_hash(7, 1)), "");
        assert_eq!(texts.of(RefuseReason::ChangedMethod, name_hash(9, 9), &[]), "");
    }
}
