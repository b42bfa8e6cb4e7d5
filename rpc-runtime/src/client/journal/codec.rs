//! The journal's bytes, without any file: entries one behind another, and what they add up to.
//!
//! | bytes | an entry |
//! |---:|---|
//! | 2 | `rJ` |
//! | 1 | version, 1 |
//! | 1 | kind: 1 life, 2 generation, 3 started, 4 ended, 5 withdrawn, 6 forgotten |
//! | 4 | length of the body |
//! | 4 | CRC-32 of the entry's place in the journal (8 bytes), version, kind, length and body |
//! | … | body |
//!
//! Numbers are little-endian. What is not a whole entry is passed over and counted: at the end it is
//! a write that the crash tore, elsewhere the disk's fault. Whatever is lost is lost on the safe
//! side: a call whose end is lost is asked for once more. The place is part of the checksum, so that
//! arguments which look like an entry are not taken for one.

use super::ledger::Ledger;
use crate::ids::{
    CallId, ClientId, GenerationId, Incarnation, MethodFingerprint, Sequence, ServerId, SessionId,
    SlotIndex, Space,
};
use crate::protocol::{CallSpec, DoubtCause, Outcome, Record, StartedRecord};
use crate::semantics::Semantics;
use crate::time::Instant;
use crate::wire::ReplyStatus;

/// What a journal is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The client begins a life.
    Life(ClientId, Incarnation),
    /// The client has durable slots at a server, whose last calls were those.
    Generation(ServerId, GenerationId, Vec<(SlotIndex, Sequence)>),
    /// A call is about to be handed over.
    Started(StartedCall),
    /// What became of a call is about to be reported.
    Ended(CallId, Ending),
    /// A call was not handed over: it got another place.
    Withdrawn(CallId),
    /// The server has deleted those durable slots.
    Forgotten(GenerationId),
}

impl Entry {
    /// The entry for what a machine wants written of a call. Where and when is not the machine's to
    /// know.
    #[must_use]
    pub fn of(call: CallId, record: Record) -> Self {
        match record {
            Record::Started(record) => Self::Started(StartedCall {
                call,
                server: record.server,
                incarnation: record.incarnation,
                method: record.spec.method,
                name: record.spec.name,
                semantics: record.spec.semantics,
                digest: record.digest,
                in_doubt: record.in_doubt,
                unix_ms: 0,
                over_unix_ms: 0,
                label: String::new(),
                place: String::new(),
                arguments: record.arguments,
            }),
            Record::Ended(outcome) => Self::Ended(call, Ending::of(&outcome)),
            Record::Withdrawn => Self::Withdrawn(call),
            Record::Forgotten => Self::Forgotten(GenerationId(call.session.0)),
        }
    }
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
    /// The request's digest, which the random bits are part of that tell it from another client's
    /// (protocol tables, 1b.3).
    pub digest: u64,
    /// Whether it may have run in an earlier place.
    pub in_doubt: bool,
    /// When it was recorded, in milliseconds since 1970; for people, no protocol asks.
    pub unix_ms: u64,
    /// When its time is over, on the same clock: what heeds its deadline does not work at it any more.
    pub over_unix_ms: u64,
    /// Service and method, such as `bank.transfer`.
    pub label: String,
    /// Where the server was called: the place that the channel was opened with.
    pub place: String,
    /// The marshalled arguments.
    pub arguments: Vec<u8>,
}

impl StartedCall {
    /// What it takes to send the call again, until `deadline`.
    #[must_use]
    pub fn to_record(&self, deadline: Instant) -> StartedRecord {
        StartedRecord {
            server: self.server,
            incarnation: self.incarnation,
            spec: CallSpec {
                method: self.method,
                name: self.name,
                semantics: self.semantics,
                deadline,
                depth: 0,
                recorded: true,
                ack: None,
                opens_within: None,
                extension_bytes: 0,
            },
            digest: self.digest,
            in_doubt: self.in_doubt,
            arguments: self.arguments.clone(),
        }
    }
}

/// What became of a call, as a later life is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It returned; the body of its reply.
    Returned(Vec<u8>),
    /// It ran and has no result.
    Failed(ReplyStatus, Vec<u8>),
    /// It did not run and never will.
    NotExecuted,
    /// Nobody can say any more.
    Unknown(DoubtCause),
}

