use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn fill(&self, name: &mut str) -> Result<(), CallError>;
}

fn main() {}
