//! This framework.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use std::{process, thread};

use rpc_runtime::ids::ClientId;
use rpc_runtime::protocol::Limits;
use rpc_runtime::{CallError, Channel, Server, SharedBytes, service};
use serde_bytes::ByteBuf;

use crate::system::{Caller, Place, Request, Result, System, Transport, Work};

/// What is called.
#[service(name = "yardstick.echo", version = "1.0")]
trait Echo {
    /// Does nothing.
    #[rpc(inline)]
    fn null(&self) -> std::result::Result<(), CallError>;
    /// Gives the bytes back.
    #[rpc(inline)]
    fn echo(&self, bytes: &[u8]) -> std::result::Result<ByteBuf, CallError>;
    /// Counts the bytes.
    #[rpc(inline)]
    fn sink(&self, bytes: SharedBytes<'_>) -> std::result::Result<u64, CallError>;
    /// Gives so many bytes.
    #[rpc(inline)]
    fn source(&self, bytes: u64) -> std::result::Result<ByteBuf, CallError>;
}

struct Here;

impl Echo for Here {
    fn null(&self) -> std::result::Result<(), CallError> {
        Ok(())
    }

    fn echo(&self, bytes: &[u8]) -> std::result::Result<ByteBuf, CallError> {
        Ok(ByteBuf::from(bytes))
    }

    fn sink(&self, bytes: SharedBytes<'_>) -> std::result::Result<u64, CallError> {
        Ok(bytes.len() as u64)
    }

    fn source(&self, bytes: u64) -> std::result::Result<ByteBuf, CallError> {
        Ok(ByteBuf::from(vec![7; bytes as usize]))
    }
}

pub(crate) struct Rpc;

impl System for Rpc {
    fn name(&self) -> &'static str {
        "rpc"
    }

    fn speaks(&self, _transport: Transport, _work: Work) -> bool {
        true
    }

    fn serve(&self, at: Place<'_>, announce: &dyn Fn(&str)) -> Result<()> {
        let url = match at.transport {
            Transport::Udp | Transport::Tcp => format!("{}://127.0.0.1:0", at.transport),
            Transport::Unix | Transport::Shm => format!("{}://{}", at.transport, at.path),
            Transport::Mem => format!("mem://{}", at.path.replace(['/', '.'], "")),
        };
        let server = Server::bind(&url)?.limits(limits()).export(EchoService::new(Here)).spawn()?;
        announce(&server.url());
        loop {
            thread::park();
        }
    }

    fn connect(
        &self,
        _transport: Transport,
        _work: Work,
        address: &str,
    ) -> Result<Box<dyn Caller>> {
        let channel = Channel::connect(address)?;
        let stub = EchoClient::on(&channel);
        let caller = Client { channel, stub, url: address.into(), clients: Arc::default() };
        caller.stub.null()?; // the session is open
        Ok(Box::new(caller))
    }
}

/// Room for all sessions on one host: by default, a host gets a sixteenth of the server, and ever
/// fewer slots as it takes more.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.host_sessions_max = limits.sessions_max;
    limits.slots_granted_max = limits.sessions_max * limits.slots_max as usize;
    limits.host_slots_max = limits.slots_granted_max;
    limits
}

struct Client {
    channel: Channel,
    stub: EchoClient,
    url: Arc<str>,
    /// Names that were given to further clients of this process.
    clients: Arc<AtomicU64>,
}

impl Client {
    /// A process has one connection to a server, unless it says that it is somebody else.
    fn under_another_name(&self) -> Result<Self> {
        let number = 1 + self.clients.fetch_add(1, Ordering::Relaxed);
        let name = ClientId((u64::from(process::id()) << 32) | number); // no two processes share one
        let channel = Channel::connect_as(&self.url, name)?;
        let stub = EchoClient::on(&channel);
        stub.null()?;
        let (url, clients) = (Arc::clone(&self.url), Arc::clone(&self.clients));
        Ok(Self { channel, stub, url, clients })
    }
}

impl Caller for Client {
    fn call(&mut self, request: Request<'_>) -> Result<()> {
        match request {
            Request::Null => self.stub.null()?,
            Request::Echo(bytes) => drop(self.stub.echo(bytes)?),
            Request::Sink(bytes) => drop(self.stub.sink(bytes.into())?),
            Request::Source(bytes) => drop(self.stub.source(bytes as u64)?),
        }
        Ok(())
    }

    fn pump(&mut self, small: &[u8], outstanding: usize, until: Instant) -> Result<u64> {
        let mut calls = 0;
        let _cork = self.channel.cork();
        let mut ring = VecDeque::with_capacity(outstanding);
        while Instant::now() < until {
            while ring.len() < outstanding {
                ring.push_back(self.stub.start().echo(small));
            }
            if let Some(first) = ring.pop_front() {
                first.wait()?;
                calls += 1;
            }
        }
        for call in ring {
            call.wait()?;
            calls += 1;
        }
        Ok(calls)
    }

    fn shared(&self) -> Option<Box<dyn Caller + Send>> {
        let (url, clients) = (Arc::clone(&self.url), Arc::clone(&self.clients));
        let (channel, stub) = (self.channel.clone(), self.stub.clone());
        Some(Box::new(Self { channel, stub, url, clients }))
    }

    fn another(&self) -> Option<Result<Box<dyn Caller>>> {
        let another = self.under_another_name();
        Some(another.map(|another| Box::new(another) as Box<dyn Caller>))
    }
}
