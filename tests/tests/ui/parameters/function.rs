use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn each(&self, visit: fn(u64)) -> Result<(), CallError>;
}

fn main() {}
