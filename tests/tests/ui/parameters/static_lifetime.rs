use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn put(&self, name: &'static str) -> Result<(), CallError>;
}

fn main() {}
