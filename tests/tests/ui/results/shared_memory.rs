use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn owners(&self) -> Result<std::sync::Arc<String>, CallError>;
}

fn main() {}
