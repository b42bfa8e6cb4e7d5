//! Whether a client can use a server: the client's methods must be a subset of the server's.
//!
//! Finds the first difference and says it in words. Does not know who asks or what is registered.

mod text;
mod difference;

use super::model::MethodDescription;
use super::version::Version;

pub use difference::Difference;

/// The first thing that the client's interface has and the server's lacks, if there is any.
pub(super) fn first_difference(
    name: &str,
    (ours, client): (Version, &[MethodDescription]),
    (theirs, server): (Version, &[MethodDescription]),
) -> Option<String> {
    client.iter().find_map(|wanted| {
        match server.iter().find(|offered| offered.name == wanted.name) {
            Some(offered) if offered.fingerprint == wanted.fingerprint => None,
            Some(offered) => {
                let here = format!("in this client ({name} {ours})");
                let there = format!("in {name} {theirs}");
                let difference = Difference::between(wanted, offered).told(&here, &there);
                Some(format!("{:?} differs: {difference}", wanted.name))
            }
            None => Some(format!(
                "{name} {theirs} lacks the method {:?} of this client ({name} {ours})",
                wanted.name
            )),
        }
    })
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
            "\"a\" differs: the form is (str)->u64 in this client (bank 1.1) and (u32)->u64 in bank 1.0"
        );
        let again = MethodDescription {
            semantics: Semantics::AtLeastOnce,
            fingerprint: MethodFingerprint(9),
            ..a.clone()
        };
        assert_eq!(
            difference(std::slice::from_ref(&a), &[again]).unwrap(),
            "\"a\" differs: the semantics is at_most_once in this client (bank 1.1) and \
             at_least_once in bank 1.0"
        );
        assert_eq!(
            difference(&[a], &[method("a", "(str)->u64", 9)]).unwrap(),
            "\"a\" differs: the form is (str)->u64 of shape 0000000000000001 in this client \
             (bank 1.1) and (str)->u64 of shape 0000000000000009 in bank 1.0"
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
            "\"a\" differs: parameter 1.items[].price is u64 in this client (bank 1.1) and u32 in \
             bank 1.0"
        );
    }
}
