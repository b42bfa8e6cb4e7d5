//! Which changes of an interface old clients and old servers bear.
//!
//! Each change is two real traits of one name, as it was and as it is. Each side's client calls the
//! other side's server, by its address and by way of a binder, and each side's server asks to be
//! registered beside the other. What must come of it stands beside the change; what did come of it is the
//! table of `docs/compatibility.md`, which a test holds against it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "compatibility/side.rs"]
#[macro_use]
mod side;
#[path = "compatibility/attributes.rs"]
mod attributes;
#[path = "compatibility/document.rs"]
mod document;
#[path = "compatibility/meeting.rs"]
mod meeting;
#[path = "compatibility/methods.rs"]
mod methods;
#[path = "compatibility/parameters.rs"]
mod parameters;
#[path = "compatibility/results.rs"]
mod results;
#[path = "compatibility/types.rs"]
mod types;

use std::sync::OnceLock;

use meeting::{Met, meet};
use side::Change;

/// All changes, by what they are about.
const CHAPTERS: [(&str, &[Change]); 5] = [
    ("Methods and versions", methods::CHANGES),
    ("Parameters", parameters::CHANGES),
    ("Results and errors", results::CHANGES),
    ("Types", types::CHANGES),
    ("Semantics and attributes", attributes::CHANGES),
];

/// What came of a change: an old client and the new server, and the other way round.
struct Seen {
    old_client: Met,
    new_client: Met,
}

/// A chapter's changes, and what came of each.
type Chapter = (&'static str, Vec<(&'static Change, Seen)>);

/// What came of all of them, found out once.
fn seen() -> &'static [Chapter] {
    static SEEN: OnceLock<Vec<Chapter>> = OnceLock::new();
    SEEN.get_or_init(|| {
        let met = |change: &'static Change| {
            let old_client = meet(change, &change.old, &change.new);
            let new_client = meet(change, &change.new, &change.old);
            (change, Seen { old_client, new_client })
        };
        CHAPTERS.iter().map(|(chapter, all)| (*chapter, all.iter().map(met).collect())).collect()
    })
}

fn each() -> impl Iterator<Item = &'static (&'static Change, Seen)> {
    seen().iter().flat_map(|(_, changes)| changes)
}

#[test]
fn a_call_over_a_change_works_or_certainly_did_not_run() {
    assert!(each().count() * 2 >= 100, "cells of the table");
    for (change, seen) in each() {
        for (who, met, expected) in [
            ("an old client", &seen.old_client, change.old_client),
            ("a new client", &seen.new_client, change.new_client),
        ] {
            let what = format!("{}: {who}: {met:?}", change.says);
            assert_eq!((met.direct, met.import), expected, "{what}");
            met.assert_certain(change, &what);
        }
    }
}

#[test]
fn a_binder_admits_what_its_clients_can_use_and_says_what_they_cannot() {
    for (change, seen) in each() {
        let (new_beside_old, old_beside_new) = change.beside;
        for (who, met, expected) in [
            ("new beside old", &seen.new_client, new_beside_old),
            ("old beside new", &seen.old_client, old_beside_new),
        ] {
            let what = format!("{}: {who}: {met:?}", change.says);
            assert_eq!(met.refusal.is_none(), expected, "{what}");
            let Some(refusal) = &met.refusal else { continue };
            let advice = ["or raise the major version", "raise the minor version"];
            assert!(advice.iter().any(|words| refusal.ends_with(words)), "{what}");
            assert!(change.words.iter().any(|words| refusal.contains(words)), "{what}");
        }
    }
}

#[test]
fn a_server_that_a_binder_admits_beside_another_serves_its_clients() {
    for (change, seen) in each() {
        // A later minor version that was admitted must do for clients of the earlier one.
        let is_upgrade = change.beside.0 && change.old.version() <= change.new.version();
        if is_upgrade && change.old.major() == change.new.major() && change.is_one_service() {
            assert_eq!(seen.old_client.import, side::Import::Found, "{}", change.says);
            assert_eq!(seen.old_client.direct, side::Direct::Works, "{}", change.says);
        }
    }
}

#[test]
fn nobody_sees_that_two_parameters_of_one_type_were_swapped() {
    assert_eq!(parameters::swapped_of_one_type::what_the_new_server_reads(), "from bob to ann");
}

#[test]
fn the_document_says_what_was_seen() {
    document::check(seen());
}
