mod bank {
    use rpc_runtime::{CallError, service};

    #[service]
    pub trait Bank {
        fn close(&mut self, account: u64) -> Result<(), CallError>;
    }
}

use bank::{Bank, BankClient, BankService, BankStart};

struct MyBank;

impl Bank for MyBank {
    fn close(&mut self, _account: u64) -> Result<(), rpc_runtime::CallError> {
        Ok(())
    }
}

fn start(client: &BankClient) -> BankStart<'_> {
    let _ = BankService::new(MyBank);
    client.start()
}

fn main() {}
