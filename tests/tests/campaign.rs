//! A campaign short enough for every run of the tests; the long ones are `--bin campaign`.

use rpc_tests::campaign::{self, Calls, Knobs, Transport};

#[test]
fn large_messages_break_no_invariant() {
    let knobs = Knobs { calls: Calls::Large, ..Knobs::default() };
    for seed in 0..60 {
        let report = campaign::run(seed, 0, knobs);
        let broken: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
        assert!(broken.is_empty(), "seed {seed}: {}", broken.join("\n  "));
    }
}

#[test]
fn thousands_of_bad_days_break_no_invariant() {
    for seed in 0..3_000 {
        let report = campaign::run(seed, 0, Knobs::default());
        let broken: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
        assert!(broken.is_empty(), "seed {seed}: {}", broken.join("\n  "));
    }
}

/// Seeds of long campaigns in which something was broken once.
#[test]
fn the_bad_days_that_found_something_break_no_invariant() {
    let stop = "a reply that waited for room was sent on and on";
    let found = [(84_209, Knobs::default(), stop)];
    for (seed, knobs, what) in &found {
        let report = campaign::run(*seed, 0, *knobs);
        let broken: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
        assert!(broken.is_empty(), "seed {seed}, {what}: {}", broken.join("\n  "));
    }
}

#[test]
fn hundreds_of_bad_days_over_streams_break_no_invariant() {
    for transport in [Transport::Tcp, Transport::Unix, Transport::Shm] {
        for (calls, seeds) in [(Calls::All, 200), (Calls::Large, 20)] {
            for seed in 0..seeds {
                let report = campaign::run(seed, 0, Knobs { transport, calls, ..Knobs::default() });
                let broken: Vec<String> =
                    report.violations.iter().map(ToString::to_string).collect();
                assert!(broken.is_empty(), "{transport}, seed {seed}: {}", broken.join("\n  "));
            }
        }
    }
}
