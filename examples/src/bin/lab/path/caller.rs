//! The service that is called and its caller, with the marks that are theirs to stamp.

#![expect(clippy::disallowed_methods, reason = "what is measured is real time")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use rpc_runtime::probe::{self, Mark};
use rpc_runtime::server::Running;
use rpc_runtime::{CallError, Server, service};

use super::place::Place;
use super::sample::Samples;
use super::{Pin, Transport};

/// A procedure that does nothing, so that all of a call is its way.
#[service(name = "lab.path", version = "1.0")]
trait Nearby {
    /// Says how much came.
    #[rpc(at_most_once, inline)]
    fn measure(&self, payload: &[u8]) -> Result<u64, CallError>;
}

struct Idle;

impl Nearby for Idle {
    fn measure(&self, payload: &[u8]) -> Result<u64, CallError> {
        probe::stamp(Mark::Entered);
        let length = payload.len() as u64;
        probe::stamp(Mark::Left);
        Ok(length)
    }
}

/// A client, and the server that it calls.
pub(super) struct Caller {
    stub: NearbyClient,
    payload: Vec<u8>,
    running: Running,
}

impl Caller {
    /// Starts both.
    pub(super) fn new(
        transport: Transport,
        folder: &Path,
        payload_bytes: usize,
    ) -> Result<Self, CallError> {
        let place = match transport {
            Transport::Udp => "udp://127.0.0.1:0".to_owned(),
            Transport::Tcp => "tcp://127.0.0.1:0".to_owned(),
            Transport::Unix => format!("unix://{}", folder.join("rpc").display()),
        };
        let running = Server::bind(&place)?.export(NearbyService::new(Idle)).spawn()?;
        let stub = NearbyClient::connect(&running.url())?;
        Ok(Self { stub, payload: vec![0x5a; payload_bytes], running })
    }

    fn call(&self) -> Result<(), CallError> {
        self.stub.measure(&self.payload).map(drop)
    }

    /// Makes calls as anybody does.
    pub(super) fn plain(&self, calls: u64, into: &mut Samples) -> Result<(), CallError> {
        self.call()?; // after another turn the client first reads what came meanwhile
        for _ in 0..calls {
            let started = Instant::now();
            self.call()?;
            into.add_whole(started.elapsed());
        }
        Ok(())
    }

    /// Makes calls with marks.
    pub(super) fn marked(&self, calls: u64, into: &mut Samples) -> Result<(), CallError> {
        self.call()?;
        probe::set_on(true);
        for _ in 0..calls {
            probe::stamp(Mark::Called);
            let called = self.call();
            probe::stamp(Mark::Returned);
            if let Err(error) = called {
                probe::set_on(false);
                return Err(error);
            }
            into.add_marks(&probe::read());
        }
        probe::set_on(false);
        Ok(())
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.running.stop();
    }
}

/// Makes calls and measures nothing: somebody else counts.
pub(crate) fn only_call(
    transport: Transport,
    calls: u64,
    payload_bytes: usize,
    pin: Pin,
) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let place = Place::new(pin);
    place.serve();
    let caller = Caller::new(transport, folder.path(), payload_bytes)?;
    place.call();
    for _ in 0..calls {
        caller.call()?;
    }
    Ok(())
}
