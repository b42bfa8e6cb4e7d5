use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    #[rpc(colour = "red")]
    fn balance(&self) -> Result<u64, CallError>;
}

fn main() {}
