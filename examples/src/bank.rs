//! The bank of the README: an interface, an error, an implementation.

pub mod changed;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rpc_runtime::service;
use serde::{Deserialize, Serialize};

/// What the bank itself can have against a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BankError {
    /// The account holds too little.
    NoFunds {
        /// What is missing, in cents.
        short: u64,
    },
    /// There is no such account.
    NoAccount(String),
}

/// A bank.
#[service(name = "bank", version = "1.0")]
pub trait Bank {
    /// What is in `account`, in cents. Reading twice does no harm.
    #[rpc(at_least_once)]
    fn balance(&self, account: &str) -> rpc_runtime::Result<u64, BankError>;

    /// Moves `cents`, at most once; gives what is left.
    #[rpc(timeout = "2s")]
    fn transfer(&self, from: &str, to: &str, cents: u64) -> rpc_runtime::Result<u64, BankError>;

    /// A line for the log; nobody waits.
    #[rpc(maybe)]
    fn note(&self, line: &str);
}

/// A bank that forgets everything when its process ends.
#[derive(Debug, Default)]
pub struct MyBank {
    accounts: Mutex<BTreeMap<String, u64>>,
}

impl MyBank {
    /// A bank with these accounts.
    #[must_use]
    pub fn with(accounts: &[(&str, u64)]) -> Self {
        let accounts = accounts.iter().map(|&(name, cents)| (name.to_owned(), cents)).collect();
        Self { accounts: Mutex::new(accounts) }
    }
}

impl Bank for MyBank {
    fn balance(&self, account: &str) -> rpc_runtime::Result<u64, BankError> {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let cents =
            accounts.get(account).ok_or_else(|| BankError::NoAccount(account.to_owned()))?;
        Ok(*cents)
    }

    fn transfer(&self, from: &str, to: &str, cents: u64) -> rpc_runtime::Result<u64, BankError> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let have = accounts.get(from).ok_or_else(|| BankError::NoAccount(from.to_owned()))?;
        let short = cents.saturating_sub(*have);
        let left = have.checked_sub(cents).ok_or(BankError::NoFunds { short })?;
        accounts.insert(from.to_owned(), left);
        *accounts.entry(to.to_owned()).or_default() += cents;
        Ok(left)
    }

    fn note(&self, _line: &str) {}
}
