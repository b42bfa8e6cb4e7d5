//! The pieces of work whose instructions are counted.

use std::hint::black_box;
use std::io;

use rpc_runtime::address::Address;
use rpc_runtime::ids::{
    ClientId, Incarnation, MethodFingerprint, Sequence, ServerId, SessionId, SlotIndex, Space,
};
use rpc_runtime::protocol::orphan::{OnFence, OrphanPolicy};
use rpc_runtime::protocol::server::{MethodEntry, ServerEvent, ServerIdentity};
use rpc_runtime::protocol::{
    Begin, CallSpec, Client, ClientEvent, ClientIdentity, HandlerEnd, Limits, Output, Server,
    Target,
};
use rpc_runtime::random::Rng;
use rpc_runtime::semantics::Semantics;
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::wire::{self, Envelope, HeaderSum, Pdu, Reply, ReplyStatus, Request};
use rpc_runtime::{CallError, service};

use crate::Result;
use crate::lookup::lookups;

/// Nothing in, nothing out.
#[service(name = "bench.null", version = "1.0")]
trait Null {
    /// Does nothing.
    #[rpc(inline)]
    fn null(&self) -> std::result::Result<(), CallError>;
}

struct Nothing;

impl Null for Nothing {
    fn null(&self) -> std::result::Result<(), CallError> {
        Ok(())
    }
}

/// Serves null calls until the input ends.
pub(crate) fn serve(url: &str) -> Result<()> {
    let server = rpc_runtime::Server::bind(url)?.export(NullService::new(Nothing)).spawn()?;
    println!("{}", server.url());
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// Makes null calls, one after the other.
pub(crate) fn call(url: &str, times: u64) -> Result<()> {
    let client = NullClient::connect(url)?;
    for _ in 0..times {
        client.null()?;
    }
    Ok(())
}

/// A piece of work in one process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A REQUEST is put into bytes.
    Encode,
    /// A REPLY is read and checked.
    Decode,
    /// Both machines, without anything around them: slots, timers, what is stored.
    Machines,
    /// A binder answers a lookup, among few names.
    LookupInFew,
    /// The same among many.
    LookupInMany,
}

impl Piece {
    pub(crate) const ALL: &[Self] =
        &[Self::Encode, Self::Decode, Self::Machines, Self::LookupInFew, Self::LookupInMany];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::Machines => "machines",
            Self::LookupInFew => "lookup in 100",
            Self::LookupInMany => "lookup in 100000",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|piece| piece.name() == name);
        Ok(*found.ok_or_else(|| format!("there is no piece {name}"))?)
    }

    pub(crate) fn run(self, times: u64) -> Result<()> {
        match self {
            Self::Encode => encode(times),
            Self::Decode => decode(times)?,
            Self::Machines => machines(times)?,
            Self::LookupInFew => lookups(100, times)?,
            Self::LookupInMany => lookups(100_000, times)?,
        }
        Ok(())
    }
}

const ENVELOPE: Envelope = Envelope {
    space: Space::Session,
    target: 7,
    session: SessionId(8),
    incarnation: Incarnation(9),
};

fn encode(times: u64) {
    let (mut out, mut sum) = (Vec::with_capacity(256), HeaderSum::default());
    for sequence in 0..times {
        out.clear();
        let request = Request {
            slot: SlotIndex(0),
            sequence: Sequence(sequence),
            method: METHOD,
            name: 10,
            digest: sequence,
            remaining_us: 1_000,
            not_after_us: 1_000,
            fragment: 0,
            fragments: 1,
            transmission: 1,
            depth: 0,
            semantics: Semantics::AtMostOnce,
            extensions: &[],
            arguments: &[1, 2, 3, 4],
        };
        wire::encode_by(&mut sum, &ENVELOPE, &Pdu::Request(request), black_box(&mut out));
    }
}

fn decode(times: u64) -> Result<()> {
    let reply = Reply {
        slot: SlotIndex(0),
        sequence: Sequence(1),
        attempt: 1,
        handler_us: 1,
        fragment: 0,
        fragments: 1,
        transmission: 1,
        status: ReplyStatus::Returned,
        session_time_us: 5,
        body: &[0, 1, 2, 3],
    };
    let mut bytes = Vec::new();
    wire::encode(&ENVELOPE, &Pdu::Reply(reply), &mut bytes);
    let mut sum = HeaderSum::default();
    for _ in 0..times {
        black_box(wire::decode_by(&mut sum, black_box(&bytes)).map_err(|why| why.to_string())?);
    }
    Ok(())
}

const METHOD: MethodFingerprint = MethodFingerprint(100);
const CLIENT: Address = Address::Virtual(1);
const SERVER: Address = Address::Virtual(2);

/// Counts: randomness costs nothing here.
#[derive(Debug)]
pub(crate) struct Counting(pub(crate) u64);

impl Rng for Counting {
    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// Null calls from one machine to the other, in memory, a call at a time.
fn machines(times: u64) -> Result<()> {
    let mut now = Instant::START;
    let limits = Limits::default();
    let id = ClientIdentity { id: ClientId(1), incarnation: Incarnation::new(1, 1) };
    let target = Target { address: SERVER, server: ServerId::NONE, incarnation: Incarnation::NONE };
    let mut client = Client::new(id, target, limits.clone(), Box::new(Counting(0)), now);
    let identity = ServerIdentity { id: ServerId(2), incarnation: Incarnation::new(1, 2) };
    let method = MethodEntry {
        fingerprint: METHOD,
        name: 10,
        semantics: Semantics::AtMostOnce,
        reply_bytes_max: 1_000,
        ack: None,
        orphans: OrphanPolicy { quantum: None, on_fence: OnFence::Leave, no_cancel: false },
    };
    let mut server = Server::new(identity, limits, vec![method], Box::new(Counting(0)));
    let mut datagram = Vec::new();
    for _ in 0..times {
        now = now + Duration::from_micros(10);
        let spec = CallSpec {
            method: METHOD,
            name: 10,
            semantics: Semantics::AtMostOnce,
            deadline: now + Duration::from_secs(10),
            depth: 0,
            recorded: false,
            ack: None,
            opens_within: None,
            extension_bytes: 0,
        };
        let arguments = client.take_buffer();
        client.start(now, spec, arguments);
        let mut has_ended = false;
        while !has_ended {
            loop {
                match client.poll_output(now, &mut datagram) {
                    Output::Event(ClientEvent::Ended(end)) => {
                        client.recycle_end(end);
                        has_ended = true;
                    }
                    Output::Event(_) => {}
                    Output::Transmit { .. } => server.handle_datagram(now, CLIENT, &datagram),
                    Output::Wait { .. } => break,
                }
            }
            loop {
                match server.poll_output(now, &mut datagram) {
                    Output::Event(ServerEvent::Execute(execute)) => {
                        if server.begin(now, execute.ticket) == Begin::Run {
                            let body = server.take_buffer();
                            server.finish(now, execute.ticket, HandlerEnd::Returned, body);
                        }
                        server.recycle_call(execute);
                    }
                    Output::Event(_) => {}
                    Output::Transmit { .. } => client.handle_datagram(now, SERVER, &datagram),
                    Output::Wait { .. } => break,
                }
            }
        }
    }
    Ok(())
}
