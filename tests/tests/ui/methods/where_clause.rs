use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn close(&self) -> Result<(), CallError>
    where
        Self: Sized;
}

fn main() {}
