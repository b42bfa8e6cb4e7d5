use rpc_runtime::{CallError, service};

#[service]
trait Bank
where
    Self: Send,
{
    fn close(&self, account: u64) -> Result<(), CallError>;
}

fn main() {}
