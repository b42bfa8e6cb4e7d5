use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    #[rpc(timeout = "1s")]
    #[rpc(timeout = "2s")]
    fn balance(&self) -> Result<u64, CallError>;
}

fn main() {}
