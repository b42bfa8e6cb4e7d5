use rpc_runtime::{CallError, service};

#[service]
trait Shop {
    #[rpc(orphan = "extermine")]
    fn misspelt(&self) -> Result<(), CallError>;
    #[rpc(orphan)]
    fn no_value(&self) -> Result<(), CallError>;
    #[rpc(orphan = gentle)]
    fn no_string(&self) -> Result<(), CallError>;
    #[rpc(expires = "0s")]
    fn zero(&self) -> Result<(), CallError>;
    #[rpc(no_cancel, expires = "1s")]
    fn contradiction(&self) -> Result<(), CallError>;
    #[rpc(no_cancel, orphan = "exterminate")]
    fn unkillable(&self) -> Result<(), CallError>;
    #[rpc(no_cancel = true)]
    fn a_value(&self) -> Result<(), CallError>;
}

fn main() {}
