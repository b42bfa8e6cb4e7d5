use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn put<'a>(&'a self, name: &'a str) -> Result<(), CallError>;
}

fn main() {}
