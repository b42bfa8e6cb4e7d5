//! An error and what caused it, for people: a line each, and nothing said twice.
//!
//! A [`CallError`](super::CallError) tells its cause in its own text, as a line of a log must; errors
//! of applications mostly leave it to their [`source`](Error::source). Does not know either.

use std::error::Error;
use std::fmt;

/// The error and its sources as text: one line each, but for those whose words stand there already.
///
/// ```
/// use rpc_runtime::{CallReport, error};
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("the ledger did not answer")]
/// struct NoLedger(#[source] CallReport);
/// # use rpc_runtime::{CallError, ErrorKind, Execution};
/// # let failed = CallError::new(ErrorKind::Unreachable, Execution::NotExecuted);
/// # let failed = failed.with_detail("nobody");
///
/// assert_eq!(
///     error::chain(&NoLedger(failed.into())).to_string(),
///     "the ledger did not answer\n  \
///      because: not executed: no server answers at the server (0 tries in 0 us): nobody"
/// );
/// ```
#[must_use]
pub fn chain<'e>(error: &'e (dyn Error + 'static)) -> Chain<'e> {
    Chain(error)
}

/// See [`chain`].
#[derive(Clone, Copy, Debug)]
pub struct Chain<'e>(&'e (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, "\n  because: {text}")?;
                said.push('\n');
                said.push_str(&text);
            }
            next = error.source();
        }
        Ok(())
    }
}
