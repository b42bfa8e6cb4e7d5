use rpc_runtime::service;

#[derive(Debug)]
enum BankError {
    NoFunds,
}

#[service]
trait Bank {
    fn pay(&self, cents: u64) -> rpc_runtime::Result<u64, BankError>;
}

fn main() {}
