use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn put<T>(&self, value: T) -> Result<(), CallError>;
}

fn main() {}
