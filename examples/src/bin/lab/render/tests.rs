use rpc_runtime::sim::checker::Tally;

use super::super::experiment::World;
use super::*;

fn row(world: World, semantics: Semantics, faults: &str) -> Row {
    let is_least = semantics == Semantics::AtLeastOnce;
    let tally = Tally {
        calls: 20_000,
        ok: 19_996,
        not_executed: 1,
        executed_error: 0,
        unknown: 3,
        executions: if is_least { 25_812 } else { 19_998 },
        executed_more_than_once: if is_least { 4_824 } else { 0 },
        wrong_replies: 0,
    };
    Row {
        world,
        semantics,
        faults: faults.to_owned(),
        seed: 7,
        tally,
        effects_lost: 0,
        sent_not_run: if semantics == Semantics::Maybe { 1_998 } else { 0 },
        violations: 0,
        first_violation: None,
        datagrams: 54_321,
        retransmissions: 8_838,
        p50_us: 100,
        p99_us: 316_927,
        calls_per_second: 1_234,
        trace_hash: None,
    }
}

fn rows() -> Vec<Row> {
    let row = &row;
    let mixes = ["none", "drop=0.1,delay=1ms..5ms"];
    let of = |faults| {
        [World::Sim, World::SimThreads, World::Udp].into_iter().flat_map(move |world| {
            super::super::experiment::SEMANTICS.map(|semantics| row(world, semantics, faults))
        })
    };
    mixes.into_iter().flat_map(of).collect()
}

#[test]
fn the_tables_and_the_sentences_read_like_this() {
    let rows = rows();
    let text = format!("{}\n{}\n", tables(&rows), summary(&rows));
    let golden = include_str!("golden.txt");
    assert!(text == golden, "render/golden.txt should be:\n{text}");
}

#[test]
fn a_row_with_a_broken_promise_says_how_to_replay_it() {
    let mut row = row(World::SimThreads, Semantics::AtMostOnce, "drop=0.1");
    assert_eq!(row.complaint(), None);
    row.effects_lost = 2;
    assert!(!row.is_clean());
    let expected = "sim-threads at_most_once: 0 violations, 2 effects lost; replies without an effect\n  \
                    replay: lab compare --world sim-threads --faults drop=0.1 --calls 20000 --seed 7";
    assert_eq!(row.complaint().as_deref(), Some(expected));
    assert!(summary(&[row]).ends_with("2 promises were broken."));
}
