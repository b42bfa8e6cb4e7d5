use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    #[rpc(timout = "2s")]
    fn balance(&self) -> Result<u64, CallError>;
}

fn main() {}
