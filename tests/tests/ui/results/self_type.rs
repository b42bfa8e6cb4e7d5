use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn copy(&self) -> Result<Self, CallError>;
}

fn main() {}
