use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn fill(&self, names: &mut Vec<&str>) -> Result<(), CallError>;
}

fn main() {}
