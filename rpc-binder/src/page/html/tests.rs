//! What reaches a browser, whatever servers say.

use std::collections::BTreeSet;

use rpc_runtime::binder::{Callee, Entry, EntryState, Figures, Report, Traits, Version};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::time::{Duration, Instant};

use super::*;
use crate::page::history::History;
use crate::page::sample::Sample;

fn about() -> About {
    About { url: "udp://127.0.0.1:7000".into() }
}

fn entry(name: &str, minor: u16, server: u64) -> Entry {
    Entry {
        name: name.into(),
        version: Version::new(1, minor),
        server: ServerId(server),
        incarnation: Incarnation::new(3, 7),
        addresses: vec!["udp://10.0.0.7:4000".into()],
        fingerprint: 0xabc,
        traits: Traits::default(),
        lease_left_ms: 8_249,
        state: EntryState::Live,
    }
}

fn view(rows: Vec<(Entry, Option<Report>)>) -> View {
    let now = Instant::START + Duration::from_secs(100);
    let lease = Duration::from_secs(10);
    History::default().take(Sample { now, lease, rows, left_out: 7, trouble: None })
}

fn hostile() -> View {
    let evil = "</td><script>alert(1)</script>\u{202e}\"'><img src=x onerror=alert(1)>";
    let mut entry = entry("bank", 0, 1);
    entry.addresses = vec![evil.into(), "b".into()];
    entry.traits.zone = evil.into();
    entry.traits.labels = [(evil.to_owned(), evil.to_owned())].into();
    let callees = vec![Callee { name: "ledger".into(), unknown: 1, ..Callee::default() }];
    let figures = Figures { calls: 12_345, p50_us: 820, queued: 4, ..Figures::default() };
    let report = Report { callees, figures, ..Report::default() };
    let mut view = view(vec![(entry, Some(report))]);
    view.trouble = Some(evil.into());
    view
}

#[test]
fn nothing_that_a_server_says_becomes_a_tag_or_turns_the_page_around() {
    let view = hostile();
    let mut sent = page(&about(), &view, "1-0");
    assert!(sent.contains("&lt;script&gt;alert(1)"), "it is shown");
    for block in blocks(&about(), &view) {
        sent.push_str(&block.html);
    }
    assert!(!sent.contains("<script>") && !sent.contains("<img") && !sent.contains('\u{202e}'));
    assert!(sent.contains("\\u{202e}"), "and what cannot be seen is made visible");
}

#[test]
fn nothing_is_written_where_the_policy_forbids_it() {
    let page = page(&about(), &hostile(), "1-0");
    assert!(!page.contains(" style=") && !page.contains("<style"));
    assert_eq!(page.matches("<script").count(), 1, "its own, from a file");
    assert!(!page.contains("//fonts") && !page.contains("https:"));
}

#[test]
fn an_empty_binder_says_how_to_register() {
    let page = page(&about(), &view(vec![]), "1-0");
    assert!(page.contains("Register a first server"));
    assert!(page.contains("Binder::at(&quot;udp://127.0.0.1:7000&quot;)?"));
    let ids: Vec<_> = blocks(&about(), &view(vec![])).into_iter().map(|block| block.id).collect();
    assert_eq!(ids, ["headline", "notices", "totals", "calls", "empty"]);
}

#[test]
fn every_block_has_an_id_of_its_own_and_stands_in_what_is_there_before() {
    let rows = vec![
        (entry("bank", 0, 1), None),
        (entry("bank", 1, 1), None),
        (entry("bank", 1, 2), None),
        (entry("teller", 1, 2), None),
    ];
    let view = view(rows);
    let page = page(&about(), &view, "1-0");
    let mut ids = BTreeSet::new();
    let mut before = page.split("id=\"services\"").next().unwrap().to_owned();
    before.push_str("id=\"services\"");
    for block in blocks(&about(), &view) {
        let id = format!("id=\"{}\"", block.id);
        assert!(block.html.contains(&id) && page.contains(&id), "{id}");
        assert!(before.contains(&format!("id=\"{}\"", block.within)), "{}", block.within);
        before.push_str(&block.html);
        assert!(ids.insert(block.id), "{id}");
    }
    assert!(ids.contains("i-bank-1.1-2") && ids.contains("s-teller"), "{ids:?}");
}

#[test]
fn time_alone_changes_no_block_and_a_page_says_what_is_left() {
    let rows = || vec![(entry("bank", 0, 1), Some(Report::default()))];
    let earlier = view(rows());
    let mut later = earlier.clone();
    later.now_ms += 1_000;
    assert_eq!(blocks(&about(), &earlier), blocks(&about(), &later));
    let left = |view: &View| page(&about(), view, "1-0").contains("7.2\u{202f}s");
    assert!(!left(&earlier) && left(&later));
}

#[test]
fn what_is_left_out_is_said() {
    let page = page(&about(), &view(vec![(entry("bank", 0, 1), None)]), "1-0");
    assert!(page.contains("7 registrations not shown"));
    assert!(page.contains("1 registration live, in 1 service."));
}
