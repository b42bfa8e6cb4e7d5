use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn close(self: &Self) -> Result<(), CallError>;
}

fn main() {}
