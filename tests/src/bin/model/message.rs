//! What is on the network: one PDU a message, in the form that all its transmissions share.
//!
//! Fields that only measure time, or count transmissions, are set to one value, so that the set of
//! messages stays small. How late a request is, is decided when it arrives.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use rpc_runtime::address::Address;
use rpc_runtime::ids::Space;
use rpc_runtime::wire::{Envelope, Pdu, decode, encode};

/// A message; cloning shares its bytes.
#[derive(Clone)]
pub(crate) struct Message(Arc<Inner>);

struct Inner {
    to_server: bool,
    client: Address,
    bytes: Box<[u8]>,
    hash: u64,
}

impl Message {
    /// The messages of a datagram between the client at `client` and its server.
    pub(crate) fn split(to_server: bool, client: Address, datagram: &[u8]) -> Vec<Self> {
        let mut messages = Vec::new();
        let mut rest = datagram;
        while !rest.is_empty() {
            let (envelope, pdu, after) = decode(rest).expect("a machine speaks the protocol");
            messages.push(Self::of(to_server, client, &envelope, timeless(pdu)));
            rest = after;
        }
        messages
    }

    fn of(to_server: bool, client: Address, envelope: &Envelope, pdu: Pdu<'_>) -> Self {
        let mut bytes = Vec::new();
        encode(envelope, &pdu, &mut bytes);
        let mut hasher = DefaultHasher::new();
        (to_server, client, &bytes).hash(&mut hasher);
        let (bytes, hash) = (bytes.into_boxed_slice(), hasher.finish());
        Self(Arc::new(Inner { to_server, client, bytes, hash }))
    }

    pub(crate) fn is_to_server(&self) -> bool {
        self.0.to_server
    }

