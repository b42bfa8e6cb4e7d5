use rpc_runtime::{CallError, service};

#[service]
trait Till {
    #[rpc(exactly_once)]
    async fn pay(&self, cents: u64) -> Result<u64, CallError>;
    #[rpc(at_least_once)]
    async fn balance(&self) -> Result<u64, CallError>;
}

struct MyTill;

impl Till for MyTill {
    async fn pay(&self, cents: u64) -> Result<u64, CallError> {
        Ok(cents)
    }
    async fn balance(&self) -> Result<u64, CallError> {
        Ok(0)
    }
}

fn main() {}
