//! The lab's binary as scripts use it: fields, sums, equal hashes, exit codes.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::process::{Command, Output};

use serde_json::Value;

const BAD: &str = "drop=0.2,duplicate=0.2,reorder=0.3,corrupt=0.01";

fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab")).args(arguments).output().unwrap()
}

/// The objects that a run printed, which must have gone well.
fn rows(arguments: &[&str]) -> Vec<Value> {
    let output = lab(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn compare(world: &str, faults: &str, seed: &str) -> Vec<Value> {
    let arguments = [
        "compare", "--world", world, "--calls", "400", "--seed", seed, "--faults", faults, "--json",
    ];
    rows(&arguments)
}

fn figure(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_else(|| panic!("{name} in {row}"))
}

fn word<'r>(row: &'r Value, name: &str) -> &'r str {
    row[name].as_str().unwrap_or_else(|| panic!("{name} in {row}"))
}

fn hashes(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| word(row, "trace_hash")).collect()
}

/// What holds of every row, whatever the faults.
fn check(row: &Value, world: &str, faults: &str) {
    assert_eq!((word(row, "world"), word(row, "faults")), (world, faults));
    let ends = ["ok", "not_executed", "executed_error", "unknown"].map(|name| figure(row, name));
    assert_eq!((figure(row, "calls"), figure(row, "seed")), (400, 7));
    assert_eq!(ends.iter().sum::<u64>(), 400, "{row}");
    for broken in ["violations", "wrong_replies", "effects_lost"] {
        assert_eq!(figure(row, broken), 0, "{broken} in {row}");
    }
    assert!(figure(row, "datagrams") > 0 && figure(row, "calls_per_second") > 0);
    assert!(figure(row, "p50_us") <= figure(row, "p99_us"));
    let (ran, twice) = (figure(row, "executions"), figure(row, "executed_more_than_once"));
    match word(row, "semantics") {
        "maybe" => assert_eq!(figure(row, "sent_not_run"), figure(row, "ok") - ran, "{row}"),
        "at_least_once" => assert!(ran >= figure(row, "ok") && ran >= twice, "{row}"),
        "exactly_once" => {
            let doubtful = figure(row, "unknown");
            assert_eq!(twice, 0, "{row}");
            assert!((figure(row, "ok")..=figure(row, "ok") + doubtful).contains(&ran), "{row}");
        }
        other => assert_eq!((other, twice), ("at_most_once", 0), "{row}"),
    }
}

#[test]
fn every_world_prints_a_row_for_each_semantics_whose_figures_add_up() {
    for world in ["sim", "sim-threads", "udp"] {
        let rows = compare(world, BAD, "7");
        assert_eq!(rows.len(), 4);
        for row in &rows {
            check(row, world, BAD);
        }
        let least = rows.iter().find(|row| row["semantics"] == "at_least_once").unwrap();
        assert!(figure(least, "executed_more_than_once") > 0, "{least}");
        assert!(figure(least, "retransmissions") > 0, "{least}");
        assert!(figure(least, "p99_us") > 20_000, "a retransmission takes that long: {least}");
    }
}

#[test]
fn without_faults_every_call_comes_home_once() {
    for world in ["sim", "sim-threads", "udp"] {
        for row in &compare(world, "none", "7") {
            check(row, world, "none");
            assert_eq!((figure(row, "ok"), figure(row, "sent_not_run")), (400, 0), "{row}");
            if world != "udp" {
                let ran = (figure(row, "executions"), figure(row, "retransmissions"));
                assert_eq!(ran, (400, 0), "{row}");
            }
        }
    }
}

#[test]
fn one_seed_is_one_run_and_another_seed_another() {
    for world in ["sim", "sim-threads"] {
        for faults in ["none", BAD] {
            let [first, again, other] = ["7", "7", "8"].map(|seed| compare(world, faults, seed));
            assert_eq!(hashes(&first), hashes(&again));
            let same = |(one, other): (&&str, &&str)| one == other;
            assert!(!hashes(&first).iter().zip(&hashes(&other)).any(same), "{world} {faults}");
        }
    }
    assert!(compare("udp", "none", "7").iter().all(|row| row["trace_hash"].is_null()));
}

#[test]
fn compare_need_not_be_said() {
    let rows = rows(&["--world", "sim", "--calls", "10", "--faults", "none", "--json"]);
    assert_eq!(rows.len(), 4);
}

#[test]
fn speed_prints_a_figure_with_threads_and_one_without() {
    let rows = rows(&["speed", "--calls", "200", "--json"]);
    let driven: Vec<_> = rows.iter().map(|row| word(row, "driven")).collect();
    assert_eq!(driven, ["nodes", "threads"]);
    for row in &rows {
        assert_eq!((word(row, "world"), figure(row, "calls")), ("sim", 200));
        assert!(figure(row, "calls_per_second") > 0);
    }
}

