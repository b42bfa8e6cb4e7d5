use rpc_runtime::service;

#[service]
trait Bank {
    fn put(&self, cents: u64) -> rpc_runtime::Result<u64, Box<dyn std::error::Error>>;
}

fn main() {}
