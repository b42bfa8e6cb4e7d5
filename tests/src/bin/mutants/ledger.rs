//! What is known so far: one line a mutant in a file under `target/`, so that a run that was
//! interrupted goes on where it stopped.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::sample::Key;
use super::tool::{Round, Tool, Verdict};

/// What is known about one mutant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) units: Option<Verdict>,
    pub(crate) scenarios: Option<Verdict>,
}

impl Known {
    /// What the mutant has still to meet.
    pub(crate) const fn next(self) -> Option<Round> {
        match (self.units, self.scenarios) {
            (None, _) => Some(Round::Units),
            (Some(Verdict::Missed), None) => Some(Round::Scenarios),
            (Some(Verdict::Missed), Some(_))
            | (Some(Verdict::Caught | Verdict::Timeout | Verdict::Unviable), _) => None,
        }
    }

    /// What became of it, if it has met all that it must.
    pub(crate) const fn verdict(self) -> Option<Verdict> {
        match (self.next(), self.units) {
            (None, Some(Verdict::Missed)) => self.scenarios,
            (None, units) => units,
            (Some(_), _) => None,
        }
    }

    fn set(&mut self, round: Round, verdict: Verdict) {
        match round {
            Round::Units => self.units = Some(verdict),
            Round::Scenarios => self.scenarios = Some(verdict),
        }
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct Ledger {
    known: BTreeMap<Key, Known>,
    file: File,
}

impl Ledger {
    fn path() -> PathBuf {
        Tool::folder().join("results.jsonl")
    }

    /// Opens it; `fresh` forgets everything, `retry` what was missed or timed out.
    pub(crate) fn open(fresh: bool, retry: bool) -> io::Result<Self> {
        let path = Self::path();
        if fresh && path.exists() {
            fs::remove_file(&path)?;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut known: BTreeMap<Key, Known> = BTreeMap::new();
        for (key, round, verdict) in text.lines().filter_map(parse) {
            known.entry(key).or_default().set(round, verdict);
        }
        if retry {
            known.retain(|_, known| {
                matches!(known.verdict(), Some(Verdict::Caught | Verdict::Unviable))
            });
        }
        let mut ledger = Self { known, file: File::create(&path)? };
        for (key, known) in ledger.known.clone() {
            let rounds = [(Round::Units, known.units), (Round::Scenarios, known.scenarios)];
            for (round, verdict) in rounds {
                if let Some(verdict) = verdict {
                    ledger.write(key, round, verdict)?;
                }
            }
        }
        ledger.file.sync_all()?;
        ledger.file = OpenOptions::new().append(true).open(&path)?;
        Ok(ledger)
    }

    pub(crate) fn known(&self, key: Key) -> Known {
        self.known.get(&key).copied().unwrap_or_default()
    }

    /// Takes note of a verdict; true if it is new.
    pub(crate) fn note(&mut self, key: Key, round: Round, verdict: Verdict) -> io::Result<bool> {
        if self.known(key).next() != Some(round) {
            return Ok(false);
        }
        self.known.entry(key).or_default().set(round, verdict);
        self.write(key, round, verdict)?;
        Ok(true)
    }

    fn write(&mut self, key: Key, round: Round, verdict: Verdict) -> io::Result<()> {
        let (key, round) = (format!("{key:016x}"), round.word());
        writeln!(self.file, "{}", json!({ "key": key, "round": round, "is": verdict.word() }))
    }
}

fn parse(line: &str) -> Option<(Key, Round, Verdict)> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let key = Key::from_str_radix(entry["key"].as_str()?, 16).ok()?;
    let named = |round: &Round| entry["round"] == round.word();
    let round = [Round::Units, Round::Scenarios].into_iter().find(named)?;
    Some((key, round, Verdict::parse(entry["is"].as_str()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_unit_tests_missed_meets_the_scenarios() {
        let mut known = Known::default();
        assert_eq!((known.next(), known.verdict()), (Some(Round::Units), None));
        known.set(Round::Units, Verdict::Missed);
        assert_eq!((known.next(), known.verdict()), (Some(Round::Scenarios), None));
        known.set(Round::Scenarios, Verdict::Caught);
        assert_eq!((known.next(), known.verdict()), (None, Some(Verdict::Caught)));
        let caught = Known { units: Some(Verdict::Timeout), scenarios: None };
        assert_eq!((caught.next(), caught.verdict()), (None, Some(Verdict::Timeout)));
    }

    #[test]
    fn a_torn_line_is_skipped() {
        assert_eq!(
            parse(r#"{"key":"00000000000000ff","round":"unit tests","is":"missed"}"#),
            Some((255, Round::Units, Verdict::Missed))
        );
        assert_eq!(parse(r#"{"key":"00000000000000ff","round":"uni"#), None);
    }
}