#[test]
fn orphans_prints_an_object_for_each_strategy_and_the_same_for_a_seed() {
    let rows = rows(&["orphans", "--seed", "11", "--json"]);
    let strategies: Vec<_> = rows.iter().map(|row| word(row, "strategy")).collect();
    assert_eq!(strategies, ["extermination", "reincarnation", "gentle", "expiration"]);
    let figures = |name| -> Vec<u64> { rows.iter().map(|row| figure(row, name)).collect() };
    assert_eq!(figures("orphans_left")[3], 0);
    let innocent = figures("innocent_killed");
    assert!(innocent[1] > 0 && [innocent[0], innocent[2], innocent[3]] == [0; 3], "{innocent:?}");
    assert!(figures("chains_missed")[0] > 0 && figures("disk_writes")[0] > 0);
    assert!(figures("messages").iter().all(|&sent| sent > 0));
    assert!(figures("last_orphan_gone_ms").iter().all(|&ms| ms > 0));
    assert_eq!(rows, self::rows(&["orphans", "--seed", "11", "--json"]));
}

#[test]
fn acks_prints_both_protocols_side_by_side_and_the_same_for_a_seed() {
    let grid = ["acks", "--bytes", "4096,65536", "--loss", "0,0.01", "--delay-ms", "1", "--json"];
    let simulated = || rows(&[&grid[..], &["--world", "sim"]].concat());
    let real = rows(&[
        "acks",
        "--bytes",
        "4096",
        "--loss",
        "0",
        "--delay-ms",
        "0",
        "--world",
        "udp",
        "--json",
    ]);
    assert_eq!(simulated(), simulated());
    for (rows, count) in [(simulated(), 8), (real, 2)] {
        assert_eq!(rows.len(), count);
        for pair in rows.chunks(2) {
            assert_eq!(
                [&pair[0], &pair[1]].map(|row| word(row, "protocol")),
                ["stop_and_wait", "blast"]
            );
            assert_eq!(pair[0]["bytes"], pair[1]["bytes"]);
            assert!(
                ["world", "loss", "delay_ms"].iter().all(|name| pair[0][name] == pair[1][name])
            );
            assert!(
                pair.iter().all(|row| row["mb_per_second"].as_f64().unwrap() > 0.0),
                "{pair:?}"
            );
        }
    }
}

#[test]
fn path_prints_each_step_with_its_share_a_sum_and_counts() {
    // Whether the parts add up in a test's build, beside other tests, is the machine's luck.
    let output = lab(&["path", "--transport", "unix", "--calls", "400", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<_> = rows.iter().filter(|row| row["step"].is_string()).collect();
    assert_eq!((rows.len(), steps.len()), (22, 20), "{text}");
    let sum: f64 = steps.iter().map(|step| step["ns"].as_f64().unwrap()).sum();
    let (summed, counts) = (&rows[20], &rows[21]);
    assert!((summed["sum_ns"].as_f64().unwrap() - sum).abs() < 20.0, "{text}");
    let share: f64 = steps.iter().map(|step| step["share"].as_f64().unwrap()).sum();
    assert!((share - 1.0 - summed["difference"].as_f64().unwrap()).abs() < 0.01, "{text}");
    assert!(counts["allocations"].as_f64().unwrap() < 1.0, "{counts}");
}

#[test]
fn people_get_tables_sentences_and_both_speeds() {
    let output = lab(&["--world", "sim", "--calls", "100", "--faults", "drop=0.1"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "faults: drop=0.1\n",
        "\n`at_most_once` brought ",
        "\n`exactly_once` brought ",
        "\nThe simulator without threads made ",
        "\nThe simulator with blocking code in threads, found through a binder, made ",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn wrong_usage_exits_with_2_and_names_what_was_meant() {
    for (arguments, meant) in [
        (&["compare", "--cals", "3"][..], "'--calls'"),
        (&["--wordl", "sim"], "'--world'"),
        (&["--world", "tcp"], "[possible values: sim, sim-threads, udp, all]"),
        (&["--faults", "dorp=0.2"], "'--faults <FAULTS>': unknown fault `dorp`: known are drop,"),
        (&["--calls", "0"], "'--calls <CALLS>'"),
        (&["acks", "--loss", "2"], "a loss is a number from 0 to 0.5"),
        (&["path", "--transport", "mem"], "[possible values: udp, tcp, unix]"),
        (&["comprae"], "'compare'"),
    ] {
        let output = lab(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(meant) && output.stdout.is_empty(), "{arguments:?}: {errors}");
    }
}
