//! From what the protocol saw to what a caller is told.

use super::marshalled::MethodName;
use crate::error::{CallError, CallReport, ErrorKind, Evidence, Execution};
use crate::ids::CallId;
use crate::marshal::Args;
use crate::outcome::{DecodeError, Outcome as Returns, decode_reply};
use crate::protocol::limits::{MAYBE_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::protocol::{self, DoubtCause, NotSentCause, Outcome};
use crate::refusal;
use crate::wire::{PROTOCOL_VERSION, RefuseReason, RejectReason, ReplyStatus};

/// How a call ended, as the machine told it.
pub(super) type Finished = Box<protocol::Ended>;

/// What became of a call that was in doubt: the answer to `resolve`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// It ran, and this is its reply.
    Returned(Reply),
    /// It ran, and has no result.
    Failed(String),
    /// It did not run and never will.
    NotExecuted,
}

/// The reply of a call that was resolved: marshalled, because only the caller knows its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(pub(super) Vec<u8>);

impl Reply {
    /// The result, as the method's return type: `reply.decode::<rpc_runtime::Result<u64, E>>()`.
    ///
    /// # Errors
    ///
    /// The reply is not of this type.
    pub fn decode<R: Returns>(&self) -> R {
        let parts =
            decode_reply::<R, ()>(&self.0).map(|(returned, ())| returned).map_err(undecodable);
        R::from_parts(parts)
    }
}

/// Judges a resolve.
pub(super) fn resolution(mut finished: Finished) -> Result<Resolution, CallError> {
    match std::mem::replace(&mut finished.outcome, Outcome::Sent) {
        Outcome::Returned(body) => Ok(Resolution::Returned(Reply(body))),
        Outcome::Failed { status, body } => {
            Ok(Resolution::Failed(failed(status, &body).to_string()))
        }
        Outcome::Refused { .. } | Outcome::Sealed => Ok(Resolution::NotExecuted),
        outcome @ (Outcome::Sent
        | Outcome::Rejected { .. }
        | Outcome::NotSent(_)
        | Outcome::InDoubt(_)) => {
            finished.outcome = outcome;
            Err(judge(&mut finished, None).expect_err("no reply among these"))
        }
    }
}

/// Judges a call, and takes its outcome: the body of its reply, or the error that its caller gets.
/// `name` is what was called; a resolve has none.
pub(super) fn judge(
    finished: &mut Finished,
    name: Option<MethodName>,
) -> Result<Vec<u8>, CallError> {
    match std::mem::replace(&mut finished.outcome, Outcome::Sent) {
        Outcome::Returned(body) => Ok(body),
        Outcome::Sent => Ok(vec![0]),
        failed @ (Outcome::Failed { .. }
        | Outcome::Refused { .. }
        | Outcome::Rejected { .. }
        | Outcome::NotSent(_)
        | Outcome::Sealed
        | Outcome::InDoubt(_)) => Err(failure(finished, failed, name)),
    }
}

/// What the caller of a call gets that has no result.
#[cold]
fn failure(finished: &Finished, outcome: Outcome, name: Option<MethodName>) -> CallError {
    let (call, evidence) = (finished.call, &finished.evidence);
    let mut facts = facts(evidence);
    let error = match outcome {
        Outcome::Returned(_) | Outcome::Sent => unreachable!("these are results"),
        Outcome::Failed { status, body } => failed(status, &body),
        Outcome::Refused { reason, push_back, detail } => {
            facts.push_back = Some(push_back);
            facts.detail = refused_detail(reason, &detail, name);
            CallError::new(refused(reason), Execution::NotExecuted)
        }
        Outcome::Rejected { reason, server, incarnation, versions, push_back } => {
            facts.push_back = Some(push_back);
            (facts.server, facts.incarnation) = (server, incarnation);
            facts.detail = rejected_detail(reason, server, incarnation, versions);
            CallError::new(rejected(reason), Execution::NotExecuted)
        }
        Outcome::NotSent(cause) => {
            facts.detail = unsent_detail(cause);
            CallError::new(unsent(cause), Execution::NotExecuted)
        }
        Outcome::Sealed => CallError::new(ErrorKind::Cancelled, Execution::NotExecuted),
        Outcome::InDoubt(cause) => {
            facts.detail = doubt_detail(cause, evidence.server_deaths);
            CallError::new(in_doubt(cause), Execution::Unknown)
        }
    };
    // The handler's own words came with the error; everything else is ours to tell.
    if !error.evidence().detail.is_empty() {
        facts.detail = error.evidence().detail.clone();
    }
    error.with_evidence(facts).with_call(call).with_method(text_of(name))
}

