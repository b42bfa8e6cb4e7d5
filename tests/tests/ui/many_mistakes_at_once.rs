use rpc_runtime::{CallError, service};

#[service(nmae = "bank", version = "one")]
trait Bank<Account> {
    const ACCOUNTS_MAX: u64;
    type Currency;
    #[rpc(maybe, at_least_onec, timeout = "2")]
    unsafe fn note(&mut self, line: &'static str) -> Result<(), CallError>;
    fn open<T>(owner: T, (street, town): (&str, &str), _: u64);
    fn owner(&self, account: std::rc::Rc<u64>) -> Result<&str, CallError>;
    #[rpc(exactly_once, name = "owner")]
    async fn start(&self, cells: &mut [u64], next: *const u8) -> Result<(), CallError>;
}

fn main() {}
