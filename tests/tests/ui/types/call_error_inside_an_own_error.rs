use rpc_runtime::{CallError, service};

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
enum BankError {
    Ledger(CallError),
}

#[service]
trait Bank {
    fn pay(&self, cents: u64) -> rpc_runtime::Result<u64, BankError>;
}

fn main() {}
