//! The limit: the same bytes through the same transport, without anything around them. Both ends
//! block in the read.
//!
//! Many calls at once are one write for all of them; large messages are one write and one small
//! answer.

mod datagrams;
mod memory;
mod streams;

use std::time::Instant;

use crate::system::{Caller, Place, Request, Result, SMALL_BYTES, System, Transport, Work};

/// Something that carries bytes both ways, as the system does it.
pub(crate) trait Wire {
    fn send(&mut self, bytes: &[u8]) -> Result<()>;

    /// Waits for bytes, and says how many came.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize>;

    fn receive_all(&mut self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            let len = self.receive(buffer)?;
            if len == 0 {
                return Err("the other side closed".into());
            }
            buffer = &mut buffer[len..];
        }
        Ok(())
    }
}

/// A wire in blocking mode.
pub(crate) struct Raw;

impl System for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn speaks(&self, _transport: Transport, _work: Work) -> bool {
        true
    }

    fn serve(&self, at: Place<'_>, announce: &dyn Fn(&str)) -> Result<()> {
        let wire: Box<dyn Wire> = match (at.transport, at.work) {
            (Transport::Tcp, _) => Box::new(streams::accept_tcp(announce)?),
            (Transport::Unix, _) => Box::new(streams::accept_unix(at.path, announce)?),
            (Transport::Udp, Work::Echo) => Box::new(datagrams::Single::listen(announce)?),
            (Transport::Udp, Work::Many) => Box::new(datagrams::Segments::listen(announce)?),
            (Transport::Udp, _) => Box::new(datagrams::Windowed::listen(announce)?),
            (Transport::Shm | Transport::Mem, work) => {
                Box::new(memory::Memory::create(at.path, work, memory::Waits::Futex, announce)?)
            }
        };
        serve(wire, at.work)
    }

    fn connect(&self, transport: Transport, work: Work, address: &str) -> Result<Box<dyn Caller>> {
        let wire: Box<dyn Wire> = match (transport, work) {
            (Transport::Tcp, _) => Box::new(streams::connect_tcp(address)?),
            (Transport::Unix, _) => Box::new(streams::connect_unix(address)?),
            (Transport::Udp, Work::Echo) => Box::new(datagrams::Single::connect(address)?),
            (Transport::Udp, Work::Many) => Box::new(datagrams::Segments::connect(address)?),
            (Transport::Udp, _) => Box::new(datagrams::Windowed::connect(address)?),
            (Transport::Shm | Transport::Mem, work) => {
                Box::new(memory::Memory::open(address, work, memory::Waits::Futex)?)
            }
        };
        Ok(Box::new(WireCaller::new(wire)))
    }
}

/// Shared memory whose both ends spin.
pub(crate) struct Spin;

impl System for Spin {
    fn name(&self) -> &'static str {
        "spin"
    }

    fn speaks(&self, transport: Transport, work: Work) -> bool {
        matches!(transport, Transport::Shm | Transport::Mem) && work == Work::Echo
    }

    fn serve(&self, at: Place<'_>, announce: &dyn Fn(&str)) -> Result<()> {
        let wire = memory::Memory::create(at.path, at.work, memory::Waits::Spinning, announce)?;
        serve(Box::new(wire), at.work)
    }

    fn connect(&self, _transport: Transport, work: Work, address: &str) -> Result<Box<dyn Caller>> {
        let wire = memory::Memory::open(address, work, memory::Waits::Spinning)?;
        Ok(Box::new(WireCaller::new(Box::new(wire))))
    }
}

/// The small answer to a large message, and the small question for one.
const WORD_BYTES: usize = 8;

/// Serves one connection until it is closed.
pub(crate) fn serve(mut wire: Box<dyn Wire>, work: Work) -> Result<()> {
    let (incoming, outgoing) = match work {
        Work::Echo | Work::Many => return echo(wire),
        Work::Sink(bytes) => (bytes, WORD_BYTES),
        Work::Source(bytes) => (WORD_BYTES, bytes),
    };
    let (mut incoming, outgoing) = (vec![0; incoming], vec![7; outgoing]);
    loop {
        wire.receive_all(&mut incoming)?;
        wire.send(&outgoing)?;
    }
}

fn echo(mut wire: Box<dyn Wire>) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match wire.receive(&mut buffer)? {
            0 => return Ok(()),
            len => wire.send(&buffer[..len])?,
        }
    }
}

/// Calls over a wire.
pub(crate) struct WireCaller {
    wire: Box<dyn Wire>,
    buffer: Vec<u8>,
}

impl WireCaller {
    pub(crate) fn new(wire: Box<dyn Wire>) -> Self {
        Self { wire, buffer: Vec::new() }
    }

    fn exchange(&mut self, bytes: &[u8], back: usize) -> Result<()> {
        self.buffer.resize(back, 0);
        self.wire.send(bytes)?;
        self.wire.receive_all(&mut self.buffer)
    }
}

impl Caller for WireCaller {
    fn call(&mut self, request: Request<'_>) -> Result<()> {
        match request {
            Request::Null => self.exchange(&[7; SMALL_BYTES], SMALL_BYTES),
            Request::Echo(bytes) => self.exchange(bytes, bytes.len()),
            Request::Sink(bytes) => self.exchange(bytes, WORD_BYTES),
            Request::Source(bytes) => self.exchange(&[7; WORD_BYTES], bytes),
        }
    }

    fn pump(&mut self, small: &[u8], outstanding: usize, until: Instant) -> Result<u64> {
        let batch = small.repeat(outstanding);
        let mut calls = 0;
        while Instant::now() < until {
            self.exchange(&batch, batch.len())?;
            calls += outstanding as u64;
        }
        Ok(calls)
    }
}
