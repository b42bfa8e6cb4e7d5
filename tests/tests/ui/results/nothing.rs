use rpc_runtime::service;

#[service]
trait Bank {
    fn put(&self, cents: u64);
}

fn main() {}
