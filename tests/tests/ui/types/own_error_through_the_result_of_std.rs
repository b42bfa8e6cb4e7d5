use rpc_runtime::service;

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
enum BankError {
    NoFunds,
}

#[service]
trait Bank {
    fn pay(&self, cents: u64) -> Result<u64, BankError>;
}

fn main() {}
