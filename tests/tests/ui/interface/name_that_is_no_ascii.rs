use rpc_runtime::{CallError, service};

#[service]
trait Überweisung {
    fn close(&self, account: u64) -> Result<(), CallError>;
}

fn main() {}