impl Ending {
    /// What is written of an outcome that the machine wants written.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Returned(body) => Self::Returned(body.clone()),
            Outcome::Failed { status, body } => Self::Failed(*status, body.clone()),
            Outcome::Refused { .. }
            | Outcome::Rejected { .. }
            | Outcome::NotSent(_)
            | Outcome::Sealed => Self::NotExecuted,
            Outcome::Sent => Self::Unknown(DoubtCause::NoReply),
            Outcome::InDoubt(cause) => Self::Unknown(*cause),
        }
    }

    /// The bytes that it keeps.
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Returned(body) | Self::Failed(_, body) => body.len(),
            Self::NotExecuted | Self::Unknown(_) => 0,
        }
    }
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
        Entry::Withdrawn(_) => 5,
        Entry::Forgotten(_) => 6,
    });
    out.extend_from_slice(&[0; 8]);
    match entry {
        Entry::Life(client, incarnation) => put(out, &[client.0, incarnation.0]),
        Entry::Generation(server, generation, slots) => {
            put(out, &[server.0, generation.0]);
            for (slot, sequence) in slots {
                out.extend_from_slice(&slot.0.to_le_bytes());
                put(out, &[sequence.0]);
            }
        }
        Entry::Started(started) => put_started(out, started),
        Entry::Ended(call, ending) => {
            put_call(out, *call);
            put_ending(out, ending);
        }
        Entry::Withdrawn(call) => put_call(out, *call),
        Entry::Forgotten(generation) => put(out, &[generation.0]),
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
    out.push(u8::from(started.in_doubt));
    put(out, &[started.digest, started.unix_ms, started.over_unix_ms]);
    for text in [&started.label, &started.place] {
        let text_bytes = u32::try_from(text.len()).expect("names and addresses are short");
        out.extend_from_slice(&text_bytes.to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(&started.arguments);
}

/// Ends without a reply; those with one are the code of its status and [`RAN`].
const NOT_EXECUTED: u8 = 0;
const UNKNOWN: u8 = 16;
const RAN: u8 = 32;

const STATUSES: [ReplyStatus; 6] = [
    ReplyStatus::Returned,
    ReplyStatus::Panicked,
    ReplyStatus::Cancelled,
    ReplyStatus::CancelledPartial,
    ReplyStatus::TooLarge,
    ReplyStatus::HandlerFailed,
];

const CAUSES: [DoubtCause; 9] = [
    DoubtCause::NoReply,
    DoubtCause::ServerRestarted,
    DoubtCause::SessionLost,
    DoubtCause::Closed,
    DoubtCause::Cancelled,
    DoubtCause::RefusedAfterDoubt,
    DoubtCause::GenerationEnded,
    DoubtCause::JournalFailed,
    DoubtCause::ServerDied,
];

/// The place of `item` in a list of sixteen at most.
fn code<T: PartialEq>(list: &[T], item: &T) -> u8 {
    let place = list.iter().position(|other| other == item).expect("the list is complete");
    u8::try_from(place).expect("the list is short")
}

fn put_ending(out: &mut Vec<u8>, ending: &Ending) {
    let (code, body): (u8, &[u8]) = match ending {
        Ending::Returned(body) => (RAN, body),
        Ending::Failed(status, body) => (RAN + code(&STATUSES, status), body),
        Ending::NotExecuted => (NOT_EXECUTED, &[]),
        Ending::Unknown(cause) => (UNKNOWN + code(&CAUSES, cause), &[]),
    };
    out.push(code);
    out.extend_from_slice(body);
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
        2 => fields.generation()?,
        3 => Entry::Started(fields.started()?),
        4 => Entry::Ended(fields.call()?, fields.ending()?),
        5 => Entry::Withdrawn(fields.call()?),
        6 => Entry::Forgotten(GenerationId(fields.u64()?)),
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
        let in_doubt = self.u8()? != 0;
        let (digest, unix_ms, over_unix_ms) = (self.u64()?, self.u64()?, self.u64()?);
        let (label, place) = (self.text()?, self.text()?);
        let arguments = std::mem::take(&mut self.rest).to_vec();
        let started = StartedCall {
            call,
            server,
            incarnation,
            method,
            name,
            semantics,
            digest,
            in_doubt,
            unix_ms,
            over_unix_ms,
            label,
            place,
            arguments,
        };
        Some(started)
    }

    fn text(&mut self) -> Option<String> {
        let text_bytes = usize::try_from(self.u32()?).ok()?;
        let (text, rest) = self.rest.split_at_checked(text_bytes)?;
        self.rest = rest;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }

    fn generation(&mut self) -> Option<Entry> {
        let (server, generation) = (ServerId(self.u64()?), GenerationId(self.u64()?));
        let mut slots = Vec::new();
        while !self.rest.is_empty() {
            slots.push((SlotIndex(self.u32()?), Sequence(self.u64()?)));
        }
        Some(Entry::Generation(server, generation, slots))
    }

    fn ending(&mut self) -> Option<Ending> {
        let code = self.u8()?;
        let body = std::mem::take(&mut self.rest).to_vec();
        let at = |first: u8| usize::from(code - first);
        match code {
            NOT_EXECUTED if body.is_empty() => Some(Ending::NotExecuted),
            UNKNOWN..RAN if body.is_empty() => CAUSES.get(at(UNKNOWN)).map(|c| Ending::Unknown(*c)),
            RAN => Some(Ending::Returned(body)),
            _ if code > RAN => STATUSES.get(at(RAN)).map(|status| Ending::Failed(*status, body)),
            _ => None,
        }
    }
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
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
