//! Finds the bank through the binder and pays, in every way that a call can be made.

#![expect(clippy::print_stdout, reason = "a command line prints")]

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use examples::bank::{Bank, BankClient, BankError};
use rpc_runtime::{Binder, Error as RpcError, Options};

/// Call a bank.
#[derive(Parser, Debug)]
struct Cli {
    /// The binder.
    #[arg(long, env = "RPC_BINDER", default_value = "udp://127.0.0.1:7000")]
    binder: String,
    /// How many cents ann pays bob.
    #[arg(long, default_value_t = 30)]
    cents: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let cli = Cli::parse();
    let bank = BankClient::import(&Binder::at(&cli.binder)?)?;

    // A plain call. Its error says whether it ran.
    match bank.transfer("ann", "bob", cli.cents) {
        Ok(left) => println!("paid {}, ann has {left} left", cli.cents),
        Err(RpcError::App(BankError::NoFunds { short })) => println!("ann is {short} cents short"),
        Err(RpcError::App(error)) => println!("the bank says: {error:?}"),
        Err(RpcError::Call(error)) if error.is_safe_to_retry() => println!("try again: {error}"),
        Err(RpcError::Call(error)) => {
            println!("look before you retry: {error}");
            println!("asked again: {:?}", bank.resolve(error.call()));
        }
    }

    // Two calls under way at once.
    let (ann, bob) = (bank.start().balance("ann"), bank.start().balance("bob"));
    println!("ann has {:?}, bob has {:?}", ann.wait().ok(), bob.wait().ok());

    // Nobody waits for a note; and a caller may be less patient than the interface says.
    bank.note("paid");
    let hasty = bank.with(Options::new().timeout(Duration::from_millis(200)));
    println!("bob, asked in haste, has {:?}", hasty.balance("bob").ok());
    Ok(())
}
