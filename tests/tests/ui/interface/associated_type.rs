use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    type Account;
    fn close(&self, account: u64) -> Result<(), CallError>;
}

fn main() {}
