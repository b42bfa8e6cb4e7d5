use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn put(&self, name: &&str) -> Result<(), CallError>;
}

fn main() {}
