use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn fill(&self, cells: Option<&mut Vec<u64>>) -> Result<(), CallError>;
}

fn main() {}
