use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn join(&self, other: &Self) -> Result<(), CallError>;
}

fn main() {}
