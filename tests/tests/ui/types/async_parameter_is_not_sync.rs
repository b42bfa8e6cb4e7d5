use rpc_runtime::{CallError, service};

#[derive(serde::Serialize, serde::Deserialize)]
struct Bill {
    cents: std::cell::Cell<u64>,
}

#[service]
trait Bank {
    async fn pay(&self, bill: &Bill) -> Result<u64, CallError>;
}

fn main() {}
