//! How many instructions a call takes, counted by valgrind: figures that hardly move, whatever else the
//! machine does, compared with those in `instructions.json`.
//!
//! Each piece of work is done by a process of its own under callgrind, once for few calls and once for
//! more; the difference is what a call takes, without what starting and ending take. Of a call over
//! sockets one side is counted while the other runs as it is. Without valgrind it says so and counts
//! nothing.
//!
//! `--bless` writes down what was counted; `--json` prints one object a line; a word picks pieces.

#![expect(clippy::print_stdout, reason = "a command line prints")]

#[path = "instructions/counted.rs"]
mod counted;
#[path = "instructions/lookup.rs"]
mod lookup;
#[path = "instructions/pieces.rs"]
mod pieces;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

use counted::{Side, count};
use pieces::Piece;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Counts may be so much higher than those written down, for what compilers and systems differ in.
const TOLERANCE_PERCENT: u64 = 10;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["do", piece, times] => {
            Piece::named(piece)?.run(times.parse()?)?;
            return Ok(ExitCode::SUCCESS);
        }
        ["serve", url] => {
            pieces::serve(url)?;
            return Ok(ExitCode::SUCCESS);
        }
        ["call", url, times] => {
            pieces::call(url, times.parse()?)?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    if !counted::is_possible() {
        println!("valgrind is not installed: nothing was counted");
        return Ok(ExitCode::SUCCESS);
    }
    let has = |flag| words.contains(&flag);
    let only = words.iter().find(|word| !word.starts_with("--"));
    let expected = stored()?;
    let mut found = BTreeMap::new();
    let mut grown = Vec::new();
    for (name, work) in works() {
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let instructions = count(work)?;
        let before = expected.get(&name).copied();
        if has("--json") {
            let line = serde_json::json!({ "piece": name, "instructions": instructions, "expected": before });
            println!("{line}");
        } else {
            let change = before.map_or_else(String::new, |before| change(before, instructions));
            println!("{name:<16} {instructions:>8} instructions {change}");
        }
        if before.is_none_or(|before| instructions > before + before * TOLERANCE_PERCENT / 100) {
            grown.push(name.clone());
        }
        found.insert(name, instructions);
    }
    if has("--bless") {
        let all: BTreeMap<_, _> = expected.into_iter().chain(found).collect();
        fs::write(place(), serde_json::to_string_pretty(&all)? + "\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    if grown.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "more than {TOLERANCE_PERCENT} % above what is written down: {}. If that is worth it, write \
         it down with `cargo bench -p benches --bench instructions -- --bless`",
        grown.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

/// All that is counted.
fn works() -> Vec<(String, counted::Work)> {
    let pieces =
        Piece::ALL.iter().map(|piece| (piece.name().to_owned(), counted::Work::Alone(*piece)));
    let calls = ["tcp", "udp"].into_iter().flat_map(|transport| {
        [Side::Client, Side::Server].map(|side| {
            (format!("{transport} {}", side.name()), counted::Work::Call(transport, side))
        })
    });
    pieces.chain(calls).collect()
}

fn change(before: u64, now: u64) -> String {
    let percent = (i128::from(now) - i128::from(before)) * 100 / i128::from(before.max(1));
    format!("({percent:+} % of {before})")
}

fn place() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.json")
}

fn stored() -> Result<BTreeMap<String, u64>> {
    match fs::read_to_string(place()) {
        Ok(text) => Ok(serde_json::from_str(&text)?),
        Err(_) => Ok(BTreeMap::new()),
    }
}
