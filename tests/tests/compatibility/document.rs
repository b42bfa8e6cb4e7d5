//! The tables of `docs/compatibility.md`: written from what was seen, and held against the document.

use std::fs;
use std::path::Path;

use crate::Seen;
use crate::meeting::Met;
use crate::side::{Change, Direct, Import};

const BEGIN: &str =
    "<!-- what the tests saw: BLESS=1 cargo test -p rpc-tests --test compatibility -->\n";
const END: &str = "<!-- end of what the tests saw -->\n";

type Chapters = [(&'static str, Vec<(&'static Change, Seen)>)];

/// Holds the document against what was seen; with `BLESS` in the environment, writes it.
pub(crate) fn check(chapters: &Chapters) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the document has a place for the tables");
    let (tables, after) = rest.split_once(END).expect("and an end of it");
    let seen = written(chapters);
    #[expect(clippy::disallowed_methods, reason = "blessing is asked for by environment")]
    if std::env::var("BLESS").is_ok() {
        fs::write(&path, format!("{before}{BEGIN}{seen}{END}{after}")).unwrap();
        return;
    }
    assert!(
        tables == seen,
        "docs/compatibility.md differs from what was seen; if that is meant: BLESS=1 cargo test -p \
         rpc-tests --test compatibility\n{seen}"
    );
}

fn written(chapters: &Chapters) -> String {
    let mut text = String::new();
    for (chapter, changes) in chapters {
        text.push_str(&format!(
            "\n### {chapter}\n\n\
             | what changes | old client, new server | new client, old server | new beside old | old beside new |\n\
             |---|---|---|---|---|\n"
        ));
        for (change, Seen { old_client, new_client }) in changes {
            let says = change.says.replace('|', "\\|");
            let (old, new) = (called(old_client), called(new_client));
            let (new_beside, old_beside) = (admitted(new_client), admitted(old_client));
            text.push_str(&format!("| {says} | {old} | {new} | {new_beside} | {old_beside} |\n"));
        }
    }
    text.push_str("\n### In words\n\nWhat a binder says to the new server, beside an old one:\n\n");
    let refusals = chapters.iter().flat_map(|(_, changes)| changes).filter_map(|(change, seen)| {
        let refusal = seen.new_client.refusal.as_deref()?;
        let words = refusal.split_once(": ").and_then(|(_, rest)| rest.split_once(": "))?.1;
        Some((change.says, words))
    });
    text.push_str("| what changes | the refusal |\n|---|---|\n");
    for (says, words) in refusals {
        text.push_str(&format!("| {says} | {} |\n", words.replace('|', "\\|")));
    }
    text.push('\n');
    text
}

/// What a client gets by address, and by way of a binder.
fn called(met: &Met) -> String {
    let direct = match met.direct {
        Direct::Works => "works",
        Direct::Unknown => "`unknown_method`",
        Direct::Changed => "`changed_method`",
        Direct::Silent => "not run, nobody is told",
    };
    let import = match met.import {
        Import::Found => "found",
        Import::Mismatch => "`interface_mismatch`",
        Import::NoServer => "`no_server`",
    };
    format!("{direct}; {import}")
}

fn admitted(met: &Met) -> &'static str {
    if met.refusal.is_none() { "admitted" } else { "refused" }
}
