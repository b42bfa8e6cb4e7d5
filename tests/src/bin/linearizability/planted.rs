//! Plants bugs in a copy of the sources, and sees histories that nothing explains.

use std::error::Error;
use std::process::Command;

use rpc_tests::planted::{self, Bug};
use serde_json::{Value, json};

/// Plants the bug `name`; true if a history gave it away.
pub(crate) fn hunt(name: &str, seeds: u64, json: bool) -> Result<bool, Box<dyn Error>> {
    let bug: Bug = planted::all()?
        .into_iter()
        .find(|bug| bug.name == name)
        .ok_or_else(|| format!("no bug is named `{name}`; they stand in tests/planted"))?;
    let program = planted::build(&bug, "linearizability")?;
    let run = Command::new(program).args(["--json", "--seeds", &seeds.to_string()]).output()?;
    let line: Value = serde_json::from_slice(&run.stdout)?;
    let (seed, found) = (line["first_failing_seed"].as_u64(), &line["not_linearizable"]);
    if json {
        println!("{}", json!({ "name": bug.name, "seed": seed, "not_linearizable": found }));
    } else {
        let verdict = seed.map_or("NOT NOTICED".to_owned(), |seed| {
            format!("{found} of {seeds} histories not linearizable, the first of seed {seed}")
        });
        println!("{} ({}): {verdict}", bug.name, bug.breaks);
    }
    Ok(seed.is_some())
}
