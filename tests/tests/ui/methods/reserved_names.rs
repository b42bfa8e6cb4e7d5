use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn start(&self) -> Result<(), CallError>;
    fn with(&self, line: u32) -> Result<(), CallError>;
    fn channel(&self) -> Result<(), CallError>;
    fn resolve(&self, name: &str) -> Result<(), CallError>;
}

fn main() {}
