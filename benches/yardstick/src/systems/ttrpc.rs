//! ttrpc, its synchronous half: messages and dispatch written by hand, as its generator would.

use std::collections::HashMap;
use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Instant;
use std::{net, thread};

use prost::Message;
use socket2::SockRef;
use ttrpc::sync::{Client, MethodHandler, Server, TtrpcContext};

use super::protobuf::{Bytes, Count, Nothing, handlers};
use crate::system::{Caller, Place, Request, Result, System, Transport, Work};

pub(crate) struct Ttrpc;

impl System for Ttrpc {
    fn name(&self) -> &'static str {
        "ttrpc"
    }

    fn speaks(&self, transport: Transport, _work: Work) -> bool {
        matches!(transport, Transport::Tcp | Transport::Unix)
    }

    fn serve(&self, at: Place<'_>, announce: &dyn Fn(&str)) -> Result<()> {
        let (address, listener) = match at.transport {
            Transport::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                SockRef::from(&listener).set_tcp_nodelay(true)?; // streams inherit it
                (listener.local_addr()?.to_string(), listener.into_raw_fd())
            }
            _ => (at.path.to_owned(), UnixListener::bind(at.path)?.into_raw_fd()),
        };
        let mut methods: HashMap<String, Box<dyn MethodHandler + Send + Sync>> = HashMap::new();
        methods.insert("/yardstick.Echo/Null".to_owned(), Box::new(Unary(handlers::null)));
        methods.insert("/yardstick.Echo/Echo".to_owned(), Box::new(Unary(handlers::echo)));
        methods.insert("/yardstick.Echo/Sink".to_owned(), Box::new(Unary(handlers::sink)));
        methods.insert("/yardstick.Echo/Source".to_owned(), Box::new(Unary(handlers::source)));
        let mut server = Server::new().add_listener(listener)?.register_service(methods);
        server.start()?;
        announce(&address);
        loop {
            thread::park();
        }
    }

    fn connect(&self, transport: Transport, _work: Work, address: &str) -> Result<Box<dyn Caller>> {
        let stream = match transport {
            Transport::Tcp => {
                let stream = net::TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.into_raw_fd()
            }
            _ => UnixStream::connect(address)?.into_raw_fd(),
        };
        Ok(Box::new(Stub(Client::new(stream)?)))
    }
}

/// A method.
struct Unary<A, R>(fn(A) -> R);

impl<A: Message + Default, R: Message> MethodHandler for Unary<A, R> {
    fn handler(&self, context: TtrpcContext, request: ttrpc::Request) -> ttrpc::Result<()> {
        let mut response = ttrpc::Response::new();
        match A::decode(&*request.payload) {
            Ok(argument) => {
                response.set_status(ttrpc::get_status(ttrpc::Code::OK, ""));
                response.payload = (self.0)(argument).encode_to_vec();
            }
            Err(error) => response
                .set_status(ttrpc::get_status(ttrpc::Code::INVALID_ARGUMENT, error.to_string())),
        }
        context.respond(context.mh.stream_id, response)
    }
}

#[derive(Clone)]
struct Stub(Client);

impl Stub {
    fn ask<R: Message + Default>(&self, method: &str, argument: &impl Message) -> Result<R> {
        let mut request = ttrpc::Request::new();
        request.service = "yardstick.Echo".to_owned();
        request.method = method.to_owned();
        request.payload = argument.encode_to_vec();
        Ok(R::decode(&*self.0.request(request)?.payload)?)
    }
}

impl Caller for Stub {
    fn call(&mut self, request: Request<'_>) -> Result<()> {
        match request {
            Request::Null => drop(self.ask::<Nothing>("Null", &Nothing {})?),
            Request::Echo(bytes) => drop(self.ask::<Bytes>("Echo", &Bytes::of(bytes))?),
            Request::Sink(bytes) => drop(self.ask::<Count>("Sink", &Bytes::of(bytes))?),
            Request::Source(bytes) => {
                drop(self.ask::<Bytes>("Source", &Count { bytes: bytes as u64 })?);
            }
        }
        Ok(())
    }

    /// It has nothing but a thread for each call under way.
    fn pump(&mut self, small: &[u8], outstanding: usize, until: Instant) -> Result<u64> {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..outstanding)
                .map(|_| {
                    let mut stub = self.clone();
                    scope.spawn(move || {
                        let mut calls = 0;
                        while Instant::now() < until {
                            stub.call(Request::Echo(small))?;
                            calls += 1;
                        }
                        Result::Ok(calls)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?).sum()
        })
    }

    fn shared(&self) -> Option<Box<dyn Caller + Send>> {
        Some(Box::new(self.clone()))
    }
}
