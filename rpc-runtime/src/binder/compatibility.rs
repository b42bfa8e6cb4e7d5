//! Whether a client can use a server: the client's methods must be a subset of the server's.
//!
//! Finds the first difference and says it in words. Does not know who asks or what is registered.

use super::model::{MethodDescription, cut};
use super::version::Version;

/// Longest part of a signature that a message shows, in bytes.
const SIGNATURE_SHOWN_BYTES_MAX: usize = 80;

/// Longest part of a form that a message shows, in bytes, and how much of it lies before the
/// difference.
const FORM_SHOWN_BYTES_MAX: usize = 60;
const FORM_BEFORE_BYTES: usize = 20;

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
    let part = part(&method.form, &other.form);
    part.unwrap_or_else(|| format!("{signature} of shape {}", method.fingerprint))
}

/// Where `form` begins to differ from `other`, with a little of what stands before.
fn part(form: &str, other: &str) -> Option<String> {
    let same = form.bytes().zip(other.bytes()).take_while(|(one, two)| one == two).count();
    if same == form.len().min(other.len()) {
        return None; // one is the beginning of the other: what differs was cut off
    }
    let begins =
        (0..=same.saturating_sub(FORM_BEFORE_BYTES)).rev().find(|&at| form.is_char_boundary(at))?;
    let shown = cut(&form[begins..], FORM_SHOWN_BYTES_MAX);
    let before = if begins == 0 { "" } else { "…" };
    let after = if begins + shown.len() == form.len() { "" } else { "…" };
    Some(format!("{before}{shown}{after}"))
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
            parameters: Vec::new(),
            form: String::new(),
            semantics: Semantics::AtMostOnce,
            fingerprint: MethodFingerprint(fingerprint),
            is_exterminated: false,
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

    #[test]
    fn a_type_that_differs_inside_is_shown_where_it_does() {
        let with = |form: &str, fingerprint| MethodDescription {
            form: form.into(),
            ..method("a", "(Order)->R", fingerprint)
        };
        let old =
            with("({customer:str,items:[{name:str,price:u32}],paid:<Cash|Card(str)>})->()!<>", 1);
        let new =
            with("({customer:str,items:[{name:str,price:u64}],paid:<Cash|Card(str)>})->()!<>", 2);
        assert_eq!(
            difference(&[new], &[old]).unwrap(),
            "bank 1.0 has \"a\" as …s:[{name:str,price:u32}],paid:<Cash|Card(str)>})->()!<>, and \
             this client (bank 1.1) as …s:[{name:str,price:u64}],paid:<Cash|Card(str)>})->()!<>"
        );
    }
}
