use rpc_runtime::service;

#[service]
trait Bank {
    #[rpc(maybe, timeout = "1s")]
    fn note(&self, line: &str);
}

fn main() {}
