//! The binder's command line: parses, runs, exits.

use std::io;
use std::process::ExitCode;

use clap::Parser as _;

use rpc_binder::{cli::Cli, command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match command::run(&cli, &mut io::stdout(), &mut io::stderr()) {
        Ok(code) => ExitCode::from(code),
        // Whoever read us is gone: nobody is left to tell.
        Err(_) => ExitCode::from(command::NO),
    }
}
