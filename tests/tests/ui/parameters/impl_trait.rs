use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn put(&self, value: impl Into<u64>) -> Result<(), CallError>;
}

fn main() {}
