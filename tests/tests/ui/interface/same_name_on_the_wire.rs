use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn close(&self, account: u64) -> Result<(), CallError>;
    #[rpc(name = "close")]
    fn close_all(&self) -> Result<(), CallError>;
}

fn main() {}
