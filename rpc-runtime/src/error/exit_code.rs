//! Failures as exit codes, so that a script learns from its `$?` whether the call ran.
//!
//! The numbers are those of BSD's `sysexits.h`, which mean nothing else to a shell. How a process
//! ends is not this module's knowledge.

use super::{CallError, Error, Execution};

/// The application's own error: the call ran, and that is its answer.
const OWN_ERROR_CODE: u8 = 1;
/// Executed, and failed (`EX_SOFTWARE`).
const EXECUTED_CODE: u8 = 70;
/// Not executed: the same may succeed later (`EX_TEMPFAIL`).
const NOT_EXECUTED_CODE: u8 = 75;
/// Nobody knows whether it ran (`EX_PROTOCOL`).
const UNKNOWN_CODE: u8 = 76;
/// Not executed, nor will it be before something is changed (`EX_CONFIG`).
const LASTING_CODE: u8 = 78;

impl Execution {
    /// The exit code of a command whose call failed so:
    ///
    /// | code | name in `sysexits.h` | did the call run? | a script may |
    /// |---:|---|---|---|
    /// | 70 | `EX_SOFTWARE` | yes, and it failed | look at what it did |
    /// | 75 | `EX_TEMPFAIL` | no, and it never will | try again |
    /// | 76 | `EX_PROTOCOL` | perhaps | look before it tries again |
    ///
    /// [`CallError::exit_code`] tells one case more.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::NotExecuted => NOT_EXECUTED_CODE,
            Self::Executed => EXECUTED_CODE,
            Self::Unknown => UNKNOWN_CODE,
        }
    }
}

impl CallError {
    /// The exit code of a command that ends with this error: as [`Execution::exit_code`], and
    ///
    /// | code | name in `sysexits.h` | did the call run? | a script may |
    /// |---:|---|---|---|
    /// | 78 | `EX_CONFIG` | no, nor would another try | give up: an address, a parameter, a version, an interface or a permission must be changed first |
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let is_vain = self.is_safe_to_retry() && self.kind().is_lasting();
        if is_vain { LASTING_CODE } else { self.execution().exit_code() }
    }
}

impl<E> Error<E> {
    /// The exit code of a command that ends with this error: 1 for the method's own error, else as
    /// [`CallError::exit_code`].
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.call().map_or(OWN_ERROR_CODE, CallError::exit_code)
    }
}
