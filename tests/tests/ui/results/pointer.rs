use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn memory(&self) -> Result<*const u8, CallError>;
}

fn main() {}
