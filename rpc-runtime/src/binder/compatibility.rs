//! Whether a client can use a server: the client's methods must be a subset of the server's.
//!
//! Finds the first difference and says it in words. Does not know who asks or what is registered.

use super::model::{MethodDescription, cut};
use super::version::Version;

/// Longest part of a signature that a message shows, in bytes.
const SIGNATURE_SHOWN_BYTES_MAX: usize = 80;

/// The first thing that the client's interface has and the server's lacks, if there is any.
pub(super) fn first_difference(
    name: &str,
    (ours, client): (Version, &[MethodDescription]),
    (theirs, server): (Version, &[MethodDescription]),
) -> Option<String> {
    client.iter().find_map(|wanted| {
        match server.iter().find(|offered| offered.name == wanted.name) {
            Some(offered) if offered.fingerprint == wanted.fingerprint => None,
            Some(offered) => Some(format!(
                "{name} {theirs} has {:?} as {}, and this client ({name} {ours}) as {}",
                wanted.name,
                form(offered, wanted),
                form(wanted, offered),
            )),
            None => Some(format!(
                "{name} {theirs} lacks the method {:?} of this client ({name} {ours})",
                wanted.name
            )),
        }
    })
}

/// What `method` looks like where it differs from `other`.
#[must_use]
pub fn form(method: &MethodDescription, other: &MethodDescription) -> String {
    let signature = cut(&method.signature, SIGNATURE_SHOWN_BYTES_MAX);
    if method.semantics != other.semantics {
        return format!("{} {signature}", method.semantics);
    }
    if method.signature != other.signature {
        return signature.to_owned();
    }
    // The words are the same: a type inside has another shape.
    format!("{signature} of shape {}", method.fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::MethodFingerprint;
    use crate::semantics::Semantics;

    fn method(name: &str, signature: &str, fingerprint: u64) -> MethodDescription {
        MethodDescription {
            name: name.into(),
            signature: signature.into(),
            semantics: Semantics::AtMostOnce,
            fingerprint: MethodFingerprint(fingerprint),
        }
    }

    fn difference(client: &[MethodDescription], server: &[MethodDescription]) -> Option<String> {
        let old = Version::new(1, 0);
        first_difference("bank", (Version::new(1, 1), client), (old, server))
    }

    #[test]
    fn a_server_may_have_more_and_in_another_order() {
        let (a, b, c) = (method("a", "()", 1), method("b", "()", 2), method("c", "()", 3));
        assert_eq!(difference(&[a.clone(), c.clone()], &[c, b, a]), None);
        assert_eq!(difference(&[], &[]), None);
    }

    #[test]
    fn the_first_difference_is_named() {
        let (a, b) = (method("a", "(str)->u64", 1), method("b", "()", 2));
        assert_eq!(
            difference(&[a.clone(), b.clone()], std::slice::from_ref(&a)).unwrap(),
            "bank 1.0 lacks the method \"b\" of this client (bank 1.1)"
        );
        assert_eq!(
            difference(std::slice::from_ref(&a), &[method("a", "(u32)->u64", 9)]).unwrap(),
            "bank 1.0 has \"a\" as (u32)->u64, and this client (bank 1.1) as (str)->u64"
        );
        let again = MethodDescription {
            semantics: Semantics::AtLeastOnce,
            fingerprint: MethodFingerprint(9),
            ..a.clone()
        };
        assert_eq!(
            difference(std::slice::from_ref(&a), &[again]).unwrap(),
            "bank 1.0 has \"a\" as at_least_once (str)->u64, and this client (bank 1.1) as \
             at_most_once (str)->u64"
        );
        assert_eq!(
            difference(&[a], &[method("a", "(str)->u64", 9)]).unwrap(),
            "bank 1.0 has \"a\" as (str)->u64 of shape 0000000000000009, and this client \
             (bank 1.1) as (str)->u64 of shape 0000000000000001"
        );
    }
}
