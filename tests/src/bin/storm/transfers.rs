//! The storm over `exactly_once`: transfers between the accounts of a bank whose server and whose
//! clients are killed at random.
//!
//! The bank's store is the truth: it holds the accounts, and for each transfer how often it was
//! applied, in the transaction of the call. Each client keeps the runtime's journal, and a log of
//! what it wanted and what it was told; a client that comes back asks what became of what it left.
//! In the end every transfer has a fact for a verdict, was applied as often as that fact says, and
//! no money came or went.

mod bank;
mod judge;
mod log;
mod serve;
mod teller;
#[path = "../../../../rpc-runtime/tests/stores/server.rs"]
mod postgres;

pub(crate) use judge::run;
pub(crate) use serve::{BankPart, serve};
pub(crate) use teller::{TellerPart, call};

/// Where the bank keeps its money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StoreKind {
    /// A folder.
    Redb,
    /// A PostgreSQL server of the storm's own.
    Postgres,
}

/// Accounts of the bank.
const ACCOUNTS: u64 = 16;
/// What is in each at first.
const BALANCE: u64 = 1_000_000;
