use rpc_runtime::{CallError, service};

struct Receipt {
    number: u64,
}

#[service]
trait Bank {
    fn check(&self, receipt: Receipt) -> Result<bool, CallError>;
}

fn main() {}
