//! The model check: the project's own machines of both sides, explored completely in small worlds.
//!
//! Every message ever sent may arrive at any later moment, any number of times, or never; clocks go
//! as they like; processes crash and come back, or others take their address. An observer who sees
//! everything holds the contract against every state.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod message;
mod sides;
mod store;
mod record;
mod config;
mod world;
mod steps;
mod durable;
mod journal;
mod stops;
mod choices;
mod calm;
mod explore;
mod rules;

use std::panic;
use std::process::ExitCode;

use clap::Parser;

use config::Size;
use explore::Found;

/// Explore the machines of both sides in small worlds, completely.
#[derive(Parser, Debug)]
#[command(name = "model", version)]
struct Cli {
    /// How much to explore.
    #[arg(long, value_enum, default_value_t = Size::Default)]
    size: Size,
    /// Only the world of this name.
    #[arg(long)]
    config: Option<String>,
    /// Switch a rule of the protocol off, by name, or each in turn for `all`, and see it missed.
    #[arg(long, value_name = "RULE", conflicts_with_all = ["size", "config"])]
    without: Option<String>,
    /// How many threads; one gives the shortest traces.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// One JSON object a world.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.without {
        Some(rule) => rules::without(rule, cli.json),
        None => run(&cli).map_err(Into::into),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("model: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Explores; true if every sentence holds.
fn run(cli: &Cli) -> Result<bool, String> {
    let mut worlds = config::all(cli.size);
    if let Some(name) = &cli.config {
        worlds.retain(|world| world.name == name);
    }
    if worlds.is_empty() {
        let names: Vec<_> = config::all(cli.size).iter().map(|world| world.name).collect();
        return Err(format!("no such world; there are: {}", names.join(", ")));
    }
    // A machine's failed assertion is a finding, told with its trace.
    panic::set_hook(Box::new(|_| {}));
    let (mut holds, mut states, mut seconds) = (true, 0, 0.0);
    for world in &worlds {
        let found = explore::explore(world, cli.threads);
        holds &= found.violated.is_empty();
        states += found.states;
        seconds += found.seconds;
        print(&found, cli.json);
    }
    if !cli.json {
        println!(
            "{states} states in {seconds:.1} s: {}",
            if holds { "all hold" } else { "BROKEN" }
        );
    }
    Ok(holds)
}

fn print(found: &Found, json: bool) {
    let Found { name, states, depth, seconds, violated, traces } = found;
    if json {
        let line = serde_json::json!({
            "name": name, "states": states, "depth": depth, "seconds": seconds,
            "violated": violated, "trace": traces.first().map(|(_, steps)| steps),
        });
        return println!("{line}");
    }
    let verdict = if violated.is_empty() { "holds".to_owned() } else { violated.join("; ") };
    println!("{name:<28} {states:>10} states  depth {depth:>3}  {seconds:>7.1} s  {verdict}");
    for (sentence, steps) in traces {
        println!("  {sentence}:");
        for (number, step) in (1..).zip(steps) {
            println!("  {number:>3}. {step}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_with_one_call_holds_and_is_explored_completely() {
        let worlds = config::all(Size::Tiny);
        let world = worlds.iter().find(|world| world.name == "call").unwrap();
        let found = explore::explore(world, 1);
        assert_eq!(found.violated, Vec::<String>::new());
        assert!(found.states > 1_000, "only {} states", found.states);
    }

    #[test]
    fn every_rule_names_a_world_that_there_is() {
        let worlds = config::all(Size::Large);
        for rule in rpc_tests::planted::rules().unwrap() {
            assert!(worlds.iter().any(|world| world.name == rule.world), "{}", rule.name);
        }
    }
}
