use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn owners(&self) -> Result<Vec<_>, CallError>;
}

fn main() {}
