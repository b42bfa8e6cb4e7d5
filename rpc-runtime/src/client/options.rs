//! What a caller may choose for its calls.

use crate::time::Duration;

/// How long a call may take if neither its method nor its caller says.
pub(super) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Options of the calls of one stub: `bank.with(Options::new().timeout(..))`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Options {
    pub(super) timeout: Option<Duration>,
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a call may take, whatever its method says.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}
