use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn balance(&self, #[cfg(unix)] account: u64) -> Result<u64, CallError>;
}

fn main() {}
