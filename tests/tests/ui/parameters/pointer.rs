use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn put(&self, bytes: *const u8, length: usize) -> Result<(), CallError>;
}

fn main() {}
