use rpc_runtime::{CallError, service};

#[service(nmae = "bank")]
trait Bank {
    fn close(&self, account: u64) -> Result<(), CallError>;
}

fn main() {}
