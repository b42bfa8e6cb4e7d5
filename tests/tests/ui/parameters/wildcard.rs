use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn put(&self, _: u64) -> Result<(), CallError>;
}

fn main() {}
