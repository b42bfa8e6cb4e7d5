use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn put(&self, mut cents: u64) -> Result<(), CallError>;
}

fn main() {}
