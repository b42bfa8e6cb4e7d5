use rpc_runtime::{CallError, service};

struct Receipt {
    number: u64,
}

#[service]
trait Bank {
    fn check(&self, receipts: &[Receipt], count: u32) -> Result<bool, CallError>;
}

fn main() {}
