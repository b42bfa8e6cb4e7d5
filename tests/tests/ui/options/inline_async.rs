use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    #[rpc(at_least_once, inline)]
    async fn balance(&self) -> Result<u64, CallError>;
}

fn main() {}
