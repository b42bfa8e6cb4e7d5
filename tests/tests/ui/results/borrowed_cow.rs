use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn owner(&self, account: u64) -> Result<std::borrow::Cow<'_, str>, CallError>;
}

fn main() {}
