use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    #[rpc(name = "balance of")]
    fn balance(&self) -> Result<u64, CallError>;
}

fn main() {}
