use rpc_runtime::{CallError, service};

#[service(name = "Bank of England")]
trait Bank {
    fn close(&self, account: u64) -> Result<(), CallError>;
}

fn main() {}
