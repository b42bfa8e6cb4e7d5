use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn pay(&self, cents: u64) -> Result<u64, CallError>;
}

fn pay(bank: &BankClient) -> Result<u64, CallError> {
    bank.pay("three")
}

fn main() {}
