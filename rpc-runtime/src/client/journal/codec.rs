//! The journal's bytes, without any file: entries one behind another, and what they add up to.
//!
//! | bytes | an entry |
//! |---:|---|
//! | 2 | `rJ` |
//! | 1 | version, 1 |
//! | 1 | kind: 1 life, 2 generation, 3 started, 4 ended |
//! | 4 | length of the body |
//! | 4 | CRC-32 of the entry's place in the journal (8 bytes), version, kind, length and body |
//! | … | body |
//!
//! Numbers are little-endian. What is not a whole entry is passed over and counted: at the end it is
//! a write that the crash tore, elsewhere the disk's fault. Whatever is lost is lost on the safe
//! side: a call whose end is lost is asked for once more. The place is part of the checksum, so that
//! arguments which look like an entry are not taken for one.

use std::collections::BTreeMap;

use crate::ids::{
    CallId, ClientId, GenerationId, Incarnation, MethodFingerprint, Sequence, ServerId, SessionId,
    SlotIndex, Space,
};
use crate::semantics::Semantics;

/// What a journal is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The client begins a life.
    Life(ClientId, Incarnation),
    /// The client's durable slots at a server are those.
    Generation(ServerId, GenerationId),
    /// A call is about to be handed over.
    Started(StartedCall),
    /// What became of a call is about to be reported.
    Ended(CallId, Verdict),
}

/// A call that is about to be handed over: all it takes to ask for it, or send it, in another life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartedCall {
    /// Its name; in the durable space the generation stands in the session's place.
    pub call: CallId,
    /// The server that it is for.
    pub server: ServerId,
    /// The server's life that the session is with.
    pub incarnation: Incarnation,
    /// The method.
    pub method: MethodFingerprint,
    /// The method's name, hashed.
    pub name: u32,
    /// How often it may run.
    pub semantics: Semantics,
    /// The random bits that tell it from another client's (protocol tables, amendment 3).
    pub identity: u64,
    /// The request's digest.
    pub digest: u128,
    /// Where the server was called: what the channel was opened with.
    pub target: String,
    /// The marshalled arguments.
    pub arguments: Vec<u8>,
}

/// What became of a call, as far as a later life cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It returned, and the caller has the reply.
    Returned,
    /// It ran and failed.
    Executed,
    /// It did not run and never will.
    NotExecuted,
    /// It stays unknown: the caller was told so, and the server can say no more.
    Unknown,
}

const MAGIC: [u8; 2] = *b"rJ";
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 2 + 1 + 1 + 4 + 4;

/// The longest body; a longer length is damage.
pub const BODY_BYTES_MAX: usize = 1 << 26;

/// Appends an entry that is to stand at `place` in the journal.
pub fn encode(entry: &Entry, place: u64, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    out.push(match entry {
        Entry::Life(..) => 1,
        Entry::Generation(..) => 2,
        Entry::Started(_) => 3,
        Entry::Ended(..) => 4,
    });
    out.extend_from_slice(&[0; 8]);
    match entry {
        Entry::Life(client, incarnation) => put(out, &[client.0, incarnation.0]),
        Entry::Generation(server, generation) => put(out, &[server.0, generation.0]),
        Entry::Started(started) => put_started(out, started),
        Entry::Ended(call, verdict) => {
            put_call(out, *call);
            out.push(match verdict {
                Verdict::Returned => 0,
                Verdict::Executed => 1,
                Verdict::NotExecuted => 2,
                Verdict::Unknown => 3,
            });
        }
    }
    let body_bytes = out.len() - start - HEAD_BYTES;
    assert!(body_bytes <= BODY_BYTES_MAX, "messages are bounded far below that");
    let length = u32::try_from(body_bytes).expect("below the bound");
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&out[start..], place);
    out[start + 8..start + HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

fn put(out: &mut Vec<u8>, numbers: &[u64]) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn put_call(out: &mut Vec<u8>, call: CallId) {
    put(out, &[call.session.0]);
    out.push(match call.space {
        Space::Session => 0,
        Space::Durable => 1,
        Space::Maybe => 2,
    });
    out.extend_from_slice(&call.slot.0.to_le_bytes());
    put(out, &[call.sequence.0]);
}

fn put_started(out: &mut Vec<u8>, started: &StartedCall) {
    put_call(out, started.call);
    put(out, &[started.server.0, started.incarnation.0, started.method.0]);
    out.extend_from_slice(&started.name.to_le_bytes());
    out.push(match started.semantics {
        Semantics::Maybe => 0,
        Semantics::AtLeastOnce => 1,
        Semantics::AtMostOnce => 2,
        Semantics::ExactlyOnce => 3,
    });
    put(out, &[started.identity]);
    out.extend_from_slice(&started.digest.to_le_bytes());
    let target_bytes = u32::try_from(started.target.len()).expect("an address is short");
    out.extend_from_slice(&target_bytes.to_le_bytes());
    out.extend_from_slice(started.target.as_bytes());
    out.extend_from_slice(&started.arguments);
}

/// The checksum of an entry that begins and ends with `entry`.
fn checksum(entry: &[u8], place: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&place.to_le_bytes());
    hasher.update(&entry[2..8]);
    hasher.update(&entry[HEAD_BYTES..]);
    hasher.finalize()
}

