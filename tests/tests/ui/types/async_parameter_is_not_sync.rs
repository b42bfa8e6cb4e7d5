use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    async fn pay(&self, cents: &std::cell::Cell<u64>) -> Result<u64, CallError>;
}

fn main() {}
