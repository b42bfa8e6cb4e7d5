//! A minimal server of this framework.

use rpc_runtime::{CallError, Server, service};

#[service]
trait Greeter {
    /// Greets.
    fn greet(&self, name: &str) -> Result<String, CallError>;
}

struct Polite;

impl Greeter for Polite {
    fn greet(&self, name: &str) -> Result<String, CallError> {
        Ok(format!("good day, {name}"))
    }
}

fn main() -> Result<(), CallError> {
    Server::bind("tcp://127.0.0.1:7001")?.export(GreeterService::new(Polite)).serve()
}
