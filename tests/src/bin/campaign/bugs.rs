//! Plants bugs in a copy of the sources, builds the campaign there, and sees them caught.

use std::error::Error;
use std::process::Command;

use rpc_tests::planted::{self, Bug};

/// How a bug was found out.
#[derive(Debug)]
struct Caught {
    by: String,
    seed: u64,
}

/// Plants the bug `name`, or all; true if each was caught.
pub(crate) fn hunt(name: &str, seeds: u64, json: bool) -> Result<bool, Box<dyn Error>> {
    let bugs: Vec<Bug> =
        planted::all()?.into_iter().filter(|bug| name == "all" || bug.name == name).collect();
    if bugs.is_empty() {
        return Err(format!("no bug is named `{name}`; they stand in tests/planted").into());
    }
    let mut caught_all = true;
    for bug in &bugs {
        let caught = attempt(bug, seeds)?;
        caught_all &= caught.is_some();
        print(bug, caught.as_ref(), json);
    }
    if !json {
        println!(
            "{} bugs planted, {}",
            bugs.len(),
            if caught_all { "all caught" } else { "some NOT caught" }
        );
    }
    Ok(caught_all)
}

fn attempt(bug: &Bug, seeds: u64) -> Result<Option<Caught>, Box<dyn Error>> {
    let campaign = planted::build(bug, "campaign")?;
    let run = Command::new(campaign).args(["--json", "--seeds", &seeds.to_string()]).output()?;
    let line: serde_json::Value = serde_json::from_slice(&run.stdout)?;
    let seed = line["first_failing_seed"].as_u64();
    Ok(seed.map(|seed| Caught {
        by: line["first_invariant"].as_str().unwrap_or("an assertion of the core").to_owned(),
        seed,
    }))
}

fn print(bug: &Bug, caught: Option<&Caught>, json: bool) {
    if json {
        let (by, seed) = (caught.map(|caught| &caught.by), caught.map(|caught| caught.seed));
        println!("{}", serde_json::json!({ "name": bug.name, "caught_by": by, "seed": seed }));
    } else {
        let verdict = caught.map_or("NOT CAUGHT".to_owned(), |caught| {
            format!("seed {:>4}  {}", caught.seed, caught.by)
        });
        println!("{:<32} {verdict:<30} {}", bug.name, bug.breaks);
    }
}
