use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    const fn close(&self) -> Result<(), CallError>;
}

fn main() {}
