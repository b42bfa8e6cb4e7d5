use rpc_runtime::{CallError, service};

struct Receipt {
    number: u64,
}

#[service]
trait Bank {
    fn pay(&self, cents: u64) -> Result<Receipt, CallError>;
}

fn main() {}
