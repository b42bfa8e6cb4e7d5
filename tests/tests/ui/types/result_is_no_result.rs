use rpc_runtime::service;

#[service]
trait Bank {
    fn balance(&self) -> u64;
}

fn main() {}
