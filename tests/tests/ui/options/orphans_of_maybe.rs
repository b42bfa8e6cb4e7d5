use rpc_runtime::service;

#[service]
trait Log {
    #[rpc(maybe, orphan = "gentle")]
    fn write(&self);
    #[rpc(maybe, expires = "1s")]
    fn append(&self);
    #[rpc(maybe, no_cancel)]
    fn flush(&self);
}

fn main() {}