    /// The client's address: whence, or whither.
    pub(crate) fn client(&self) -> Address {
        self.0.client
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    pub(crate) fn hash(&self) -> u64 {
        self.0.hash
    }

    pub(crate) fn read(&self) -> (Envelope, Pdu<'_>) {
        let (envelope, pdu, _) = decode(&self.0.bytes).expect("it was encoded");
        (envelope, pdu)
    }

    /// A request that arrives when its caller's patience is over.
    pub(crate) fn late(&self) -> Option<Self> {
        let (envelope, pdu) = self.read();
        let Pdu::Request(mut request) = pdu else { return None };
        request.not_after_us = 0;
        Some(Self::of(self.0.to_server, self.0.client, &envelope, Pdu::Request(request)))
    }
}

/// A PDU without readings of clocks and counts of transmissions.
fn timeless(pdu: Pdu<'_>) -> Pdu<'_> {
    match pdu {
        Pdu::Request(mut request) => {
            request.remaining_us = u64::MAX;
            request.not_after_us = u64::MAX;
            request.transmission = 1;
            Pdu::Request(request)
        }
        Pdu::Reply(mut reply) => {
            reply.handler_us = 0;
            reply.session_time_us = 0;
            reply.transmission = 0;
            Pdu::Reply(reply)
        }
        Pdu::Welcome(mut welcome) => {
            welcome.session_time_us = 0;
            Pdu::Welcome(welcome)
        }
        Pdu::Refuse(mut refuse) => {
            refuse.session_time_us = 0;
            Pdu::Refuse(refuse)
        }
        Pdu::Working(mut working) => {
            working.quantum_left_us = 0;
            working.session_time_us = 0;
            working.stamp = 0;
            Pdu::Working(working)
        }
        Pdu::Ping(mut ping) => {
            ping.stamp = 0;
            Pdu::Ping(ping)
        }
        Pdu::Seal(mut seal) => {
            seal.stamp = 0;
            Pdu::Seal(seal)
        }
        Pdu::Cancel(mut cancel) => {
            cancel.stamp = 0;
            Pdu::Cancel(cancel)
        }
        Pdu::Unseen(mut unseen) => {
            unseen.stamp = 0;
            unseen.session_time_us = 0;
            Pdu::Unseen(unseen)
        }
        Pdu::Sealed(mut sealed) => {
            sealed.stamp = 0;
            Pdu::Sealed(sealed)
        }
        Pdu::Hello(_)
        | Pdu::Cookie(_)
        | Pdu::Reject(_)
        | Pdu::Ack(_)
        | Pdu::Extend(_)
        | Pdu::NoSession(_)
        | Pdu::Owner(_)
        | Pdu::Alive(_)
        | Pdu::Goaway(_)
        | Pdu::Bye(_)
        | Pdu::Probe(_)
        | Pdu::Probed(_) => pdu,
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash == other.0.hash
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (envelope, pdu) = self.read();
        let session = envelope.session.0 & 0xffff;
        let durable = if envelope.space == Space::Durable { " durable" } else { "" };
        let call = |slot: u32, sequence: u64| format!("s#{session:04x}{durable}.{slot}.{sequence}");
        match pdu {
            Pdu::Hello(hello) => {
                write!(f, "HELLO(nonce {:x}", hello.nonce.0)?;
                if hello.resume.is_some() {
                    write!(f, ", resume {:04x}", hello.resume.0 & 0xffff)?;
                }
                if hello.durable == 1 {
                    write!(f, ", generation {:x}", hello.generation.0)?;
                }
                write!(f, "{})", if hello.has_cookie == 1 { ", cookie" } else { "" })
            }
            Pdu::Cookie(cookie) => write!(f, "COOKIE(nonce {:x})", cookie.nonce.0),
            Pdu::Welcome(welcome) => {
                write!(f, "WELCOME({session:04x}, nonce {:x}", welcome.nonce.0)?;
                if welcome.generation.is_some() {
                    write!(f, ", generation {:x}", welcome.generation.0)?;
                }
                f.write_str(")")
            }
            Pdu::Reject(reject) => write!(f, "REJECT({:?})", reject.reason),
            Pdu::Request(request) => {
                let place = call(request.slot.0, request.sequence.0);
                let number = request.arguments.first().copied().unwrap_or_default();
                write!(f, "REQUEST({place}, call {number})")
            }
            Pdu::Reply(reply) => {
                let place = call(reply.slot.0, reply.sequence.0);
                write!(f, "REPLY({place}, {:?} {:?})", reply.status, reply.body)
            }
            Pdu::Refuse(refuse) => {
                let place = call(refuse.slot.0, refuse.sequence.0);
                write!(f, "REFUSE({place}, {:?})", refuse.reason)
            }
            Pdu::Ack(ack) => write!(f, "ACK({})", call(ack.slot.0, ack.sequence.0)),
            Pdu::Ping(ping) => write!(f, "PING({})", call(ping.slot.0, ping.sequence.0)),
            Pdu::Working(working) => {
                let place = call(working.slot.0, working.sequence.0);
                let busy = if working.running == working.sequence { "" } else { ", busy" };
                write!(f, "WORKING({place}{busy})")
            }
            Pdu::Unseen(unseen) => write!(f, "UNSEEN({})", call(unseen.slot.0, unseen.sequence.0)),
            Pdu::Seal(seal) => write!(f, "SEAL({})", call(seal.slot.0, seal.sequence.0)),
            Pdu::Cancel(cancel) => write!(f, "CANCEL({})", call(cancel.slot.0, cancel.sequence.0)),
            Pdu::Sealed(sealed) => {
                let place = call(sealed.slot.0, sealed.sequence.0);
                write!(f, "SEALED({place}, {:?})", sealed.verdict)
            }
            Pdu::NoSession(_) => write!(f, "NOSESSION({session:04x})"),
            Pdu::Goaway(_) => write!(f, "GOAWAY({session:04x})"),
            Pdu::Bye(_) => write!(f, "BYE({session:04x})"),
            Pdu::Probe(probe) => write!(f, "PROBE({session:04x} {})", probe.bytes),
            Pdu::Probed(probed) => write!(f, "PROBED({session:04x} {})", probed.bytes),
            Pdu::Extend(_) | Pdu::Owner(_) | Pdu::Alive(_) => write!(f, "{pdu:?}"),
        }
    }
}
