use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn pay(&self, cents: u64) -> Result<u64, CallError>;
}

struct MyBank {
    paid: std::cell::Cell<u64>,
}

impl Bank for MyBank {
    fn pay(&self, cents: u64) -> Result<u64, CallError> {
        self.paid.set(self.paid.get() + cents);
        Ok(cents)
    }
}

fn serve(server: rpc_runtime::Server) -> rpc_runtime::Server {
    server.export(BankService::new(MyBank { paid: std::cell::Cell::new(0) }))
}

fn main() {}
