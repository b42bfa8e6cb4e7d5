//! Drives `cargo mutants`: finds or installs it, lists mutants, runs some in a copy of the sources,
//! and reads what it has written so far.
//!
//! The copy and its build stay under `target/mutants`, so that every mutant costs one incremental
//! build, and an interrupted run leaves the project's own sources alone.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rpc_tests::planted;
use serde_json::Value;

use super::sample::Mutant;

/// The version whose mutants a seed stands for: another one makes others.
const VERSION: &str = "27.1.0";
/// Layers 1 and 2 of `rpc-runtime` (ARCHITECTURE.md).
const LAYERS: [&str; 7] = [
    "rpc-runtime/src/wire.rs",
    "rpc-runtime/src/wire/**",
    "rpc-runtime/src/hash.rs",
    "rpc-runtime/src/protocol.rs",
    "rpc-runtime/src/protocol/**",
    "rpc-runtime/src/fault.rs",
    "rpc-runtime/src/fault/**",
];
/// A mutant whose tests take so many times as long as without it, and so many seconds, hangs.
const TIMEOUT_TIMES: &str = "5";
const TIMEOUT_SECONDS: &str = "30";
/// The same for the scenarios.
const SCENARIOS_TIMEOUT_SECONDS: &str = "300";

/// Which tests a mutant meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// The unit tests of both layers.
    Units,
    /// The scenarios and a short campaign, for what those missed.
    Scenarios,
}

impl Round {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Units => "unit tests",
            Self::Scenarios => "scenarios",
        }
    }

    /// The package that is tested, and the arguments of `cargo test`.
    const fn tests(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Units => {
                ("rpc-runtime", &["--lib", "--", "wire::", "hash::", "protocol::", "fault::"])
            }
            Self::Scenarios => ("rpc-tests", &["--test", "scenarios", "--test", "campaign"]),
        }
    }
}

/// What became of a mutant in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Caught,
    Missed,
    Timeout,
    Unviable,
}

impl Verdict {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::Missed => "missed",
            Self::Timeout => "timeout",
            Self::Unviable => "unviable",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        let all = [Self::Caught, Self::Missed, Self::Timeout, Self::Unviable];
        all.into_iter().find(|verdict| verdict.word() == word)
    }
}

/// The tool, and where it works.
#[derive(Debug)]
pub(crate) struct Tool {
    program: PathBuf,
    folder: PathBuf,
}

impl Tool {
    /// Where all that is written goes.
    pub(crate) fn folder() -> PathBuf {
        planted::root().join("target/mutants")
    }

    /// Finds the tool, or installs it under `target/mutants`, and renews the copy of the sources.
    pub(crate) fn ready() -> Result<Self, Box<dyn Error>> {
        let folder = Self::folder();
        fs::create_dir_all(&folder)?;
        let own = folder.join("tool/bin/cargo-mutants");
        let is_right = |program: &Path| {
            let said = Command::new(program).args(["mutants", "--version"]).output();
            said.is_ok_and(|said| {
                String::from_utf8_lossy(&said.stdout).trim_end().ends_with(VERSION)
            })
        };
        let found =
            [PathBuf::from("cargo-mutants"), own.clone()].into_iter().find(|at| is_right(at));
        let program = match found {
            Some(program) => program,
            None => {
                eprintln!("installing cargo-mutants {VERSION} under target/mutants/tool");
                let installed = planted::cargo()
                    .args(["install", "--locked", "--version", VERSION, "cargo-mutants", "--root"])
                    .arg(folder.join("tool"))
                    .status()?;
                if !installed.success() || !is_right(&own) {
                    return Err(format!("cargo-mutants {VERSION} cannot be installed").into());
                }
                own
            }
        };
        let tool = Self { program, folder };
        planted::copy_sources(&tool.sources())?;
        Ok(tool)
    }

    fn sources(&self) -> PathBuf {
        self.folder.join("sources")
    }

