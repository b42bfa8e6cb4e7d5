use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn pay(&self, cents: u64) -> Result<u64, CallError>;
}

struct MyBank;

impl Bank for MyBank {}

fn main() {}
