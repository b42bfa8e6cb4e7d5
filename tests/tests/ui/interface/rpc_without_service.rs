use rpc_runtime::{CallError, rpc};

trait Bank {
    #[rpc(at_least_once)]
    fn balance(&self, account: u64) -> Result<u64, CallError>;
}

fn main() {}
