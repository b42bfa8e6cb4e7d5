use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn each(&self, visit: Box<dyn Fn(u64)>) -> Result<(), CallError>;
}

fn main() {}
