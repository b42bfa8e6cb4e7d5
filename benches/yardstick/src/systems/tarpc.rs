//! tarpc, with bincode and byte strings that are copied in one piece.

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use serde_bytes::ByteBuf;
use tarpc::context::{self, Context};
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::tokio_util::codec::{Decoder, LengthDelimitedCodec};
use tarpc::{client, serde_transport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;

use super::tasks;
use crate::system::{Caller, Place, Request, Result, System, Transport, Work};

#[tarpc::service]
trait Echo {
    async fn null();
    async fn echo(bytes: ByteBuf) -> ByteBuf;
    async fn sink(bytes: ByteBuf) -> u64;
    async fn source(bytes: u64) -> ByteBuf;
}

#[derive(Clone)]
struct Here;

impl Echo for Here {
    async fn null(self, _: Context) {}

    async fn echo(self, _: Context, bytes: ByteBuf) -> ByteBuf {
        bytes
    }

    async fn sink(self, _: Context, bytes: ByteBuf) -> u64 {
        bytes.len() as u64
    }

    async fn source(self, _: Context, bytes: u64) -> ByteBuf {
        ByteBuf::from(vec![7; bytes as usize])
    }
}

pub(crate) struct Tarpc;

impl System for Tarpc {
    fn name(&self) -> &'static str {
        "tarpc"
    }

    fn speaks(&self, transport: Transport, _work: Work) -> bool {
        matches!(transport, Transport::Tcp | Transport::Unix)
    }

    fn serve(&self, at: Place<'_>, announce: &dyn Fn(&str)) -> Result<()> {
        tasks::runtime()?.block_on(async {
            if at.transport == Transport::Tcp {
                let listener = tasks::listen_tcp(announce).await?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    serve(stream);
                }
            }
            let listener = UnixListener::bind(at.path)?;
            announce(at.path);
            loop {
                serve(listener.accept().await?.0);
            }
        })
    }

    fn connect(&self, transport: Transport, _work: Work, address: &str) -> Result<Box<dyn Caller>> {
        Ok(Box::new(Client::connect(Arc::new(tasks::runtime()?), transport, address)?))
    }
}

/// Serves a connection, its calls at once.
fn serve(stream: impl AsyncRead + AsyncWrite + Send + 'static) {
    let transport =
        serde_transport::new(LengthDelimitedCodec::new().framed(stream), Bincode::default());
    let calls = BaseChannel::with_defaults(transport).execute(Here.serve());
    tokio::spawn(calls.for_each(|call| async {
        tokio::spawn(call);
    }));
}

#[derive(Clone)]
struct Client {
    runtime: Arc<Runtime>,
    stub: EchoClient,
    transport: Transport,
    address: Arc<str>,
}

impl Client {
    fn connect(runtime: Arc<Runtime>, transport: Transport, address: &str) -> Result<Self> {
        let stub = runtime.block_on(async {
            let stub = match transport {
                Transport::Tcp => stub(tasks::connect_tcp(address).await?),
                _ => stub(UnixStream::connect(address).await?),
            };
            stub.null(context::current()).await?;
            Result::Ok(stub)
        })?;
        Ok(Self { runtime, stub, transport, address: address.into() })
    }
}

fn stub(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> EchoClient {
    let transport =
        serde_transport::new(LengthDelimitedCodec::new().framed(stream), Bincode::default());
    // Room for as many as the figures keep under way.
    let mut config = client::Config::default();
    config.max_in_flight_requests = 2_048;
    config.pending_request_buffer = 2_048;
    EchoClient::new(config, transport).spawn()
}

impl Caller for Client {
    fn call(&mut self, request: Request<'_>) -> Result<()> {
        let (stub, context) = (&self.stub, context::current());
        self.runtime.block_on(async {
            match request {
                Request::Null => stub.null(context).await?,
                Request::Echo(bytes) => drop(stub.echo(context, ByteBuf::from(&bytes[..])).await?),
                Request::Sink(bytes) => drop(stub.sink(context, ByteBuf::from(bytes.as_slice())).await?),
                Request::Source(bytes) => drop(stub.source(context, bytes as u64).await?),
            }
            Ok(())
        })
    }

    fn pump(&mut self, small: &[u8], outstanding: usize, until: Instant) -> Result<u64> {
        let stub = &self.stub;
        self.runtime.block_on(tasks::pump(outstanding, until, || async {
            drop(stub.echo(context::current(), ByteBuf::from(small)).await?);
            Ok(())
        }))
    }

    fn shared(&self) -> Option<Box<dyn Caller + Send>> {
        Some(Box::new(self.clone()))
    }

    fn another(&self) -> Option<Result<Box<dyn Caller>>> {
        let another = Self::connect(Arc::clone(&self.runtime), self.transport, &self.address);
        Some(another.map(|another| Box::new(another) as Box<dyn Caller>))
    }
}
