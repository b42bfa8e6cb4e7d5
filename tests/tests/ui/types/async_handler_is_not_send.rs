use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    async fn pay(&self, cents: u64) -> Result<u64, CallError>;
}

struct MyBank;

impl Bank for MyBank {
    async fn pay(&self, cents: u64) -> Result<u64, CallError> {
        let paid = std::rc::Rc::new(cents);
        std::future::ready(()).await;
        Ok(*paid)
    }
}

fn main() {}
