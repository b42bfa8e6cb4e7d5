use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn put(&self, (account, cents): (u64, u64)) -> Result<(), CallError>;
}

fn main() {}
