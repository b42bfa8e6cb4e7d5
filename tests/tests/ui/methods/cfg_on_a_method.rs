use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    #[cfg(unix)]
    fn close(&self) -> Result<(), CallError>;
}

fn main() {}
