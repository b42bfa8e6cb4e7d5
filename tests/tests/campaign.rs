//! A campaign short enough for every run of the tests; the long ones are `--bin campaign`.

use rpc_tests::campaign::{self, Knobs};

#[test]
fn thousands_of_bad_days_break_no_invariant() {
    for seed in 0..3_000 {
        let report = campaign::run(seed, 0, Knobs::default());
        let broken: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
        assert!(broken.is_empty(), "seed {seed}: {}", broken.join("\n  "));
    }
}
