use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn close(&'static self) -> Result<(), CallError>;
}

fn main() {}