fn facts(evidence: &protocol::Evidence) -> Evidence {
    Evidence {
        peer: Some(evidence.peer),
        server: evidence.server,
        incarnation: evidence.incarnation,
        transmissions: evidence.transmissions,
        waited: evidence.ended.since(evidence.started),
        working_seen: evidence.working_seen,
        ..Evidence::default()
    }
}

pub(super) fn failed(status: ReplyStatus, body: &[u8]) -> CallError {
    let executed = |kind| CallError::new(kind, Execution::Executed);
    match status {
        ReplyStatus::Panicked => {
            executed(ErrorKind::HandlerPanicked).with_detail(String::from_utf8_lossy(body))
        }
        ReplyStatus::Cancelled => executed(ErrorKind::Cancelled),
        ReplyStatus::CancelledPartial => executed(ErrorKind::Cancelled).with_partial(true),
        ReplyStatus::TooLarge => {
            executed(ErrorKind::ReplyTooLarge).with_detail(String::from_utf8_lossy(body))
        }
        ReplyStatus::HandlerFailed | ReplyStatus::Returned => {
            let error = executed(ErrorKind::HandlerFailed).with_partial(true);
            match Args::of(body).last::<CallReport>() {
                Ok(report) => error.with_source(report),
                Err(_) => error,
            }
        }
    }
}

const fn refused(reason: RefuseReason) -> ErrorKind {
    match reason {
        RefuseReason::Overload => ErrorKind::Overloaded,
        RefuseReason::Draining => ErrorKind::Draining,
        RefuseReason::Expired => ErrorKind::Expired,
        RefuseReason::UnknownMethod => ErrorKind::UnknownMethod,
        RefuseReason::Generation => ErrorKind::GenerationEnded,
        RefuseReason::IdentityInUse => ErrorKind::IdentityInUse,
        RefuseReason::ChangedMethod => ErrorKind::ChangedMethod,
        RefuseReason::BadArguments => ErrorKind::BadArguments,
        RefuseReason::TooLarge => ErrorKind::TooLarge,
        RefuseReason::Unauthorised => ErrorKind::Unauthorised,
    }
}

fn text_of(name: Option<MethodName>) -> String {
    name.map(MethodName::text).unwrap_or_default()
}

fn refused_detail(reason: RefuseReason, detail: &str, name: Option<MethodName>) -> Box<str> {
    match reason {
        RefuseReason::UnknownMethod => refusal::read_unknown(detail, &text_of(name)),
        RefuseReason::ChangedMethod => {
            let own = name.map(MethodName::described);
            refusal::read_changed(detail, &text_of(name), own.as_deref())
        }
        RefuseReason::TooLarge if detail.is_empty() => "the server takes less at a time".into(),
        RefuseReason::TooLarge
        | RefuseReason::Overload
        | RefuseReason::Draining
        | RefuseReason::Expired
        | RefuseReason::BadArguments
        | RefuseReason::Unauthorised
        | RefuseReason::Generation
        | RefuseReason::IdentityInUse => refusal::printable(detail).into(),
    }
}

const fn rejected(reason: RejectReason) -> ErrorKind {
    match reason {
        RejectReason::StaleBinding => ErrorKind::StaleBinding,
        RejectReason::OldIncarnation => ErrorKind::Unauthorised,
        RejectReason::NoRoom => ErrorKind::Overloaded,
        RejectReason::Version => ErrorKind::VersionMismatch,
        RejectReason::Draining => ErrorKind::Draining,
    }
}

