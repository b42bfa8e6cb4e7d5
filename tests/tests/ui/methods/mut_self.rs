use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn close(&mut self) -> Result<(), CallError>;
}

fn main() {}
