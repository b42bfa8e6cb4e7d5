use rpc_runtime::{CallError, service};

#[service]
trait Bank {
    fn put(&self, owners: Vec<std::rc::Rc<String>>) -> Result<(), CallError>;
}

fn main() {}
