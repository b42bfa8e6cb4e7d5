use rpc_runtime::service;

#[service]
struct Bank {
    accounts: Vec<u64>,
}

fn main() {}
