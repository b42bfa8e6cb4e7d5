//! The task runner behind `cargo x …`: no program to install.

#![expect(clippy::print_stdout, reason = "a command line prints")]

use std::env;
use std::process::{Command, ExitCode};

const HELP: &str = "\
cargo x TASK

  check      format, lints, tests: the fast part, before every commit
  core       the core built without mio, with the simulator
  bless      rewrite golden files (expansions, compile-fail texts), then read the diff
  sim ARGS   the simulation campaign: --seeds N, --seed S --trace, --planted all
  oracle     what the simulator counts against closed forms: --calls N, --bias 0.1
  lin        histories of a register and a counter: --seeds N, --planted BUG
  mutants    small changes of the protocol's code that tests must notice: --sample 200
  lab ARGS   the lab
  bench      the benches
  docs       the documentation, warnings denied
  ci         exactly what gates a change
";

/// One command of a task: program, arguments, extra environment.
type Step<'a> = (&'a str, Vec<&'a str>, &'a [(&'a str, &'a str)]);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let rest: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let steps: Vec<Step<'_>> = match arguments.first().map(String::as_str) {
        Some("check") => vec![
            ("cargo", vec!["fmt", "--all", "--check"], &[]),
            ("cargo", vec!["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[]),
            ("cargo", vec!["test", "--workspace"], &[]),
        ],
        Some("core") => {
            let core = "build -p rpc-runtime --no-default-features --features sim";
            vec![("cargo", core.split(' ').collect(), &[])]
        }
        Some("bless") => vec![
            ("cargo", vec!["test", "-p", "rpc-macros"], &[("BLESS", "1")]),
            (
                "cargo",
                vec!["test", "-p", "rpc-tests", "--test", "ui"],
                &[("TRYBUILD", "overwrite")],
            ),
        ],
        Some("sim") => vec![("cargo", release("campaign", &rest), &[])],
        Some("oracle") => vec![("cargo", release("oracle", &rest), &[])],
        Some("lin") => vec![("cargo", release("linearizability", &rest), &[])],
        Some("mutants") => vec![("cargo", release("mutants", &rest), &[])],
        Some("lab") => vec![("cargo", release("lab", &rest), &[])],
        Some("bench") => vec![("cargo", vec!["bench", "-p", "benches"], &[])],
        Some("docs") => vec![(
            "cargo",
            vec!["doc", "--workspace", "--no-deps"],
            &[("RUSTDOCFLAGS", "-D warnings")],
        )],
        Some("ci") => vec![("bash", vec![".ci/run"], &[])],
        Some(_) | None => {
            println!("{HELP}");
            return ExitCode::from(2);
        }
    };
    for (program, arguments, extra) in steps {
        let status = Command::new(program).args(arguments).envs(extra.iter().copied()).status();
        if !status.is_ok_and(|status| status.success()) {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// `cargo run --release --bin NAME -- ARGS`
fn release<'a>(name: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["run", "--release", "--bin", name, "--"], rest].concat()
}
