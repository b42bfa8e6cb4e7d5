use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn balance(&self) -> Result<u64, CallError> {
        Ok(0)
    }
}

struct MyBank;

impl Bank for MyBank {}

fn main() {}
