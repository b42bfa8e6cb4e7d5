use rpc_runtime::service;

#[service]
trait Bank {
    fn pay(&self, cents: u64) -> rpc_runtime::Result<u64, std::io::Error>;
}

fn main() {}
