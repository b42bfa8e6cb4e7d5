use rpc_runtime::{CallError, service};

#[service]
pub trait Bank {
    async fn open(&self);
    async fn close(&mut self, cells: &mut [u64]) -> Result<(), CallError>;
}

pub struct MyBank;

impl Bank for MyBank {
    async fn open(&self) {}
    async fn close(&mut self, _cells: &mut [u64]) -> Result<(), CallError> {
        Ok(())
    }
}

fn main() {}
