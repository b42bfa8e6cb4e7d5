use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    extern "C" fn close(&self) -> Result<(), CallError>;
}

fn main() {}
