//! Switches rules of the protocol off in a copy of the sources, and sees the model miss them.

use std::error::Error;
use std::process::Command;

use rpc_tests::planted::{self, Bug};
use serde_json::Value;

/// Switches the rule `name` off, or each in turn for `all`; true if every loss was caught.
pub(crate) fn without(name: &str, json: bool) -> Result<bool, Box<dyn Error>> {
    let rules = planted::rules()?;
    let known: Vec<_> = rules.iter().map(|rule| rule.name.clone()).collect();
    let chosen: Vec<Bug> =
        rules.into_iter().filter(|rule| name == "all" || rule.name == name).collect();
    if chosen.is_empty() {
        return Err(format!("no rule is named `{name}`; there are: {}", known.join(", ")).into());
    }
    let mut caught_all = true;
    for rule in &chosen {
        let found = explore(rule)?;
        let caught = found["violated"].as_array().is_some_and(|violated| !violated.is_empty());
        caught_all &= caught;
        print(rule, &found, caught, json);
    }
    if !json && chosen.len() > 1 {
        let verdict = if caught_all { "all missed" } else { "some NOT missed" };
        println!("{} rules switched off, {verdict}", chosen.len());
    }
    Ok(caught_all)
}

/// What the model of the edited sources says of the rule's world.
fn explore(rule: &Bug) -> Result<Value, Box<dyn Error>> {
    let model = planted::build(rule, "model")?;
    let run = Command::new(model)
        .args(["--json", "--size", "large", "--threads", "1", "--config", &rule.world])
        .output()?;
    Ok(serde_json::from_slice(&run.stdout)?)
}

fn print(rule: &Bug, found: &Value, caught: bool, json: bool) {
    if json {
        let line = serde_json::json!({
            "without": rule.name, "name": found["name"], "states": found["states"],
            "seconds": found["seconds"], "violated": found["violated"], "trace": found["trace"],
        });
        return println!("{line}");
    }
    println!("without {}: {}", rule.name, rule.breaks);
    if !caught {
        return println!("  NOT CAUGHT in `{}`", rule.world);
    }
    let broken = found["violated"][0].as_str().unwrap_or_default();
    println!("  `{}` breaks: {broken}", rule.world);
    let steps = found["trace"].as_array().map_or(&[][..], Vec::as_slice);
    for (number, step) in (1..).zip(steps) {
        println!("  {number:>3}. {}", step.as_str().unwrap_or_default());
    }
}
