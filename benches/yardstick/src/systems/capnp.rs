//! Cap'n Proto. Its Rust implementation lives in one thread.

mod echo;
#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::semicolon_if_nothing_returned,
    clippy::use_self,
    reason = "generated"
)]
pub(crate) mod echo_capnp;

use std::rc::Rc;
use std::time::Instant;

use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::twoparty::VatNetwork;
use capnp_rpc::{RpcSystem, new_client};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::task::{LocalSet, spawn_local};
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

use super::tasks;
use crate::system::{Caller, Place, Request, Result, System, Transport, Work};
use echo_capnp::echo as service;

pub(crate) struct CapnProto;

impl System for CapnProto {
    fn name(&self) -> &'static str {
        "capnp"
    }

    fn speaks(&self, transport: Transport, _work: Work) -> bool {
        matches!(transport, Transport::Tcp | Transport::Unix)
    }

    fn serve(&self, at: Place<'_>, announce: &dyn Fn(&str)) -> Result<()> {
        LocalSet::new().block_on(&tasks::runtime()?, async {
            let here: service::Client = new_client(echo::Here);
            if at.transport == Transport::Tcp {
                let listener = tasks::listen_tcp(announce).await?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    let (read, write) = stream.into_split();
                    serve(read, write, &here);
                }
            }
            let listener = UnixListener::bind(at.path)?;
            announce(at.path);
            loop {
                let (read, write) = listener.accept().await?.0.into_split();
                serve(read, write, &here);
            }
        })
    }

    fn connect(&self, transport: Transport, _work: Work, address: &str) -> Result<Box<dyn Caller>> {
        let place = Rc::new((tasks::runtime()?, LocalSet::new()));
        Ok(Box::new(Client::connect(place, transport, address)?))
    }
}

fn network(
    read: impl AsyncRead + Unpin + 'static,
    write: impl AsyncWrite + Unpin + 'static,
    side: Side,
) -> Box<VatNetwork<impl futures::AsyncRead + Unpin>> {
    let read = futures::io::BufReader::new(read.compat());
    let write = futures::io::BufWriter::new(write.compat_write());
    // As many words as a large message takes, and more.
    let mut options = capnp::message::ReaderOptions::new();
    options.traversal_limit_in_words(None);
    Box::new(VatNetwork::new(read, write, side, options))
}

fn serve(
    read: impl AsyncRead + Unpin + 'static,
    write: impl AsyncWrite + Unpin + 'static,
    here: &service::Client,
) {
    let network = network(read, write, Side::Server);
    spawn_local(RpcSystem::new(network, Some(here.client.clone())));
}

#[derive(Clone)]
struct Client {
    place: Rc<(Runtime, LocalSet)>,
    stub: service::Client,
    transport: Transport,
    address: Rc<str>,
}

impl Client {
    fn connect(
        place: Rc<(Runtime, LocalSet)>,
        transport: Transport,
        address: &str,
    ) -> Result<Self> {
        let stub = place.1.block_on(&place.0, async {
            let stub = match transport {
                Transport::Tcp => {
                    let (read, write) = tasks::connect_tcp(address).await?.into_split();
                    stub(read, write)
                }
                _ => {
                    let (read, write) = UnixStream::connect(address).await?.into_split();
                    stub(read, write)
                }
            };
            stub.null_request().send().promise.await?;
            Result::Ok(stub)
        })?;
        Ok(Self { place, stub, transport, address: address.into() })
    }
}

fn stub(
    read: impl AsyncRead + Unpin + 'static,
    write: impl AsyncWrite + Unpin + 'static,
) -> service::Client {
    let mut system = RpcSystem::new(network(read, write, Side::Client), None);
    let stub = system.bootstrap(Side::Server);
    spawn_local(system);
    stub
}

async fn echo(stub: &service::Client, bytes: &[u8]) -> Result<()> {
    let mut request = stub.echo_request();
    request.get().set_bytes(bytes);
    let response = request.send().promise.await?;
    std::hint::black_box(response.get()?.get_bytes()?);
    Ok(())
}

impl Caller for Client {
    fn call(&mut self, request: Request<'_>) -> Result<()> {
        let stub = &self.stub;
        self.place.1.block_on(&self.place.0, async {
            match request {
                Request::Null => drop(stub.null_request().send().promise.await?),
                Request::Echo(bytes) => echo(stub, bytes).await?,
                Request::Sink(bytes) => {
                    let mut request = stub.sink_request();
                    request.get().set_bytes(bytes);
                    drop(request.send().promise.await?);
                }
                Request::Source(bytes) => {
                    let mut request = stub.source_request();
                    request.get().set_count(bytes as u64);
                    let response = request.send().promise.await?;
                    std::hint::black_box(response.get()?.get_bytes()?);
                }
            }
            Ok(())
        })
    }

    fn pump(&mut self, small: &[u8], outstanding: usize, until: Instant) -> Result<u64> {
        let stub = &self.stub;
        let calls = tasks::pump(outstanding, until, || echo(stub, small));
        self.place.1.block_on(&self.place.0, calls)
    }

    fn another(&self) -> Option<Result<Box<dyn Caller>>> {
        let another = Self::connect(Rc::clone(&self.place), self.transport, &self.address);
        Some(another.map(|another| Box::new(another) as Box<dyn Caller>))
    }
}