/// What stands at the beginning of some bytes.
enum Found<'a> {
    Whole(Entry, &'a [u8]),
    /// An entry of a later release.
    Later(u8),
    Damage,
}

fn decode(bytes: &[u8], place: u64) -> Found<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Found::Damage;
    };
    let [m0, m1, version, kind, l0, l1, l2, l3, c0, c1, c2, c3] = *head;
    let body_bytes = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    if [m0, m1] != MAGIC || body_bytes > BODY_BYTES_MAX {
        return Found::Damage;
    }
    let Some((body, behind)) = rest.split_at_checked(body_bytes) else { return Found::Damage };
    if checksum(&bytes[..HEAD_BYTES + body_bytes], place) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Found::Damage;
    }
    if version != VERSION {
        return Found::Later(version);
    }
    match entry(kind, &mut Fields { rest: body }) {
        Some(entry) => Found::Whole(entry, behind),
        None => Found::Damage,
    }
}

fn entry(kind: u8, fields: &mut Fields<'_>) -> Option<Entry> {
    let entry = match kind {
        1 => Entry::Life(ClientId(fields.u64()?), Incarnation(fields.u64()?)),
        2 => Entry::Generation(ServerId(fields.u64()?), GenerationId(fields.u64()?)),
        3 => Entry::Started(fields.started()?),
        4 => Entry::Ended(
            fields.call()?,
            match fields.u8()? {
                0 => Verdict::Returned,
                1 => Verdict::Executed,
                2 => Verdict::NotExecuted,
                3 => Verdict::Unknown,
                _ => return None,
            },
        ),
        _ => return None,
    };
    fields.rest.is_empty().then_some(entry)
}

struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*field)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn call(&mut self) -> Option<CallId> {
        let session = SessionId(self.u64()?);
        let space = match self.u8()? {
            0 => Space::Session,
            1 => Space::Durable,
            2 => Space::Maybe,
            _ => return None,
        };
        Some(CallId {
            session,
            space,
            slot: SlotIndex(self.u32()?),
            sequence: Sequence(self.u64()?),
        })
    }

    fn started(&mut self) -> Option<StartedCall> {
        let call = self.call()?;
        let (server, incarnation) = (ServerId(self.u64()?), Incarnation(self.u64()?));
        let (method, name) = (MethodFingerprint(self.u64()?), self.u32()?);
        let semantics = match self.u8()? {
            0 => Semantics::Maybe,
            1 => Semantics::AtLeastOnce,
            2 => Semantics::AtMostOnce,
            3 => Semantics::ExactlyOnce,
            _ => return None,
        };
        let (identity, digest) = (self.u64()?, u128::from_le_bytes(self.take()?));
        let target_bytes = usize::try_from(self.u32()?).ok()?;
        let (target, arguments) = self.rest.split_at_checked(target_bytes)?;
        let target = std::str::from_utf8(target).ok()?.to_owned();
        let arguments = arguments.to_vec();
        self.rest = &[];
        let started = StartedCall {
            call,
            server,
            incarnation,
            method,
            name,
            semantics,
            identity,
            digest,
            target,
            arguments,
        };
        Some(started)
    }
}

/// What the entries of a journal add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The client and its last life.
    pub life: Option<(ClientId, Incarnation)>,
    /// Its durable slots at each server.
    pub generations: BTreeMap<ServerId, GenerationId>,
    /// Calls that started and did not end.
    pub pending: BTreeMap<CallId, StartedCall>,
    /// Bytes that were no entry.
    pub damaged_bytes: usize,
    /// The version of an entry that a later release wrote, if there is one.
    pub later_version: Option<u8>,
}

impl Ledger {
    /// Adds up a journal.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut ledger = Self::default();
        let mut rest = bytes;
        while let Some((_, next)) = rest.split_first() {
            let place = (bytes.len() - rest.len()) as u64;
            rest = match decode(rest, place) {
                Found::Whole(entry, behind) => {
                    ledger.add(entry);
                    behind
                }
                Found::Later(version) => {
                    ledger.later_version = Some(version);
                    return ledger;
                }
                Found::Damage => {
                    ledger.damaged_bytes += 1;
                    next
                }
            };
        }
        ledger
    }

    /// Adds an entry.
    pub fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Life(client, incarnation) => self.life = Some((client, incarnation)),
            Entry::Generation(server, generation) => {
                self.generations.insert(server, generation);
            }
            Entry::Started(started) => {
                self.pending.insert(started.call, started);
            }
            Entry::Ended(call, _) => {
                self.pending.remove(&call);
            }
        }
    }

    /// The shortest journal that adds up to this.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut append = |entry| {
            let place = bytes.len() as u64;
            encode(&entry, place, &mut bytes);
        };
        if let Some((client, incarnation)) = self.life {
            append(Entry::Life(client, incarnation));
        }
        for (&server, &generation) in &self.generations {
            append(Entry::Generation(server, generation));
        }
        for started in self.pending.values() {
            append(Entry::Started(started.clone()));
        }
        bytes
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
