//! A failed call as a log keeps it: what [`CallError`] must not be, plain data, with names that stay.
//!
//! Identifiers are written as they print, so that one `grep` finds a call in errors, traces and logs.

use serde::{Deserialize, Serialize};

use super::{CallError, CallReport, ErrorClass, ErrorKind, Evidence, Execution};
use crate::address::Address;
use crate::ids::{Incarnation, ServerId, SessionId};
use crate::time::Duration;

/// All that is known of a failed call, to be serialised. From [`CallError::record`].
///
/// The names of fields and variants are `snake_case` and stay; fields may be added. It says nothing
/// about any other call: like a [`CallReport`], it has no `is_safe_to_retry`.
///
/// ```
/// # use rpc_runtime::{CallError, ErrorKind, Execution};
/// let error = CallError::new(ErrorKind::Cancelled, Execution::Unknown).with_method("bank.pay");
/// let line = serde_json::to_string(&error.record())?;
/// assert!(line.starts_with(r#"{"execution":"unknown","partial":false,"kind":"cancelled","#));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorRecord {
    /// Did the call run?
    pub execution: Execution,
    /// Whether a call that ran may have stopped half-way.
    pub partial: bool,
    /// Why it failed.
    pub kind: ErrorKind,
    /// The kind's class.
    pub class: ErrorClass,
    /// `service.method`; empty where no method was called.
    pub method: String,
    /// The call as it prints, `s#7f3a.3.41`; nothing if it never had a place.
    pub call: Option<String>,
    /// Its session or generation in full, of which `call` shows the last four digits.
    pub session: Option<String>,
    /// The facts behind the verdict.
    pub evidence: Evidence,
    /// What it read like.
    pub text: String,
    /// What caused it, outermost first.
    pub sources: Vec<String>,
    /// The failure of a call that the handler made, if that was the cause. Its certainty is not
    /// about this call.
    pub nested: Option<CallReport>,
}

impl CallError {
    /// What a log keeps of this failure.
    #[must_use]
    pub fn record(&self) -> ErrorRecord {
        let first = std::error::Error::source(self);
        let sources = std::iter::successors(first, |error| error.source());
        let report = first.and_then(|error| error.downcast_ref::<CallReport>());
        let SessionId(session) = self.call().session;
        ErrorRecord {
            execution: self.execution(),
            partial: self.is_partial(),
            kind: self.kind(),
            class: self.kind().class(),
            method: self.method().to_owned(),
            call: (session != 0).then(|| self.call().to_string()),
            session: (session != 0).then(|| self.call().session.to_string()),
            evidence: self.evidence().clone(),
            text: self.to_string(),
            sources: sources.map(ToString::to_string).collect(),
            nested: report.filter(|report| self.is_over_another_call(report)).cloned(),
        }
    }
}

/// Whole milliseconds.
pub(super) fn millis_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration as whole milliseconds.
pub(super) mod millis {
    use super::{Duration, millis_of};
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(millis_of(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// A duration as whole milliseconds, or nothing.
pub(super) mod maybe_millis {
    use super::{Duration, millis_of};
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(millis_of).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::deserialize(from)?.map(Duration::from_millis))
    }
}

/// Something as it prints, or nothing: how to read it back is given.
macro_rules! as_text {
    ($module:ident, $type:ty, $write:expr, $read:expr) => {
        pub(super) mod $module {
            use super::*;
            use serde::{Deserializer, Serializer, de};

            pub(crate) fn serialize<S: Serializer>(
                value: &$type,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                let write: fn(&$type) -> Option<String> = $write;
                write(value).serialize(to)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                from: D,
            ) -> Result<$type, D::Error> {
                let read: fn(&str) -> Option<$type> = $read;
                let Some(text) = Option::<String>::deserialize(from)? else {
                    return Ok(Default::default());
                };
                let odd = || de::Error::invalid_value(de::Unexpected::Str(&text), &"as it prints");
                read(&text).ok_or_else(odd)
            }
        }
    };
}

as_text!(address, Option<Address>, |value| value.map(|address| address.to_string()), |text| {
    Some(Some(if let Some(number) = text.strip_prefix("host ") {
        Address::Virtual(number.parse().ok()?)
    } else if let Some(number) = text.strip_prefix("stream ") {
        Address::VirtualStream(number.parse().ok()?)
    } else if let Some(number) = text.strip_prefix("local ") {
        Address::Local(u64::from_str_radix(number, 16).ok()?)
    } else if let Some(address) = text.strip_prefix("tcp://") {
        Address::Tcp(address.parse().ok()?)
    } else {
        Address::Ip(text.parse().ok()?)
    }))
});
as_text!(server, ServerId, |value| value.is_some().then(|| value.to_string()), |text| {
    u64::from_str_radix(text, 16).ok().map(ServerId)
});
as_text!(incarnation, Incarnation, |value| value.is_some().then(|| value.to_string()), |text| {
    let (count, salt) = text.split_once('.')?;
    Some(Incarnation::new(count.parse().ok()?, u32::from_str_radix(salt, 16).ok()?))
});
