use rpc_runtime::service;

#[service]
trait Bank {
    #[rpc(maybe)]
    fn note(&self, lines: &mut Vec<String>);
}

fn main() {}
