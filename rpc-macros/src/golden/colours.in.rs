#[service]
trait Colours {
    async fn slow(&self, name: &str, line: &Line, cents: u64) -> rpc_runtime::Result<u64, BankError>;
    async fn nothing(&self) -> Result<(), CallError>;
    #[rpc(maybe)]
    async fn note(&self, line: &str);
    #[rpc(at_least_once, timeout = "2s", hedge = "20ms")]
    async fn fill(&self, basket: &mut Vec<String>, n: u32) -> Result<u32, CallError>;
    fn fast(&self) -> Result<(), CallError>;
}
