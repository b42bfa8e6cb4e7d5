//! A minimal server of ttrpc, with dispatch written by hand: it greets with the bytes it was given.

use std::collections::HashMap;
use std::thread;

use ttrpc::sync::{MethodHandler, Server, TtrpcContext};

struct Greet;

impl MethodHandler for Greet {
    fn handler(&self, context: TtrpcContext, request: ttrpc::Request) -> ttrpc::Result<()> {
        let mut response = ttrpc::Response::new();
        response.set_status(ttrpc::get_status(ttrpc::Code::OK, ""));
        response.payload = request.payload;
        context.respond(context.mh.stream_id, response)
    }
}

fn main() -> ttrpc::Result<()> {
    let mut methods: HashMap<String, Box<dyn MethodHandler + Send + Sync>> = HashMap::new();
    methods.insert("/yardstick.Greeter/Greet".to_owned(), Box::new(Greet));
    let mut server = Server::new().bind("tcp://127.0.0.1:7001")?.register_service(methods);
    server.start()?;
    loop {
        thread::park();
    }
}
