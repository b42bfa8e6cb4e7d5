//! Where a call stands in a trace: W3C Trace Context, as text and in the extensions of a REQUEST.
//!
//! Knows the formats and their limits. Does not know who traces: nobody need, and a context that no
//! one looks at is carried all the same.
//!
//! W3C Recommendation "Trace Context" (Level 1, 2021): version 00 is written, later ones are read as far
//! as version 00 goes.

use std::fmt;
use std::sync::Arc;

use crate::wire::{EXTENSION_OPTIONAL_MASK, Extensions};

/// Longest `tracestate`, in bytes; a longer one is left out.
pub const STATE_BYTES_MAX: usize = 512;
/// Most members of a `tracestate`.
const STATE_MEMBERS_MAX: usize = 32;
/// Longest key or value of a member, in bytes.
const MEMBER_BYTES_MAX: usize = 256;
/// A `traceparent` of version 00, in bytes.
const TEXT_BYTES: usize = 55;
/// The flag that says that the trace is recorded.
const SAMPLED: u8 = 1;

/// The type of the extension that holds trace id, span id and flags.
const PARENT_KIND: u16 = 2;
/// The type of the extension that holds the `tracestate`.
const STATE_KIND: u16 = 3;
/// Trace id (16), span id (8), flags (1), in this order, as in a `traceparent`.
const PARENT_BYTES: usize = 25;
/// What stands before an extension's bytes: type and length.
const HEAD_BYTES: usize = 4;

/// Where a call stands in a trace: the trace, the span that makes the call, and what others need to know.
///
/// Cheap to clone. [`with_trace`](crate::context::with_trace) has calls carry it,
/// [`CallContext::trace`](crate::CallContext::trace) is what a handler gets.
///
/// ```
/// use rpc_runtime::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace = TraceContext::parse(text, Some("vendor=opaque"))?;
/// assert!(trace.is_sampled());
/// assert_eq!(trace.traceparent(), text);
/// # Ok::<(), rpc_runtime::trace::TraceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    /// The span that this one is part of, where that is known.
    parent_id: Option<u64>,
    flags: u8,
    state: Option<Arc<str>>,
}

/// Why a text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceError {
    /// It does not have the form `00-TRACE-SPAN-FLAGS` in lower-case hexadecimal digits.
    Form,
    /// Its version is `ff`, which there is none of.
    Version,
    /// The trace id or the span id is all zero.
    Zero,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => {
                "a traceparent reads 00-TRACE-SPAN-FLAGS, with 32, 16 and 2 lower-case hexadecimal digits"
            }
            Self::Version => "a traceparent has no version ff",
            Self::Zero => "a traceparent has a trace id and a span id that are not zero",
        })
    }
}

impl std::error::Error for TraceError {}

impl TraceContext {
    /// The context of a span; `None` if one of the ids is zero, which stands for none.
    #[must_use]
    pub const fn new(trace_id: u128, span_id: u64, is_sampled: bool) -> Option<Self> {
        if trace_id == 0 || span_id == 0 {
            return None;
        }
        let flags = if is_sampled { SAMPLED } else { 0 };
        Some(Self { trace_id, span_id, parent_id: None, flags, state: None })
    }

