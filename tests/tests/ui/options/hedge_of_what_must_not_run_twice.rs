use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    #[rpc(hedge = "20ms")]
    fn transfer(&self) -> Result<(), CallError>;
    #[rpc(exactly_once, hedge = "20ms")]
    fn pay(&self) -> Result<(), CallError>;
    #[rpc(maybe, hedge = "20ms")]
    fn note(&self);
    #[rpc(at_least_once, hedge = "20")]
    fn look_up(&self) -> Result<(), CallError>;
    #[rpc(at_least_once, hedge = "20ms")]
    fn read(&self) -> Result<(), CallError>;
}

fn main() {}
