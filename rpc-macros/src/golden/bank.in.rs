/// A bank.
#[service(name = "bank", version = "1.2")]
pub trait Bank {
    /// What is in `account`.
    #[rpc(at_least_once)]
    fn balance(&self, account: &str) -> rpc_runtime::Result<u64, BankError>;
    /// Moves `cents`.
    #[rpc(timeout = "2s")]
    fn transfer(&self, from: &str, to: &str, cents: u64) -> rpc_runtime::Result<Receipt, BankError>;
    /// Writes a line to the log; nobody waits.
    #[rpc(maybe)]
    fn note(&self, line: &str);
    /// In-out: the basket comes back changed.
    fn fill(&self, basket: &mut Vec<String>, n: u32) -> Result<u32, CallError>;
}
