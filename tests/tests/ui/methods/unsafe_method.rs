use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    unsafe fn close(&self) -> Result<(), CallError>;
}

fn main() {}
