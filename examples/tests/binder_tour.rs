//! The tour of the binder as scripts use it: what it prints, and the promises that do not hang on how
//! fast the machine is.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::process::Command;

use serde_json::Value;

/// The objects of a short tour, and what it complained of.
fn toured() -> (Vec<Value>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_binder_tour"));
    let output = command.args(["--calls", "1500", "--json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let objects = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (objects, String::from_utf8(output.stderr).unwrap())
}

fn figure(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_else(|| panic!("{name} in {row}"))
}

#[test]
fn a_short_tour_spreads_calls_and_fails_none_that_was_safe_to_repeat() {
    let (rows, complaints) = toured();
    assert_eq!(complaints, "");
    let at = |stop: &str| -> Vec<&Value> {
        let rows: Vec<_> = rows.iter().filter(|row| row["stop"] == stop).collect();
        assert!(!rows.is_empty(), "{stop}");
        rows
    };

    let [three, two, ewma] = at("spread").try_into().unwrap();
    for row in [three, two] {
        assert_eq!((&row["balance"], &row["kept"]), (&"round_robin".into(), &true.into()), "{row}");
    }
    assert_eq!(figure(two, "shop_1_(1.0)"), 0, "it lacks a method");
    assert_eq!((figure(ewma, "failed"), figure(ewma, "calls")), (0, 1_500));

    let [lookups] = at("lookups").try_into().unwrap();
    assert_eq!((figure(lookups, "lookups"), figure(lookups, "ok")), (0, 1_500), "{lookups}");
    assert_eq!(at("cost").len(), 3);
    assert!(at("slowed").iter().all(|row| row["of_fair_share"].is_number()));

    let [prices, sales] = at("shop_killed").try_into().unwrap();
    assert_eq!(
        (&prices["kept"], &sales["kept"]),
        (&true.into(), &true.into()),
        "{prices}\n{sales}"
    );
    assert_eq!(figure(prices, "ok"), 750, "{prices}");
    assert_eq!(figure(sales, "ok") + figure(sales, "unknown"), 750, "{sales}");
    let [alone] = at("binder_killed").try_into().unwrap();
    assert_eq!((figure(alone, "ok"), &alone["kept"]), (1_500, &true.into()), "{alone}");
}
