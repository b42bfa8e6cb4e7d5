//! What the command line prints, as text: tables for people, one JSON object a line for programs.
//!
//! Pure: data in, text out. Nothing that a binder or a server chose reaches a terminal unescaped.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use rpc_runtime::binder::model::wanted;
use rpc_runtime::binder::{Entry, EntryState, Health, Traits, VersionRequirement};
use rpc_runtime::ids::ServerId;
use rpc_runtime::time::Duration;

/// Entries as an aligned table, with a line that sums up.
#[must_use]
pub fn table(entries: &[Entry]) -> String {
    let rows: Vec<_> = entries.iter().map(|entry| (entry.clone(), None)).collect();
    table_with_health(&rows)
}

/// As [`table`], with what servers say of their health. Where they stand and what they say of themselves has
/// columns if any of them says something.
#[must_use]
pub fn table_with_health(rows: &[(Entry, Option<Health>)]) -> String {
    let has = |holds: fn(&Entry) -> bool| rows.iter().any(|(entry, _)| holds(entry));
    let default = Traits::default().weight;
    let extra: [(&str, bool, Show); 4] = [
        ("ZONE", has(|entry| !entry.traits.zone.is_empty()), |entry, _| clean(&entry.traits.zone)),
        ("WEIGHT", rows.iter().any(|(entry, _)| entry.traits.weight != default), |entry, _| {
            entry.traits.weight.to_string()
        }),
        ("LABELS", has(|entry| !entry.traits.labels.is_empty()), |entry, _| labels(entry)),
        (
            "HEALTH",
            rows.iter().any(|(_, health)| health.is_some_and(|health| health != Health::Serving)),
            |_, health| health.map_or("-", Health::word).to_owned(),
        ),
    ];
    let extra: Vec<_> = extra.into_iter().filter(|(_, is_shown, _)| *is_shown).collect();
    let mut head = vec!["NAME", "VERSION", "SERVER", "ADDRESS"];
    head.extend(extra.iter().map(|(name, ..)| *name));
    head.extend(["INCARNATION", "LEASE LEFT"]);
    let body = rows.iter().map(|(entry, health)| {
        let addresses = entry.addresses.iter().map(|address| clean(address));
        let mut row = vec![
            clean(&entry.name),
            entry.version.to_string(),
            entry.server.to_string(),
            addresses.collect::<Vec<_>>().join("\n"),
        ];
        row.extend(extra.iter().map(|(_, _, show)| show(entry, *health)));
        row.extend([entry.incarnation.to_string(), lease_left(entry)]);
        row
    });
    let mut text = aligned(&head, body.collect(), head.len() - 2);
    text.push_str(&summary(rows));
    text.push('\n');
    text
}

/// What stands in a column.
type Show = fn(&Entry, Option<Health>) -> String;

fn labels(entry: &Entry) -> String {
    let labels = entry.traits.labels.iter();
    let labels: Vec<_> =
        labels.map(|(key, value)| format!("{}={}", clean(key), clean(value))).collect();
    labels.join("\n")
}

/// A table whose columns from `numbers` on stand at the right.
pub(crate) fn aligned(head: &[&str], rows: Vec<Vec<String>>, numbers: usize) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(head.iter().copied());
    table.add_rows(rows);
    let last = head.len() - 1;
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
        if index >= numbers {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Entries as JSON, one object a line. Ids and incarnations are text: they need 64 bits.
#[must_use]
pub fn json(entries: &[Entry]) -> String {
    let rows: Vec<_> = entries.iter().map(|entry| (entry.clone(), None)).collect();
    json_with_health(&rows)
}

/// As [`json`], with what servers say of their health.
#[must_use]
pub fn json_with_health(rows: &[(Entry, Option<Health>)]) -> String {
    let default = Traits::default().weight;
    let mut text = String::new();
    for (entry, health) in rows {
        let traits = &entry.traits;
        let row = Row {
            name: &entry.name,
            version: entry.version.to_string(),
            id: entry.server.to_string(),
            addresses: &entry.addresses,
            incarnation: entry.incarnation.to_string(),
            lease_left_ms: entry.lease_left_ms,
            state: entry.state.key(),
            zone: Some(&*traits.zone).filter(|zone| !zone.is_empty()),
            weight: Some(traits.weight).filter(|weight| *weight != default),
            labels: Some(&traits.labels).filter(|labels| !labels.is_empty()),
            health: health.map(Health::word),
        };
        text.push_str(&serde_json::to_string(&row).expect("strings and numbers become JSON"));
        text.push('\n');
    }
    text
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    version: String,
    id: String,
    addresses: &'a [String],
    incarnation: String,
    lease_left_ms: u32,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<&'static str>,
}

/// What is said of a server that was asked to drain.
#[must_use]
pub fn drains(server: ServerId, name: Option<&str>, registrations: u32, json: bool) -> String {
    if json {
        return format!("{{\"id\":\"{server}\",\"registrations\":{registrations}}}\n");
    }
    let plural = if registrations == 1 { "" } else { "s" };
    match name {
        None => format!(
            "server {server} drains: clients leave {registrations} registration{plural}, and the server \
             hears of it when it renews next\n"
        ),
        Some(name) => format!("clients of {name:?} leave server {server}, which goes on\n"),
    }
}

/// What a daemon says when it is ready.
#[must_use]
pub fn listening(
    url: &str,
    lease: Duration,
    store: Option<&str>,
    page: Option<&str>,
    json: bool,
) -> String {
    if json {
        let ready = Ready {
            listening: url,
            lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
            store,
            http: page,
        };
        let text = serde_json::to_string(&ready).expect("strings and numbers become JSON");
        return format!("{text}\n");
    }
    let place = store.map_or_else(|| "memory only".to_owned(), clean);
    let page = page.map(|page| format!("page at {page}\n")).unwrap_or_default();
    format!("binder at {url}, leases of {}, kept in {place}\n{page}", seconds(lease))
}

#[derive(Serialize)]
struct Ready<'a> {
    listening: &'a str,
    lease_ms: u64,
    store: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<&'a str>,
}

