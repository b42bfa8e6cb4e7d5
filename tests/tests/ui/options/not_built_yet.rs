use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    #[rpc(ack = "stop_and_wait")]
    fn upload(&self) -> Result<(), CallError>;
    #[rpc(broadcast)]
    fn announce(&self) -> Result<(), CallError>;
}

fn main() {}
