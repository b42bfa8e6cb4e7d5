#![deny(unused_must_use)]

use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn pay(&self, cents: u64) -> Result<u64, CallError>;
}

fn pay(bank: &BankClient) {
    bank.start().pay(3);
}

fn main() {}
