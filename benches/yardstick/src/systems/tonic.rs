//! tonic: gRPC over HTTP/2. What `protoc` would generate is written by hand here, method by method.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use prost::Message;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::Stream;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};
use tonic_prost::ProstCodec;

use super::protobuf::{Bytes, Count, Nothing, handlers};
use super::tasks;
use crate::system::{Caller, Place, Request, Result, System, Transport, Work};

pub(crate) struct Tonic;

impl System for Tonic {
    fn name(&self) -> &'static str {
        "tonic"
    }

    fn speaks(&self, transport: Transport, _work: Work) -> bool {
        matches!(transport, Transport::Tcp | Transport::Unix)
    }

    fn serve(&self, at: Place<'_>, announce: &dyn Fn(&str)) -> Result<()> {
        tasks::runtime()?.block_on(async {
            if at.transport == Transport::Tcp {
                let listener = tasks::listen_tcp(announce).await?;
                return serve(futures::stream::unfold(listener, |listener| async {
                    let accepted = listener.accept().await.and_then(|(stream, _)| {
                        stream.set_nodelay(true)?;
                        Ok(stream)
                    });
                    Some((accepted, listener))
                }))
                .await;
            }
            let listener = UnixListener::bind(at.path)?;
            announce(&format!("unix:{}", at.path));
            serve(futures::stream::unfold(listener, |listener| async {
                Some((listener.accept().await.map(|(stream, _)| stream), listener))
            }))
            .await
        })
    }

    fn connect(&self, transport: Transport, _work: Work, address: &str) -> Result<Box<dyn Caller>> {
        let address = match transport {
            Transport::Tcp => format!("http://{address}"),
            _ => address.to_owned(),
        };
        Ok(Box::new(Client::connect(Arc::new(tasks::runtime()?), &address)?))
    }
}

async fn serve<S>(streams: impl Stream<Item = std::io::Result<S>>) -> Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Connected + Unpin + Send + 'static,
{
    Ok(tonic::transport::Server::builder().add_service(Echo).serve_with_incoming(streams).await?)
}

/// The service: paths to methods.
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "yardstick.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match request.uri().path() {
            NULL => unary(request, handlers::null),
            ECHO => unary(request, handlers::echo),
            SINK => unary(request, handlers::sink),
            SOURCE => unary(request, handlers::source),
            _ => Box::pin(ready(Ok(Status::unimplemented("no such method").into_http()))),
        }
    }
}

fn unary<A, R>(
    request: http::Request<Body>,
    handler: fn(A) -> R,
) -> BoxFuture<http::Response<Body>, Infallible>
where
    A: Message + Default + Send + 'static,
    R: Message + Send + 'static,
{
    Box::pin(async move {
        let mut grpc = tonic::server::Grpc::new(ProstCodec::<R, A>::default());
        Ok(grpc.unary(Unary(handler), request).await)
    })
}

/// A method.
struct Unary<A, R>(fn(A) -> R);

impl<A, R> Service<tonic::Request<A>> for Unary<A, R> {
    type Response = Response<R>;
    type Error = Status;
    type Future = Ready<std::result::Result<Response<R>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<A>) -> Self::Future {
        ready(Ok(Response::new((self.0)(request.into_inner()))))
    }
}

#[derive(Clone)]
struct Client {
    runtime: Arc<Runtime>,
    grpc: Grpc<Channel>,
    address: Arc<str>,
}

impl Client {
    fn connect(runtime: Arc<Runtime>, address: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(address.to_owned())?.tcp_nodelay(true);
        let channel = runtime.block_on(endpoint.connect())?;
        Ok(Self { runtime, grpc: Grpc::new(channel), address: address.into() })
    }
}

/// What a generated stub does.
async fn call<A, R>(mut grpc: Grpc<Channel>, path: &'static str, argument: A) -> Result<R>
where
    A: Message + Send + Sync + 'static,
    R: Message + Default + Send + Sync + 'static,
{
    grpc.ready().await?;
    let codec = ProstCodec::<A, R>::default();
    let path = PathAndQuery::from_static(path);
    Ok(grpc.unary(tonic::Request::new(argument), path, codec).await?.into_inner())
}

impl Caller for Client {
    fn call(&mut self, request: Request<'_>) -> Result<()> {
        let grpc = self.grpc.clone();
        self.runtime.block_on(async {
            match request {
                Request::Null => drop(call::<_, Nothing>(grpc, NULL, Nothing {}).await?),
                Request::Echo(bytes) => {
                    drop(call::<_, Bytes>(grpc, ECHO, Bytes::of(bytes)).await?);
                }
                Request::Sink(bytes) => {
                    call::<_, Count>(grpc, SINK, Bytes::of(bytes)).await?;
                }
                Request::Source(bytes) => {
                    let bytes = bytes as u64;
                    drop(call::<_, Bytes>(grpc, SOURCE, Count { bytes }).await?);
                }
            }
            Ok(())
        })
    }

    fn pump(&mut self, small: &[u8], outstanding: usize, until: Instant) -> Result<u64> {
        let grpc = &self.grpc;
        self.runtime.block_on(tasks::pump(outstanding, until, || async {
            drop(call::<_, Bytes>(grpc.clone(), ECHO, Bytes::of(small)).await?);
            Ok(())
        }))
    }

    fn shared(&self) -> Option<Box<dyn Caller + Send>> {
        Some(Box::new(self.clone()))
    }

    fn another(&self) -> Option<Result<Box<dyn Caller>>> {
        let another = Self::connect(Arc::clone(&self.runtime), &self.address);
        Some(another.map(|another| Box::new(another) as Box<dyn Caller>))
    }
}

const NULL: &str = "/yardstick.Echo/Null";
const ECHO: &str = "/yardstick.Echo/Echo";
const SINK: &str = "/yardstick.Echo/Sink";
const SOURCE: &str = "/yardstick.Echo/Source";
