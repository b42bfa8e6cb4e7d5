use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn pay(&self, cents: u64) -> rpc_runtime::Result<u64, CallError>;
}

fn main() {}
