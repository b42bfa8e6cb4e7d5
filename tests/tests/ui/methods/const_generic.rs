use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn put<const N: usize>(&self, values: [u8; N]) -> Result<(), CallError>;
}

fn main() {}