fn rejected_detail(
    reason: RejectReason,
    server: crate::ids::ServerId,
    incarnation: crate::ids::Incarnation,
    (lowest, highest): (u8, u8),
) -> Box<str> {
    match reason {
        RejectReason::StaleBinding => format!("{server} in its life {incarnation}").into(),
        RejectReason::OldIncarnation => "a later life of this client was seen".into(),
        RejectReason::NoRoom => "it has no room for a session, or its store fails".into(),
        RejectReason::Version if lowest == highest => {
            format!("it speaks {lowest}, this side {PROTOCOL_VERSION}").into()
        }
        RejectReason::Version => {
            format!("it speaks {lowest} to {highest}, this side {PROTOCOL_VERSION}").into()
        }
        RejectReason::Draining => "".into(),
    }
}

const fn unsent(cause: NotSentCause) -> ErrorKind {
    match cause {
        NotSentCause::Unreachable => ErrorKind::Unreachable,
        NotSentCause::NoFreeSlot | NotSentCause::QueueFull => ErrorKind::NoFreeSlot,
        NotSentCause::Cancelled | NotSentCause::ConnectionClosed => ErrorKind::Cancelled,
        NotSentCause::TooLarge => ErrorKind::TooLarge,
        NotSentCause::Draining => ErrorKind::Draining,
        NotSentCause::Expired => ErrorKind::Expired,
        NotSentCause::Unsupported => ErrorKind::UnknownMethod,
        NotSentCause::JournalFailed => ErrorKind::JournalFailed,
    }
}

fn unsent_detail(cause: NotSentCause) -> Box<str> {
    match cause {
        NotSentCause::TooLarge => format!(
            "arguments take at most {MESSAGE_BYTES_MAX} bytes, of a `maybe` call {MAYBE_BYTES_MAX}"
        )
        .into(),
        NotSentCause::ConnectionClosed => "the channel was closed".into(),
        NotSentCause::Unsupported => "it has no store for exactly_once calls".into(),
        NotSentCause::Unreachable
        | NotSentCause::NoFreeSlot
        | NotSentCause::QueueFull
        | NotSentCause::Cancelled
        | NotSentCause::Draining
        | NotSentCause::Expired
        | NotSentCause::JournalFailed => "".into(),
    }
}

fn doubt_detail(cause: DoubtCause, server_deaths: u32) -> Box<str> {
    match cause {
        DoubtCause::ServerDied => {
            format!("the server died {server_deaths} times while it had the call").into()
        }
        DoubtCause::NoReply
        | DoubtCause::RefusedAfterDoubt
        | DoubtCause::ServerRestarted
        | DoubtCause::SessionLost
        | DoubtCause::Closed
        | DoubtCause::GenerationEnded
        | DoubtCause::Cancelled
        | DoubtCause::JournalFailed => "".into(),
    }
}

pub(super) const fn in_doubt(cause: DoubtCause) -> ErrorKind {
    match cause {
        DoubtCause::NoReply | DoubtCause::RefusedAfterDoubt => ErrorKind::NoReply,
        DoubtCause::ServerRestarted | DoubtCause::ServerDied => ErrorKind::ServerRestarted,
        DoubtCause::SessionLost => ErrorKind::SessionLost,
        DoubtCause::Closed => ErrorKind::Forgotten,
        DoubtCause::GenerationEnded => ErrorKind::GenerationEnded,
        DoubtCause::Cancelled => ErrorKind::Cancelled,
        DoubtCause::JournalFailed => ErrorKind::JournalFailed,
    }
}

/// A reply that is not what the method returns: the call ran, and its result is lost on us.
pub(super) fn undecodable(why: DecodeError) -> CallError {
    CallError::new(ErrorKind::ReplyUndecodable, Execution::Executed).because(why)
}

/// As [`undecodable`], of this call.
pub(super) fn undecodable_reply(
    why: DecodeError,
    call: CallId,
    evidence: &protocol::Evidence,
    name: MethodName,
) -> CallError {
    let error = undecodable(why);
    let detail = error.evidence().detail.clone();
    let facts = Evidence { detail, ..facts(evidence) };
    error.with_evidence(facts).with_call(call).with_method(name.text())
}
