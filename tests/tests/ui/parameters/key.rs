use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn balance(&self, #[rpc(keys)] account: u64) -> Result<u64, CallError>;
}

fn main() {}
