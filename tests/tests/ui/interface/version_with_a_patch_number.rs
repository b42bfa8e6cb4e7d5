use rpc_runtime::{CallError, service};

#[service(version = "1.2.3")]
trait Bank {
    fn close(&self, account: u64) -> Result<(), CallError>;
}

fn main() {}
