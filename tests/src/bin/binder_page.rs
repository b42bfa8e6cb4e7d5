//! A binder with its page and a shop of servers that call each other, to be looked at in a browser:
//! `cargo run --release --bin binder_page`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use rpc_tests::shop::{self, Part, Shown};

/// Serve the page of a binder, with servers on it.
#[derive(Parser, Debug)]
#[command(name = "binder_page", version)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    /// Where the page is.
    #[arg(long, default_value = "127.0.0.1:7080")]
    http: String,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.part {
        Some(part) => shop::play(part),
        None => show(&cli.http),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("binder_page: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show(http: &str) -> Result<(), Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let program = program.to_str().ok_or("the program's name is no text")?;
    let shown = Shown::start(program, &["--listen", "udp://127.0.0.1:0", "--http", http])?;
    let _shop = shown.shop()?;
    println!("look at {}; Enter ends it", shown.page);
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
