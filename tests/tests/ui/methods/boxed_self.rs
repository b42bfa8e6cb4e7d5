use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn close(self: Box<Self>) -> Result<(), CallError>;
}

fn main() {}