    /// Reads the two headers of W3C Trace Context. A `tracestate` that is none is left out, as the
    /// recommendation wants it: the trace goes on.
    ///
    /// # Errors
    ///
    /// `traceparent` is none: whoever gets one that is not begins a trace of its own, or none.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Result<Self, TraceError> {
        let bytes = traceparent.as_bytes();
        let dashes_stand = [2, 35, 52].iter().all(|&place| bytes.get(place) == Some(&b'-'));
        if bytes.len() < TEXT_BYTES || !dashes_stand {
            return Err(TraceError::Form);
        }
        let version = hex(&bytes[..2]).ok_or(TraceError::Form)?;
        let is_longer = bytes.len() > TEXT_BYTES;
        if version == 0xff {
            return Err(TraceError::Version);
        }
        if is_longer && (version == 0 || bytes[TEXT_BYTES] != b'-') {
            return Err(TraceError::Form);
        }
        let trace_id = hex(&bytes[3..35]).ok_or(TraceError::Form)?;
        let span_id = hex(&bytes[36..52]).ok_or(TraceError::Form)?;
        let flags = hex(&bytes[53..TEXT_BYTES]).ok_or(TraceError::Form)?;
        let span_id = u64::try_from(span_id).map_err(|_| TraceError::Form)?;
        let context = Self::new(trace_id, span_id, flags & u128::from(SAMPLED) != 0);
        let context = context.ok_or(TraceError::Zero)?;
        Ok(context.with_state(tracestate.unwrap_or_default()))
    }

    /// The same with this `tracestate`, or with none if that is none.
    #[must_use]
    pub fn with_state(mut self, tracestate: &str) -> Self {
        let is_state = !tracestate.is_empty() && is_state(tracestate);
        self.state = is_state.then(|| tracestate.into());
        self
    }

    /// A span of the same trace that is part of this one.
    #[must_use]
    pub fn child(&self, span_id: u64) -> Self {
        debug_assert!(span_id != 0, "zero stands for none");
        Self { span_id, parent_id: Some(self.span_id), ..self.clone() }
    }

    /// The trace.
    #[must_use]
    pub const fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// The span.
    #[must_use]
    pub const fn span_id(&self) -> u64 {
        self.span_id
    }

    /// The span that this one is part of, in a handler: that of its caller.
    #[must_use]
    pub const fn parent_id(&self) -> Option<u64> {
        self.parent_id
    }

    /// Whether the trace is recorded, as far as its caller knows.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The header `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }

    /// The header `tracestate`; empty where there is none.
    #[must_use]
    pub fn tracestate(&self) -> &str {
        self.state.as_deref().unwrap_or_default()
    }

    /// Appends the extensions that carry it, what can be left out first; gives their bytes.
    pub(crate) fn append(&self, out: &mut Vec<u8>) -> u16 {
        let before = out.len();
        if let Some(state) = &self.state {
            append_head(out, STATE_KIND, state.len());
            out.extend_from_slice(state.as_bytes());
        }
        append_head(out, PARENT_KIND, PARENT_BYTES);
        out.extend_from_slice(&self.trace_id.to_be_bytes());
        out.extend_from_slice(&self.span_id.to_be_bytes());
        out.push(self.flags);
        u16::try_from(out.len() - before).expect("both are bounded")
    }

    /// What of these extensions can be left out.
    pub(crate) fn dispensable(extension_bytes: u16) -> u16 {
        extension_bytes.saturating_sub(u16::try_from(HEAD_BYTES + PARENT_BYTES).unwrap_or(u16::MAX))
    }

    /// Reads it from the extensions of a REQUEST, whoever wrote them.
    pub(crate) fn read(extensions: &[u8]) -> Option<Self> {
        let list = || Extensions::of(extensions).filter_map(Result::ok);
        let parent = list().find(|extension| extension.kind == PARENT_KIND)?.bytes;
        let (trace_id, rest) = parent.split_first_chunk::<16>()?;
        let (span_id, rest) = rest.split_first_chunk::<8>()?;
        let &[flags] = rest else { return None };
        let (trace_id, span_id) = (u128::from_be_bytes(*trace_id), u64::from_be_bytes(*span_id));
        let context = Self::new(trace_id, span_id, flags & SAMPLED != 0)?;
        let state = list().find(|extension| extension.kind == STATE_KIND);
        let state = state.and_then(|extension| std::str::from_utf8(extension.bytes).ok());
        Some(context.with_state(state.unwrap_or_default()))
    }
}

fn append_head(out: &mut Vec<u8>, kind: u16, bytes: usize) {
    let bytes = u16::try_from(bytes).expect("extensions are bounded");
    out.extend_from_slice(&(kind | EXTENSION_OPTIONAL_MASK).to_le_bytes());
    out.extend_from_slice(&bytes.to_le_bytes());
}

/// A number in lower-case hexadecimal digits, and nothing else.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// Whether that is a `tracestate`: a list of `key=value`, each key once.
fn is_state(text: &str) -> bool {
    if text.len() > STATE_BYTES_MAX {
        return false;
    }
    let members = text.split(',').map(|member| member.trim_matches([' ', '\t']));
    let mut keys: Vec<&str> = Vec::new();
    for member in members.filter(|member| !member.is_empty()) {
        let Some((key, value)) = member.split_once('=') else { return false };
        if !is_key(key) || !is_value(value) || keys.contains(&key) {
            return false;
        }
        keys.push(key);
    }
    (1..=STATE_MEMBERS_MAX).contains(&keys.len())
}

fn is_key(key: &str) -> bool {
    let starts =
        key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    starts && key.len() <= MEMBER_BYTES_MAX && key.bytes().all(is_allowed)
}

fn is_value(value: &str) -> bool {
    let is_allowed = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b',' && byte != b'=';
    (1..=MEMBER_BYTES_MAX).contains(&value.len()) && value.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests;
