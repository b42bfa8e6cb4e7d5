//! Errors as user interface: every failed call says first whether it ran.
//!
//! Knows certainties ([`Execution`]), the classical taxonomy ([`ErrorKind`]; Birrell & Nelson 1984;
//! Tanenbaum & van Steen, section 8.3) and how both read. Does not know how a verdict is reached:
//! that is the client's, from what the protocol saw.

mod chain;
mod exit_code;
mod kind;
mod record;
mod report;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use chain::{Chain, chain};
pub use kind::{ErrorClass, ErrorKind};
pub use record::ErrorRecord;
pub use report::{CallReport, Error, Result, ResultExt};

use crate::address::Address;
use crate::ids::{CallId, Incarnation, ServerId};
use crate::time::Duration;

/// Did the call run?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Execution {
    /// It did not run and, whatever is still in flight, never will. Retry anywhere.
    NotExecuted,
    /// It ran, perhaps in part. Do not retry; read the evidence.
    Executed,
    /// It may have run, or may yet begin before its deadline. Retry only if the method is
    /// idempotent, or ask with `resolve`.
    Unknown,
}

impl Execution {
    /// The certainty's name in logs, which stays what it is: `not_executed`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotExecuted => "not_executed",
            Self::Executed => "executed",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotExecuted => "not executed",
            Self::Executed => "executed",
            Self::Unknown => "may have executed",
        })
    }
}

/// What the runtime saw of a failed call: the facts behind the verdict.
///
/// Serialised for logs: identifiers as they print, durations in whole milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Evidence {
    /// Who was asked, if anybody could be.
    #[serde(with = "record::address")]
    pub peer: Option<Address>,
    /// The server that answered, if one did.
    #[serde(with = "record::server")]
    pub server: ServerId,
    /// The incarnation of the server that carried the call's session.
    #[serde(with = "record::incarnation")]
    pub incarnation: Incarnation,
    /// How often the request was handed to the transport, or how often a peer was tried.
    pub transmissions: u32,
    /// From the start of the call to its end, by the client's clock.
    #[serde(rename = "waited_ms", with = "record::millis")]
    pub waited: Duration,
    /// Whether the server said at least once that the call was executing.
    pub working_seen: bool,
    /// How long the server asks to be left alone.
    #[serde(rename = "push_back_ms", with = "record::maybe_millis")]
    pub push_back: Option<Duration>,
    /// What is particular to this failure: the peer's own words, a panic's text, a type's name.
    pub detail: Box<str>,
}

/// A remote call that failed: whether it ran, why it failed, and what is known.
///
/// One pointer wide, so that results stay small. It is not serialisable on purpose: it states what
/// is known of *one* call, and must not travel as if it were about another. To pass a failure on,
/// store a [`CallReport`]; to log it, write its [`record`](CallError::record), or its fields:
///
/// ```
/// # use rpc_runtime::{CallError, ErrorKind, Execution};
/// # let error = CallError::new(ErrorKind::NoReply, Execution::Unknown);
/// tracing::warn!(
///     execution = error.execution().name(), // "not_executed", "executed" or "unknown"
///     kind = error.kind().name(),           // "no_reply", …
///     method = error.method(),
///     call = %error.call(),
///     waited_ms = error.evidence().waited_ms(),
///     "{error}",
/// );
/// ```
///
/// The runtime itself does nearly that for each failed call that somebody waits for, with the target
/// `rpc_runtime::call`: as a warning, or at level debug when the call was cancelled.
#[derive(Clone)]
pub struct CallError(Box<Inner>);

#[derive(Clone)]
struct Inner {
    execution: Execution,
    partial: bool,
    kind: ErrorKind,
    call: CallId,
    method: Box<str>,
    evidence: Evidence,
    source: Option<Source>,
}

/// What caused a failure.
#[derive(Clone)]
enum Source {
    /// Something that was told in words, by another process mostly.
    Report(CallReport),
    /// An error of this process, whose words the evidence holds.
    Own(Box<dyn Cause>),
}

/// An error that can be cloned although its type is forgotten.
trait Cause: std::error::Error + Send + Sync {
    fn cloned(&self) -> Box<dyn Cause>;
}

impl<E: std::error::Error + Clone + Send + Sync + 'static> Cause for E {
    fn cloned(&self) -> Box<dyn Cause> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Cause> {
    fn clone(&self) -> Self {
        (**self).cloned()
    }
}

impl Evidence {
    /// [`Evidence::waited`] in whole milliseconds, for logs.
    #[must_use]
    pub fn waited_ms(&self) -> u64 {
        record::millis_of(self.waited)
    }
}

impl CallError {
    /// A failure of `kind` with the certainty `execution`. For the runtime, for mocks and for tests.
    #[must_use]
    pub fn new(kind: ErrorKind, execution: Execution) -> Self {
        Self(Box::new(Inner {
            execution,
            partial: false,
            kind,
            call: CallId::UNSENT,
            method: Box::from(""),
            evidence: Evidence::default(),
            source: None,
        }))
    }

