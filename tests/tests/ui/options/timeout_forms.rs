use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    #[rpc(timeout)]
    fn no_value(&self) -> Result<(), CallError>;
    #[rpc(timeout = 2)]
    fn no_string(&self) -> Result<(), CallError>;
    #[rpc(timeout = "2")]
    fn no_unit(&self) -> Result<(), CallError>;
    #[rpc(timeout = "2 sec")]
    fn unknown_unit(&self) -> Result<(), CallError>;
    #[rpc(timeout = "1.5s")]
    fn a_fraction(&self) -> Result<(), CallError>;
    #[rpc(timeout = "soon")]
    fn no_number(&self) -> Result<(), CallError>;
    #[rpc(timeout = "")]
    fn empty(&self) -> Result<(), CallError>;
    #[rpc(timeout = "0s")]
    fn zero(&self) -> Result<(), CallError>;
    #[rpc(timeout = "99999999999999h")]
    fn too_long(&self) -> Result<(), CallError>;
}

fn main() {}
