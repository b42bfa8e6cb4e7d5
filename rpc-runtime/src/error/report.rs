//! Failures on their way through handlers: the error type of every remote method, and the report
//! that may be stored and sent where a [`CallError`] may not.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CallError, ErrorKind, Execution, Facts};

/// What a remote method returns: its value, its own error, or the failure of the call.
pub type Result<T, E> = std::result::Result<T, Error<E>>;

/// The two ways a remote method can fail.
///
/// `?` works in a handler on the interface's own error and on a failed nested call alike. A nested
/// call with an error type of its own needs [`ResultExt::nested`] first.
#[derive(Clone, Debug)]
pub enum Error<E> {
    /// The method ran and returned its own error.
    App(E),
    /// The call failed; the error says whether the method ran.
    Call(CallError),
}

impl<E> Error<E> {
    /// The failure of the call, if it is one.
    #[must_use]
    pub const fn call(&self) -> Option<&CallError> {
        match self {
            Self::App(_) => None,
            Self::Call(error) => Some(error),
        }
    }

    /// Did the call run? The method's own error is proof that it did.
    #[must_use]
    pub fn execution(&self) -> Execution {
        self.call().map_or(Execution::Executed, CallError::execution)
    }

    /// Whether repeating the call cannot make it run twice.
    #[must_use]
    pub fn is_safe_to_retry(&self) -> bool {
        self.call().is_some_and(CallError::is_safe_to_retry)
    }
}

// `CallError` is not `Serialize`, which keeps this impl apart from the next one. Adding serde to
// `CallError` breaks the build here, on purpose.
impl<E: Serialize> From<E> for Error<E> {
    fn from(error: E) -> Self {
        Self::App(error)
    }
}

impl<E> From<CallError> for Error<E> {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::App(error) => error.source(),
            Self::Call(error) => error.source(),
        }
    }
}

/// What was once known of a failed call, as text: may be stored and sent.
///
/// It has no `is_safe_to_retry`, because it says nothing about the call that carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallReport {
    text: String,
    kind: ErrorKind,
    execution: Execution,
}

impl CallReport {
    /// A handler's own words.
    pub(crate) fn from_text(text: String) -> Self {
        Self { text, kind: ErrorKind::HandlerFailed, execution: Execution::Executed }
    }

    /// That somebody was asked on behalf of the call and did not answer.
    pub(crate) fn no_answer(text: impl Into<String>) -> Self {
        let (kind, execution) = (ErrorKind::Unreachable, Execution::NotExecuted);
        Self { text: text.into(), kind, execution }
    }

    /// What the failed call's error said, without its advice.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Why that call failed.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was known of that call.
    #[must_use]
    pub const fn execution(&self) -> Execution {
        self.execution
    }
}

impl From<CallError> for CallReport {
    fn from(error: CallError) -> Self {
        Self { text: Facts(&error).to_string(), kind: error.kind(), execution: error.execution() }
    }
}

impl fmt::Display for CallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for CallReport {}

/// Takes the two failures of a remote method apart.
pub trait ResultExt<T, E> {
    /// Splits off the failure of the call: `match bank.pay().app()? { Ok(..) => .., Err(e) => .. }`.
    ///
    /// # Errors
    ///
    /// The call failed.
    fn app(self) -> std::result::Result<std::result::Result<T, E>, CallError>;

    /// Makes a callee's own error the failure of this handler: `self.audit.check(x).nested()?`.
    ///
    /// # Errors
    ///
    /// The call failed, or the method returned its own error.
    fn nested(self) -> std::result::Result<T, CallError>;
}

impl<T, E: fmt::Display> ResultExt<T, E> for Result<T, E> {
    fn app(self) -> std::result::Result<std::result::Result<T, E>, CallError> {
        match self {
            Ok(value) => Ok(Ok(value)),
            Err(Error::App(error)) => Ok(Err(error)),
            Err(Error::Call(error)) => Err(error),
        }
    }

    fn nested(self) -> std::result::Result<T, CallError> {
        match self {
            Ok(value) => Ok(value),
            Err(Error::App(error)) => Err(CallError::failed(error)),
            Err(Error::Call(error)) => Err(error),
        }
    }
}
