use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    async fn close(&self) -> Result<(), CallError>;
}

fn main() {}