/// What a lookup says that found nobody.
#[must_use]
pub fn nobody(name: &str, requirement: &VersionRequirement) -> String {
    format!("no server named {} is registered", wanted(name, requirement))
}

/// Which binder said so.
#[must_use]
pub fn asked(binder: &str) -> String {
    let place = binder.split_once("://").map_or(binder, |(_, place)| place);
    format!("asked {place}")
}

fn lease_left(entry: &Entry) -> String {
    match entry.state {
        EntryState::Live => seconds(Duration::from_millis(entry.lease_left_ms.into())),
        EntryState::Draining
        | EntryState::Expired
        | EntryState::NotServing
        | EntryState::Silent => entry.state.word().to_owned(),
    }
}

fn seconds(duration: Duration) -> String {
    let millis = duration.as_millis();
    format!("{}.{} s", millis / 1_000, millis % 1_000 / 100)
}

/// Counts servers, not rows: one server may offer several services.
fn summary(rows: &[(Entry, Option<Health>)]) -> String {
    let mut servers = BTreeMap::new();
    for (entry, _) in rows {
        *servers.entry(entry.server).or_insert(false) |= entry.state == EntryState::Live;
    }
    let live = servers.values().filter(|is_live| **is_live).count();
    let plural = if servers.len() == 1 { "" } else { "s" };
    format!("{} server{plural}, {live} live", servers.len())
}

/// `text` with what a terminal would obey made visible.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            let _infallible = write!(cleaned, "{}", c.escape_default());
        } else {
            cleaned.push(c);
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use rpc_runtime::binder::Version;
    use rpc_runtime::ids::Incarnation;

    use super::*;

    fn bank(server: u64, address: &str, lease_left_ms: u32) -> Entry {
        Entry {
            name: "bank".into(),
            version: Version::new(1, 2),
            server: ServerId(server),
            incarnation: Incarnation::new(3, 0x0a0b_0c0d),
            addresses: vec![address.into()],
            fingerprint: 7,
            traits: Traits::default(),
            lease_left_ms,
            state: if lease_left_ms == 0 { EntryState::Expired } else { EntryState::Live },
        }
    }

    fn some() -> Vec<Entry> {
        let one = bank(0x7f3a_91c0_0000_0001, "udp://10.0.0.7:4000", 8_249);
        let two = bank(0xb04c_d2e8_0000_0002, "udp://10.0.0.8:4000", 0);
        let addresses = vec!["udp://10.0.0.9:4000".into(), "udp://[fe80::9]:40000".into()];
        let three = Entry {
            name: "ledger".into(),
            addresses,
            version: Version::new(12, 0),
            lease_left_ms: 12_000,
            ..one.clone()
        };
        let state = EntryState::Draining;
        let four = Entry { name: "note".into(), state, ..bank(3, "udp://10.0.0.1:1", 9_000) };
        vec![one, two, three, four]
    }

    #[test]
    fn a_table_is_aligned_and_summed_up() {
        insta::assert_snapshot!(table(&some()));
    }

    #[test]
    fn an_empty_table_still_has_its_head() {
        assert_eq!(
            table(&[]),
            "NAME  VERSION  SERVER  ADDRESS  INCARNATION  LEASE LEFT\n0 servers, 0 live\n"
        );
    }

    #[test]
    fn what_servers_say_of_themselves_has_columns_if_any_does() {
        let [one, two, three, four] = <[_; 4]>::try_from(some()).unwrap();
        let labels = [("rack".to_owned(), "7".to_owned()), ("tier".to_owned(), "gold".to_owned())];
        let traits = Traits { zone: "eu-1a".into(), weight: 50, labels: labels.into() };
        let rows = [
            (Entry { traits, ..one }, Some(Health::NotServing)),
            (two, None),
            (three, Some(Health::Serving)),
            (four, None),
        ];
        insta::assert_snapshot!(table_with_health(&rows));
        insta::assert_snapshot!(json_with_health(&rows));
    }

    #[test]
    fn json_has_one_object_a_line() {
        insta::assert_snapshot!(json(&some()));
    }

    #[test]
    fn nothing_foreign_reaches_the_terminal_unescaped() {
        let evil = bank(1, "udp://\u{1b}[2J", 1_000);
        assert!(!table(std::slice::from_ref(&evil)).contains('\u{1b}'));
        assert!(table(&[evil]).contains("udp://\\u{1b}[2J"));
    }

    #[test]
    fn a_daemon_says_where_it_listens() {
        let lease = Duration::from_secs(10);
        assert_eq!(
            listening("udp://127.0.0.1:7000", lease, None, None, false),
            "binder at udp://127.0.0.1:7000, leases of 10.0 s, kept in memory only\n"
        );
        assert_eq!(
            listening("udp://127.0.0.1:7000", lease, None, Some("http://127.0.0.1:7080"), false),
            "binder at udp://127.0.0.1:7000, leases of 10.0 s, kept in memory only\npage at \
             http://127.0.0.1:7080\n"
        );
        assert_eq!(
            listening("udp://127.0.0.1:7000", lease, Some("/a"), None, true),
            "{\"listening\":\"udp://127.0.0.1:7000\",\"lease_ms\":10000,\"store\":\"/a\"}\n"
        );
    }

    #[test]
    fn a_lookup_that_found_nobody_says_what_was_wanted() {
        assert_eq!(
            nobody("bank", &VersionRequirement::major(1)),
            "no server named \"bank\" 1.x is registered"
        );
    }
}
