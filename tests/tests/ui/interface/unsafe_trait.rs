use rpc_runtime::{CallError, service};

#[service]
unsafe trait Bank {
    fn close(&self, account: u64) -> Result<(), CallError>;
}

fn main() {}
