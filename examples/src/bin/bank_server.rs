//! Serves the bank and registers it with the binder. Start the binder first:
//! `cargo run --release --bin rpc-binder -- serve`.

#![expect(clippy::print_stdout, reason = "a command line prints")]

use clap::Parser;
use examples::bank::{BankService, MyBank, changed};
use rpc_runtime::{Binder, Exit, Server};

/// Serve a bank.
#[derive(Parser, Debug)]
struct Cli {
    /// The binder.
    #[arg(long, env = "RPC_BINDER", default_value = "udp://127.0.0.1:7000")]
    binder: String,
    /// Where to serve; port 0 lets the system choose.
    #[arg(long, default_value = "udp://127.0.0.1:0")]
    listen: String,
    /// Serve a bank that its callers cannot use: a binder that knows the other one refuses it.
    #[arg(long)]
    changed: bool,
}

// The exit code of a server that was refused says that another try is vain.
fn main() -> Exit {
    run(&Cli::parse()).into()
}

fn run(cli: &Cli) -> Result<(), Exit> {
    let binder = Binder::at(&cli.binder)?;
    let bank = MyBank::with(&[("ann", 1_000), ("bob", 0)]);
    let server = Server::bind(&cli.listen)?;
    let (server, version) = if cli.changed {
        (server.export(changed::BankService::new(bank)), "1.1")
    } else {
        (server.export(BankService::new(bank)), "1.0")
    };
    let running = server.register(&binder).spawn()?;
    println!("serving \"bank\" {version} at {}, found through {}", running.url(), binder.url());
    loop {
        std::thread::park(); // until a signal ends the process
    }
}
