use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    const ACCOUNTS_MAX: u64;
    fn close(&self, account: u64) -> Result<(), CallError>;
}

fn main() {}
