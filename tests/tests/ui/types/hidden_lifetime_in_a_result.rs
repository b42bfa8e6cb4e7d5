use rpc_runtime::{CallError, service};

#[derive(serde::Serialize, serde::Deserialize)]
struct Receipt<'a> {
    text: &'a str,
}

#[service]
trait Bank {
    fn pay(&self, cents: u64) -> Result<Receipt, CallError>;
}

fn main() {}
