//! What a caller may choose for its calls.

use super::admission::Heed;
use crate::protocol::AckProtocol;
use crate::time::Duration;

/// How long a call may take if neither its method nor its caller says.
pub(super) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Options of the calls of one stub: `bank.with(Options::new().timeout(..))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Options {
    pub(super) timeout: Option<Duration>,
    pub(super) retry: bool,
    pub(super) circuit_breaker: bool,
    pub(super) journal_all: bool,
    pub(super) ack: Option<AckProtocol>,
}

impl Default for Options {
    fn default() -> Self {
        Self { timeout: None, retry: true, circuit_breaker: true, journal_all: false, ack: None }
    }
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

    /// Whether a call that certainly did not run is made again by itself, as the default is: after
    /// a refusal for want of room, by a server that is about to leave, or of a stale binding. It
    /// stays within the call's time, waits as long as the server asks, and within a budget of a
    /// tenth of all calls to one server, so that retries cannot melt it. A call that may have run
    /// is never made again by itself, unless its method is `at_least_once`. Without it no call is
    /// hedged either.
    pub const fn retry(mut self, retry: bool) -> Self {
        self.retry = retry;
        self
    }

    /// Whether a server that keeps failing is left alone, as the default is: after five calls in a
    /// row that it did not answer, for a second or more, or that it refused for want of room, for
    /// five seconds or more. Calls then go to another server if the channel knows one, and else
    /// fail at once as [`ErrorKind::LeftAlone`](crate::ErrorKind::LeftAlone), which says when the
    /// server is asked again: by one call, after half a second at first and ten in the end. Any
    /// success ends it. Calls that were handed over are not touched.
    pub const fn circuit_breaker(mut self, circuit_breaker: bool) -> Self {
        self.circuit_breaker = circuit_breaker;
        self
    }

    /// How the fragments of large arguments are acknowledged, whatever the method says: those beyond
    /// one datagram (about 1 KiB). The server chooses for replies.
    pub const fn ack(mut self, protocol: AckProtocol) -> Self {
        self.ack = Some(protocol);
        self
    }

    pub(super) const fn heed(self) -> Heed {
        if self.circuit_breaker { Heed::Breaker } else { Heed::Nothing }
    }

    /// Whether a channel with a journal records `at_most_once` calls, too: before each is sent, and
    /// what became of it. That costs two writes a call, and lets a later life of the client kill, or
    /// ask about, what this one leaves ([`Channel::exterminate`](super::Channel::exterminate)). Calls
    /// of methods with `orphan = "exterminate"` are recorded without it.
    pub const fn journal_all(mut self, journal_all: bool) -> Self {
        self.journal_all = journal_all;
        self
    }
}
