use rpc_runtime::{CallError, service};

trait Audit {}

#[service]
trait Bank: Audit {
    fn close(&self, account: u64) -> Result<(), CallError>;
}

fn main() {}
