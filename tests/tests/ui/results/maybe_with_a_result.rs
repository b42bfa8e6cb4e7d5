use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    #[rpc(maybe)]
    fn note(&self, line: &str) -> Result<u64, CallError>;
}

fn main() {}
