use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn open(name: &str) -> Result<(), CallError>;
}

fn main() {}
