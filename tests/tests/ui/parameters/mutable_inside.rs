use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn fill(&self, cells: Vec<&mut u64>) -> Result<(), CallError>;
}

fn main() {}
