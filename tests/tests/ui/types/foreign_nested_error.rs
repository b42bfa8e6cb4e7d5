use rpc_runtime::service;

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
enum BankError {
    NoFunds,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct LedgerError;

#[service]
trait Ledger {
    fn append(&self, line: &str) -> rpc_runtime::Result<(), LedgerError>;
}

#[service]
trait Bank {
    fn pay(&self, cents: u64) -> rpc_runtime::Result<(), BankError>;
}

struct MyBank {
    ledger: LedgerClient,
}

impl Bank for MyBank {
    fn pay(&self, cents: u64) -> rpc_runtime::Result<(), BankError> {
        self.ledger.append("paid")?;
        Ok(())
    }
}

fn main() {}
