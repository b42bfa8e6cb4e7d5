use rpc_runtime::{CallError, service};

#[service(crate = "wire calls")]
trait Bank {
    fn close(&self, account: u64) -> Result<(), CallError>;
}

fn main() {}
