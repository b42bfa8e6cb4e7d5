use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    #[rpc(exactly_once)]
    fn pay(&self) -> Result<(), CallError>;
    #[rpc(orphan = "gentle")]
    fn search(&self) -> Result<(), CallError>;
    #[rpc(expires = "1s")]
    fn render(&self) -> Result<(), CallError>;
    #[rpc(no_cancel)]
    fn print(&self) -> Result<(), CallError>;
    #[rpc(ack = "stop_and_wait")]
    fn upload(&self) -> Result<(), CallError>;
    #[rpc(broadcast)]
    fn announce(&self) -> Result<(), CallError>;
}

fn main() {}
