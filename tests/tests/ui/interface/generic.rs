use rpc_runtime::{CallError, service};

#[service]
trait Bank<Account> {
    fn close(&self, account: Account) -> Result<(), CallError>;
}

fn main() {}
