use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    #[rpc(at_least_once, at_most_once)]
    fn balance(&self) -> Result<u64, CallError>;
}

fn main() {}
