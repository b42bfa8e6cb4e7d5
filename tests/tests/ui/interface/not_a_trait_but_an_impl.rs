use rpc_runtime::service;

struct Bank;

#[service]
impl Bank {
    fn close(&self, _account: u64) {}
}

fn main() {}
