use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    #[rpc(key = "account")]
    fn upload(&self) -> Result<(), CallError>;
    #[rpc(broadcast)]
    fn announce(&self) -> Result<(), CallError>;
}

fn main() {}
