//! What follows from samples that the tests make by hand.

use rpc_runtime::binder::{EntryState, Traits, Version};

use super::*;

/// One registration of a server, that renewed at `renewed_ms` with leases of 10 s.
pub(crate) fn row(
    (name, server): (&str, u64),
    now_ms: u64,
    renewed_ms: u64,
    figures: Figures,
    callees: &[(&str, u64, u64)],
) -> (Entry, Option<Report>) {
    let left = (renewed_ms + 10_000).saturating_sub(now_ms);
    let entry = Entry {
        name: name.into(),
        version: Version::new(1, 0),
        server: ServerId(server),
        incarnation: Incarnation::new(1, 1),
        addresses: vec!["udp://10.0.0.7:4000".into()],
        fingerprint: 0,
        traits: Traits::default(),
        lease_left_ms: u32::try_from(left).unwrap(),
        state: if left == 0 { EntryState::Expired } else { EntryState::Live },
    };
    let callee = |(name, returned, unknown): &(&str, u64, u64)| Callee {
        name: (*name).to_owned(),
        returned: *returned,
        unknown: *unknown,
        ..Callee::default()
    };
    let callees = callees.iter().map(callee).collect();
    (entry, Some(Report { figures, callees, ..Report::default() }))
}

fn sample(now_ms: u64, rows: Vec<(Entry, Option<Report>)>) -> Sample {
    let now = Instant::from_micros(now_ms * 1_000);
    Sample { now, lease: Duration::from_secs(10), rows, left_out: 0, trouble: None }
}

fn calls(calls: u64) -> Figures {
    Figures { calls, failed: calls / 10, duplicates_suppressed: 3, ..Figures::default() }
}

#[test]
fn a_rate_is_that_of_the_time_between_two_renewals() {
    let mut history = History::default();
    let mut rate = |now, renewed, figures| {
        let view = history.take(sample(now, vec![row(("bank", 1), now, renewed, figures, &[])]));
        view.services[0].rate
    };
    assert_eq!(rate(1_000, 1_000, calls(500)), None, "one report is no rate");
    assert_eq!(rate(1_500, 1_000, calls(500)), None);
    assert_eq!(
        rate(4_200, 4_000, calls(800)),
        Some(100.0),
        "300 calls in 3 s, whenever it is seen"
    );
    assert_eq!(rate(4_700, 4_000, calls(800)), Some(100.0), "until it renews again");
    assert_eq!(rate(7_000, 7_000, calls(800)), Some(0.0));
    assert_eq!(rate(10_000, 10_000, calls(7)), None, "a count that goes back says nothing");
    assert_eq!(rate(20_500, 10_000, calls(7)), None, "nobody knows what one does that is gone");
}

#[test]
fn another_life_begins_anew() {
    let mut history = History::default();
    history.take(sample(0, vec![row(("bank", 1), 0, 0, calls(500), &[])]));
    let (mut entry, report) = row(("bank", 1), 3_000, 3_000, calls(900), &[]);
    entry.incarnation = Incarnation::new(2, 1);
    let view = history.take(sample(3_000, vec![(entry, report)]));
    assert_eq!(view.services[0].rate, None);
    assert_eq!(history.counts.services.get("bank"), None);
}

#[test]
fn counts_grow_and_never_go_back_while_servers_come_and_go() {
    let mut history = History::default();
    let mut count = |now, rows| {
        history.take(sample(now, rows));
        history.counts.services.get("bank").copied()
    };
    let one = |now, figures| row(("bank", 1), now, now, figures, &[]);
    let two = |now, figures| row(("bank", 2), now, now, figures, &[]);
    assert_eq!(count(0, vec![one(0, calls(1_000))]), None, "what was before is not counted");
    assert_eq!(count(3_000, vec![one(3_000, calls(1_100))]), Some((100, 10)));
    assert_eq!(
        count(6_000, vec![one(6_000, calls(1_100)), two(6_000, calls(50))]),
        Some((100, 10))
    );
    assert_eq!(count(9_000, vec![two(9_000, calls(60))]), Some((110, 11)));
    assert_eq!(count(12_000, vec![]), Some((110, 11)));
}

#[test]
fn what_a_report_says_of_a_whole_server_counts_once() {
    let mut history = History::default();
    let figures = Figures { queued: 2, running: 1, ..calls(10) };
    let callees = [("ledger", 90, 2)];
    let rows = |now| {
        vec![
            row(("bank", 1), now, now, figures, &callees),
            row(("ledger", 2), now, now, calls(0), &[]),
            row(("teller", 1), now, now, figures, &callees),
        ]
    };
    let view = history.take(sample(0, rows(0)));
    assert_eq!(view.totals.servers, 2);
    assert_eq!(view.totals.standings, [3, 0, 0, 0, 0]);
    assert_eq!((view.totals.running, view.totals.queued), (2, 2));
    assert_eq!(view.totals.duplicates_suppressed, 6);
    assert_eq!(view.totals.outcomes.unknown, 2);
    let seen: Vec<u64> = view.services.iter().map(|service| service.seen.unknown).collect();
    assert_eq!(seen, [0, 2, 0]);
    let edges: Vec<_> = view.edges.keys().map(|(from, to)| format!("{from} {to}")).collect();
    assert_eq!(edges, ["bank ledger", "teller ledger"]);
}

#[test]
fn how_often_one_service_calls_another_follows_too() {
    let mut history = History::default();
    let rows =
        |now, returned| vec![row(("bank", 1), now, now, calls(0), &[("ledger", returned, 1)])];
    history.take(sample(0, rows(0, 100)));
    let view = history.take(sample(2_000, rows(2_000, 150)));
    let edge = view.edges[&("bank".to_owned(), "ledger".to_owned())];
    assert_eq!(edge.rate, Some(25.0));
    assert_eq!(history.counts.callees["ledger"].returned, 50);
    let gone = row(("bank", 1), 12_500, 2_000, calls(0), &[("ledger", 150, 1)]);
    let view = history.take(sample(12_500, vec![gone]));
    assert_eq!(view.edges[&("bank".to_owned(), "ledger".to_owned())].rate, None);
}

#[test]
fn names_that_come_and_go_take_no_more_than_their_room() {
    let mut history = History::default();
    for index in 0..3 * NAMES_MAX as u64 {
        let name = format!("s{index}");
        for (now, count) in [(index * 10_000, 0), (index * 10_000 + 3_000, 5)] {
            history.take(sample(
                now,
                vec![row((&name, 1), now, now, calls(count), &[(&name, count, 0)])],
            ));
        }
    }
    assert!(history.counts.services.len() <= NAMES_MAX);
    assert!(history.counts.callees.len() <= NAMES_MAX);
    assert!(history.lives.len() <= 1 && history.trends.len() <= 1);
}

#[test]
fn a_trend_has_a_point_each_two_seconds_for_two_minutes() {
    let mut history = History::default();
    let mut points = 0;
    for tick in 0..400 {
        let now = tick * 500;
        let view = history.take(sample(now, vec![row(("bank", 1), now, now, calls(tick), &[])]));
        points = view.services[0].trend.len();
        assert_eq!(points, view.totals.trend.len());
        assert_eq!(points, usize::try_from(tick / 4 + 1).unwrap().min(TREND_LEN));
    }
    assert_eq!(points, TREND_LEN);
}
