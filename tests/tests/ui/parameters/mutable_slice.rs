use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn fill(&self, cells: &mut [u64]) -> Result<(), CallError>;
}

fn main() {}
