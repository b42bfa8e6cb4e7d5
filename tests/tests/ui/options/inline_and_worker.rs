use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    #[rpc(worker, inline)]
    fn balance(&self) -> Result<u64, CallError>;
}

fn main() {}