    /// `cargo mutants`, of the copy.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["mutants", "--colors", "never", "--package", "rpc-runtime"]);
        self.place(&mut command);
        command
    }

    /// Where it runs, and how it builds.
    fn place<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.current_dir(self.sources());
        // Builds are small and tests short: no debug information, but optimised as tests are.
        command.env("CARGO_TARGET_DIR", self.folder.join("build"));
        command.env("CARGO_PROFILE_TEST_DEBUG", "0").env("CARGO_PROFILE_DEV_DEBUG", "0");
        command.env("CARGO_INCREMENTAL", "1");
        // The tool asks for `cargo` itself.
        let cargo = planted::cargo();
        command.env("CARGO", cargo.get_program());
        command.envs(cargo.get_envs().filter_map(|(name, value)| Some((name, value?))))
    }

    /// All mutants of the two layers.
    pub(crate) fn list(&self) -> Result<Vec<Mutant>, Box<dyn Error>> {
        let mut command = self.command();
        command.args(["--list", "--json"]);
        for glob in LAYERS {
            command.args(["--file", glob]);
        }
        // For the model check alone: not built here.
        command.args(["--exclude", "**/digest.rs"]);
        let listed = command.stderr(Stdio::inherit()).output()?;
        let Value::Array(mutants) = serde_json::from_slice(&listed.stdout)? else {
            return Err("`cargo mutants --list --json` gave no list".into());
        };
        let mutants: Vec<Mutant> = mutants.iter().filter_map(Mutant::parse).collect();
        if mutants.is_empty() {
            return Err("`cargo mutants` finds nothing to mutate".into());
        }
        Ok(mutants)
    }

    /// Where a round writes.
    fn written(&self) -> PathBuf {
        self.folder.join("mutants.out/outcomes.json")
    }

    /// Starts a round for these mutants; the tool first sees the tests pass without any.
    pub(crate) fn start(&self, round: Round, mutants: &[&Mutant]) -> Result<Child, Box<dyn Error>> {
        let (package, tests) = round.tests();
        let mut command = self.command();
        command.args(["--in-place", "--test-package", package, "--cap-lints", "true"]);
        match round {
            Round::Units => {
                command.args(["--timeout-multiplier", TIMEOUT_TIMES]);
                command.args(["--minimum-test-timeout", TIMEOUT_SECONDS]);
            }
            // The tool would look for them in the package that is mutated (27.1.0).
            Round::Scenarios => {
                self.check_scenarios()?;
                command.args(["--baseline", "skip", "--timeout", SCENARIOS_TIMEOUT_SECONDS]);
            }
        }
        command.arg("--output").arg(&self.folder);
        let mut files: Vec<&str> = mutants.iter().map(|mutant| mutant.file.as_str()).collect();
        files.sort_unstable();
        files.dedup();
        // The expressions alone would let every mutant of a struct's field through (27.1.0).
        for file in files {
            command.args(["--file", file]);
        }
        for mutant in mutants {
            command.args(["--re", &format!("^{}$", escaped(&mutant.name))]);
        }
        command.arg("--").args(tests);
        if self.written().exists() {
            fs::remove_file(self.written())?;
        }
        let log = File::create(self.folder.join("log"))?;
        Ok(command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log).spawn()?)
    }

    /// Sees the scenarios pass without any mutant.
    fn check_scenarios(&self) -> Result<(), Box<dyn Error>> {
        let (package, tests) = Round::Scenarios.tests();
        let mut command = planted::cargo();
        self.place(&mut command).args(["test", "--package", package]).args(tests);
        // As the tool will build it, so that nothing is built twice.
        let tested = command.env("RUSTFLAGS", "--cap-lints=warn").output()?;
        if !tested.status.success() {
            let words =
                String::from_utf8_lossy(&[tested.stderr, tested.stdout].concat()).into_owned();
            return Err(format!("the scenarios fail without any mutant:\n{words}").into());
        }
        Ok(())
    }

    /// Mutants' names and verdicts that the round under way, or the last, has written so far.
    pub(crate) fn verdicts(&self) -> Vec<(String, Verdict)> {
        // While the file is being rewritten it may be cut short: then the next look sees it.
        let text = fs::read(self.written()).unwrap_or_default();
        let Ok(written) = serde_json::from_slice::<Value>(&text) else { return Vec::new() };
        let outcomes = written["outcomes"].as_array().cloned().unwrap_or_default();
        let verdict = |outcome: &Value| {
            let name = outcome["scenario"]["Mutant"]["name"].as_str()?.to_owned();
            let verdict = match outcome["summary"].as_str()? {
                "CaughtMutant" => Verdict::Caught,
                "MissedMutant" => Verdict::Missed,
                "Timeout" => Verdict::Timeout,
                "Unviable" => Verdict::Unviable,
                _ => return None,
            };
            Some((name, verdict))
        };
        outcomes.iter().filter_map(verdict).collect()
    }

    /// The end of what the tool said.
    pub(crate) fn last_words(&self) -> String {
        const LINES: usize = 15;
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

/// `name` as a regular expression that matches itself.
fn escaped(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_survive_their_words() {
        for verdict in [Verdict::Caught, Verdict::Missed, Verdict::Timeout, Verdict::Unviable] {
            assert_eq!(Verdict::parse(verdict.word()), Some(verdict));
        }
    }

    #[test]
    fn names_are_escaped() {
        // `\<` would be the beginning of a word.
        assert_eq!(escaped("a.rs:1: replace + with <()>"), r"a\.rs:1: replace \+ with <\(\)>");
    }
}
