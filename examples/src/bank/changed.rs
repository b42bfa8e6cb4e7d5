//! The bank as somebody changed it who did not think of those who call it: sums have a sign now. A
//! binder at which the other one is live refuses it, and says why.

use rpc_runtime::service;

use super::{BankError, MyBank};

/// A bank whose sums may be negative.
#[service(name = "bank", version = "1.1")]
pub trait Bank {
    /// What is in `account`, in cents.
    #[rpc(at_least_once)]
    fn balance(&self, account: &str) -> rpc_runtime::Result<u64, BankError>;

    /// Moves `cents`, at most once; gives what is left.
    #[rpc(timeout = "2s")]
    fn transfer(&self, from: &str, to: &str, cents: i64) -> rpc_runtime::Result<u64, BankError>;

    /// A line for the log; nobody waits.
    #[rpc(maybe)]
    fn note(&self, line: &str);
}

impl Bank for MyBank {
    fn balance(&self, account: &str) -> rpc_runtime::Result<u64, BankError> {
        super::Bank::balance(self, account)
    }

    fn transfer(&self, from: &str, to: &str, cents: i64) -> rpc_runtime::Result<u64, BankError> {
        let (from, to) = if cents < 0 { (to, from) } else { (from, to) };
        super::Bank::transfer(self, from, to, cents.unsigned_abs())
    }

    fn note(&self, line: &str) {
        super::Bank::note(self, line);
    }
}
