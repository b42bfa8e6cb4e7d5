//! Serves the bank and registers it with the binder. Start the binder first:
//! `cargo run --release --bin rpc-binder -- serve`.

#![expect(clippy::print_stdout, reason = "a command line prints")]

use std::error::Error;

use clap::Parser;
use examples::bank::{BankService, MyBank};
use rpc_runtime::{Binder, Server};

/// Serve a bank.
#[derive(Parser, Debug)]
struct Cli {
    /// The binder.
    #[arg(long, env = "RPC_BINDER", default_value = "udp://127.0.0.1:7000")]
    binder: String,
    /// Where to serve; port 0 lets the system choose.
    #[arg(long, default_value = "udp://127.0.0.1:0")]
    listen: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let cli = Cli::parse();
    let binder = Binder::at(&cli.binder)?;
    let bank = MyBank::with(&[("ann", 1_000), ("bob", 0)]);
    let server = Server::bind(&cli.listen)?.export(BankService::new(bank)).register(&binder);
    let running = server.spawn()?;
    println!("serving \"bank\" 1.0 at {}, found through {}", running.url(), binder.url());
    loop {
        std::thread::park(); // until a signal ends the process
    }
}
