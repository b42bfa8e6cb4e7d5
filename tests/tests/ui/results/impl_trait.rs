use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn accounts(&self) -> Result<impl Iterator<Item = u64>, CallError>;
}

fn main() {}
