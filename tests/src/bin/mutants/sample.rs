//! Draws the sample: the mutants whose keyed hashes are the smallest.
//!
//! So a sample of 20 is the beginning of a sample of 200 with the same seed, and a change of the
//! sources moves only the mutants that it touches: line numbers are left out of the key.

use std::collections::BTreeMap;

use rpc_runtime::hash::{SipKey, siphash};
use serde_json::Value;

/// One mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mutant {
    /// As the tool names it, with line and column.
    pub(crate) name: String,
    pub(crate) file: String,
    /// What it changes, where; without line numbers.
    change: String,
}

impl Mutant {
    /// From an entry of the tool's list.
    pub(crate) fn parse(entry: &Value) -> Option<Self> {
        let text = |field: &str| entry[field].as_str().map(str::to_owned);
        let diff = text("diff")?;
        let lines: Vec<&str> = diff.lines().filter(|line| !line.starts_with("@@")).collect();
        Some(Self { name: text("name")?, file: text("file")?, change: lines.join("\n") })
    }
}

/// A mutant's name over changes of the sources elsewhere.
pub(crate) type Key = u64;

/// All mutants by key. Equal changes in equal surroundings are told apart by their order.
pub(crate) fn keyed(mutants: Vec<Mutant>) -> BTreeMap<Key, Mutant> {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut keyed = BTreeMap::new();
    for mutant in mutants {
        let twins = seen.entry(mutant.change.clone()).or_default();
        *twins += 1;
        keyed.insert(siphash(SipKey([0, *twins]), mutant.change.as_bytes()), mutant);
    }
    keyed
}

/// The keys of `size` mutants, drawn by `seed`, in the order of their drawing.
pub(crate) fn draw(mutants: &BTreeMap<Key, Mutant>, size: usize, seed: u64) -> Vec<Key> {
    let mut keys: Vec<Key> = mutants.keys().copied().collect();
    keys.sort_by_key(|key| siphash(SipKey([seed, 1]), &key.to_le_bytes()));
    keys.truncate(size);
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutants(count: u32) -> BTreeMap<Key, Mutant> {
        let mutant = |n| Mutant {
            name: format!("{n}"),
            file: String::new(),
            change: format!("change {}", n % 60),
        };
        keyed((0..count).map(mutant).collect())
    }

    #[test]
    fn twins_are_two() {
        assert_eq!(mutants(100).len(), 100);
    }

    #[test]
    fn a_small_sample_begins_a_large_one_and_seeds_differ() {
        let all = mutants(100);
        let (small, large) = (draw(&all, 10, 1), draw(&all, 50, 1));
        assert_eq!(small, large[..10]);
        assert_ne!(small, draw(&all, 10, 2));
        assert_eq!(draw(&all, 1_000, 1).len(), 100);
    }

    #[test]
    fn line_numbers_do_not_matter() {
        let entry = |line: u32| {
            let diff = format!("--- a\n+++ b\n@@ -{line},1 +{line},1 @@\n-x\n+y");
            serde_json::json!({ "name": format!("a:{line}"), "file": "a", "diff": diff })
        };
        let [one, other] = [7, 8].map(|line| Mutant::parse(&entry(line)).unwrap().change);
        assert_eq!(one, other);
    }
}