    /// What a handler returns that cannot do its work and has no error type of its own.
    ///
    /// The caller learns `executed, perhaps in part: the handler gave up: TEXT`.
    pub fn failed(text: impl fmt::Display) -> Self {
        let mut error = Self::new(ErrorKind::HandlerFailed, Execution::Executed);
        error.0.partial = true;
        error.0.source = Some(Source::Report(CallReport::from_text(text.to_string())));
        error
    }

    /// The same failure, of this call.
    #[must_use]
    pub fn with_call(mut self, call: CallId) -> Self {
        self.0.call = call;
        self
    }

    /// The same failure, of this method (`service.method`).
    #[must_use]
    pub fn with_method(mut self, method: impl Into<Box<str>>) -> Self {
        self.0.method = method.into();
        self
    }

    /// The same failure with these facts.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Evidence) -> Self {
        self.0.evidence = evidence;
        self
    }

    /// The same failure with what is particular to it.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.0.evidence.detail = detail.into();
        self
    }

    /// The same failure, caused by another one. Contract rule 5: the other's certainty says nothing
    /// about this call.
    #[must_use]
    pub fn with_source(mut self, source: CallReport) -> Self {
        self.0.source = Some(Source::Report(source));
        self
    }

    /// The same failure, caused by an error of this process: it becomes the
    /// [`source`](std::error::Error::source), and its text the detail where there is none yet.
    #[must_use]
    pub fn because(
        mut self,
        cause: impl std::error::Error + Clone + Send + Sync + 'static,
    ) -> Self {
        if self.0.evidence.detail.is_empty() {
            self.0.evidence.detail = cause.to_string().into();
        }
        self.0.source = Some(Source::Own(Box::new(cause)));
        self
    }

    /// The same failure of a call that began and may have stopped half-way.
    #[must_use]
    pub fn with_partial(mut self, partial: bool) -> Self {
        self.0.partial = partial;
        self
    }

    /// Did the call run?
    #[must_use]
    pub fn execution(&self) -> Execution {
        self.0.execution
    }

    /// Whether a call that ran may have stopped half-way.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.0.partial
    }

    /// Why the call failed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Names the call, for logs and for `resolve`; [`CallId::UNSENT`] if it never got that far.
    #[must_use]
    pub fn call(&self) -> CallId {
        self.0.call
    }

    /// `service.method`; empty where no method was called.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.0.method
    }

    /// The facts behind the verdict.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.0.evidence
    }

    /// Whether repeating the call, here or at another server, cannot make it run twice.
    #[must_use]
    pub fn is_safe_to_retry(&self) -> bool {
        self.0.execution == Execution::NotExecuted
    }

    /// What a caller of the handler that failed with `self` may be told: a report, with a text that
    /// does not repeat what the outer error says itself.
    pub(crate) fn into_handler_report(self) -> CallReport {
        let inner = *self.0;
        match (inner.kind, inner.call == CallId::UNSENT, inner.source) {
            (ErrorKind::HandlerFailed, true, Some(Source::Report(report))) => report,
            (_, _, source) => CallReport::from(Self(Box::new(Inner { source, ..inner }))),
        }
    }
}

impl CallError {
    /// Certainty and cause: all but what to do about it, which is the caller's of *this* call only.
    fn write_facts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "{}", inner.execution)?;
        if inner.partial {
            f.write_str(", perhaps in part")?;
        }
        f.write_str(": ")?;
        inner.kind.write_cause(f, &inner.evidence)?;
        match &inner.source {
            // Whose certainty the next words are must not be mistaken (contract rule 5).
            Some(Source::Report(source)) if self.is_over_another_call(source) => {
                write!(f, " over a call of its own: {source}")
            }
            Some(Source::Report(source)) => write!(f, ": {source}"),
            Some(Source::Own(_)) | None => Ok(()),
        }
    }

    /// Whether a handler failed because a call that it made failed, and not in words of its own.
    fn is_over_another_call(&self, source: &CallReport) -> bool {
        self.kind() == ErrorKind::HandlerFailed && source.kind() != ErrorKind::HandlerFailed
    }
}

/// A failed call without advice.
struct Facts<'e>(&'e CallError);

impl fmt::Display for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_facts(f)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_facts(f)?;
        match self.0.kind.advice(self.0.execution) {
            "" => Ok(()),
            advice => write!(f, "; {advice}"),
        }
    }
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { execution, partial, kind, call, method, evidence, source } = &*self.0;
        f.debug_struct("CallError")
            .field("execution", execution)
            .field("partial", partial)
            .field("kind", kind)
            .field("call", call)
            .field("method", method)
            .field("evidence", evidence)
            .field("source", &source.as_ref().map(Source::as_error))
            .finish()
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(Source::as_error)
    }
}

impl Source {
    fn as_error(&self) -> &(dyn std::error::Error + 'static) {
        match self {
            Self::Report(report) => report,
            Self::Own(cause) => &**cause,
        }
    }
}

#[cfg(test)]
mod tests;
