//! Finds the bank through the binder and pays, in every way that a call can be made.

#![expect(clippy::print_stdout, reason = "a command line prints")]

use std::time::Duration;

use clap::Parser;
use examples::bank::{Bank, BankClient, BankError};
use rpc_runtime::{Binder, Error, Execution, Exit, Options};

/// Call a bank.
#[derive(Parser, Debug)]
#[command(after_help = "Exit code: 0 paid; 1 the bank says no, 75 or 78 not paid, 70 or 76 look \
                        whether it was paid.")]
struct Cli {
    /// The binder.
    #[arg(long, env = "RPC_BINDER", default_value = "udp://127.0.0.1:7000")]
    binder: String,
    /// How many cents ann pays bob.
    #[arg(long, default_value_t = 30)]
    cents: u64,
}

// The exit code says whether the call ran.
fn main() -> Exit {
    run(&Cli::parse()).into()
}

fn run(cli: &Cli) -> Result<(), Exit> {
    let bank = BankClient::import(&Binder::at(&cli.binder)?)?;

    // A plain call. Its error says whether it ran.
    match bank.transfer("ann", "bob", cli.cents) {
        Ok(left) => println!("paid {}, ann has {left} left", cli.cents),
        Err(Error::App(BankError::NoFunds { short })) => {
            return Err(format!("ann is {short} cents short").into());
        }
        Err(Error::App(error)) => return Err(format!("the bank says: {error:?}").into()),
        Err(Error::Call(error)) => {
            if error.execution() == Execution::Unknown {
                println!("asked what became of it: {:?}", bank.resolve(error.call()));
            }
            return Err(error.into());
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
