//! How a command line ends that makes remote calls: with a text for people and a code for scripts.
//!
//! Knows how `main` is left. What the codes mean is [`CallError::exit_code`]'s knowledge.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, Write as _};
use std::process::{ExitCode, Termination};

use crate::error::{CallError, Error, chain};

/// Any other failure.
const OTHER_FAILURE: u8 = 1;

/// The end of a command line: what `main` returns, and what its parts fail with.
///
/// `?` makes one of a failed call, a method's own error, an I/O error, a boxed error or a text. As
/// the result of `main` it prints the failure to stderr, with what caused it, and exits with a code
/// that says whether the call ran: 75 and 78 no, 70 yes, 76 perhaps ([`CallError::exit_code`]); 1 for
/// everything else that failed, 0 for success.
///
/// ```no_run
/// use rpc_runtime::{CallError, Exit, service};
///
/// #[service]
/// trait Clock {
///     fn now(&self) -> Result<u64, CallError>;
/// }
///
/// fn main() -> Exit {
///     run().into()
/// }
///
/// fn run() -> Result<(), Exit> {
///     let clock = ClockClient::connect("udp://127.0.0.1:7001")?;
///     println!("{}", clock.now()?);
///     Ok(())
/// }
/// ```
///
/// In a shell:
///
/// ```sh
/// pay ann bob 30
/// case $? in
///     0)     echo paid ;;
///     75)    echo "not paid: try again" ;;
///     78)    echo "not paid, and trying again will not help" ;;
///     70|76) echo "look whether it was paid" ;;
/// esac
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "only `main` can end the process with it"]
pub struct Exit {
    code: u8,
    text: String,
}

impl Exit {
    /// All is done.
    pub const DONE: Self = Self { code: 0, text: String::new() };

    /// A failure with a code of its own, and what there is to say; nothing is printed for "".
    pub fn failure(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// A failure that is no failed call: code 1.
    pub fn other(error: &(dyn StdError + 'static)) -> Self {
        // A failed call in a box is one still.
        let code = error.downcast_ref().map_or(OTHER_FAILURE, CallError::exit_code);
        Self::failure(code, chain(error).to_string())
    }

    /// The exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        self.code
    }

    /// What is printed to stderr, if anything.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        if !self.text.is_empty() {
            // Whoever read us is gone: nobody is left to tell.
            let _ = writeln!(io::stderr(), "error: {}", self.text);
        }
        ExitCode::from(self.code)
    }
}

impl From<Result<(), Self>> for Exit {
    fn from(result: Result<(), Self>) -> Self {
        result.err().unwrap_or(Self::DONE)
    }
}

impl From<CallError> for Exit {
    fn from(error: CallError) -> Self {
        Self::other(&error)
    }
}

impl<E: fmt::Display> From<Error<E>> for Exit {
    fn from(error: Error<E>) -> Self {
        match error {
            Error::Call(error) => error.into(),
            Error::App(error) => Self::failure(OTHER_FAILURE, error.to_string()),
        }
    }
}

impl From<io::Error> for Exit {
    fn from(error: io::Error) -> Self {
        Self::other(&error)
    }
}

impl From<Box<dyn StdError>> for Exit {
    fn from(error: Box<dyn StdError>) -> Self {
        Self::other(&*error)
    }
}

impl From<Box<dyn StdError + Send + Sync>> for Exit {
    fn from(error: Box<dyn StdError + Send + Sync>) -> Self {
        Self::other(&*error)
    }
}

impl From<String> for Exit {
    fn from(text: String) -> Self {
        Self::failure(OTHER_FAILURE, text)
    }
}

impl From<&str> for Exit {
    fn from(text: &str) -> Self {
        Self::failure(OTHER_FAILURE, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, Execution};

    fn call(kind: ErrorKind, execution: Execution) -> CallError {
        CallError::new(kind, execution).with_detail("why")
    }

    #[test]
    fn a_call_keeps_its_code_however_it_reaches_main() {
        let failed = || call(ErrorKind::NoReply, Execution::Unknown);
        let boxed: Box<dyn StdError> = failed().into();
        let shared: Box<dyn StdError + Send + Sync> = failed().into();
        let method = Error::<String>::Call(failed());
        for exit in [failed().into(), boxed.into(), shared.into(), Exit::from(method)] {
            assert_eq!(exit.code(), 76);
            assert_eq!(exit.text(), failed().to_string());
        }
    }

    #[test]
    fn everything_else_is_1_and_success_0() {
        assert_eq!(Exit::from(Error::App("no funds")), Exit::failure(1, "no funds"));
        assert_eq!(Exit::from(io::Error::other("disk")), Exit::failure(1, "disk"));
        assert_eq!(Exit::from("words"), Exit::from("words".to_owned()));
        assert_eq!(Exit::from(Ok(())), Exit::DONE);
        assert_eq!(Exit::from(Err(Exit::failure(9, ""))).code(), 9);
    }
}
