use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn put(&self, cents: Vec<_>) -> Result<(), CallError>;
}

fn main() {}
