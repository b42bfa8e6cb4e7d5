use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    async fn pay(&self, cents: u64) -> Result<u64, CallError>;
}

fn pay(bank: &dyn Bank) {
    drop(bank.pay(1));
}

fn main() {}
