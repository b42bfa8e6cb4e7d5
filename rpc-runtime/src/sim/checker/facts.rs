//! What a run reports to its judge, and what the judge says: facts, verdicts and broken invariants.
//!
//! Words only: nothing is compared here.

use std::fmt;

use serde::Serialize;

use super::{Fenced, Watched};
use crate::error::Execution;
use crate::ids::{ClientId, Incarnation, ServerId};
use crate::semantics::Semantics;
use crate::time::Instant;

/// An invariant of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Invariant {
    /// 1. At most one execution begins of a `maybe` or `at_most_once` call; of an `exactly_once` call
    ///    at most one commits, and never two are alive in one life of the server.
    AtMostOnce,
    /// 2. `NotExecuted` means no execution, a reply means an execution that returned these bytes,
    ///    `Executed` means that one began; and an execution is given the arguments that were sent.
    Truth,
    /// 3. Every call ends by its deadline plus one tick.
    Completion,
    /// 4. An `exactly_once` reply that a client saw is in the store after any crash; an effect without
    ///    its reply, or the reverse, never exists.
    Durability,
    /// 5. No orphan outlives its strategy's bound.
    Orphans,
    /// 6. Every table stays within its limit.
    Bounded,
    /// 7. With no calls outstanding nothing is sent.
    Quiet,
    /// 8. The same seed gives the same run.
    Deterministic,
    /// 9. A run without faults leaves no doubt, repeats nothing and retransmits nothing.
    NoDoubt,
    /// 10. A call is executed by the server it was bound to, or by none.
    Binding,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtMostOnce => "invariant 1 (at most once)",
            Self::Truth => "invariant 2 (truth)",
            Self::Completion => "invariant 3 (completion)",
            Self::Durability => "invariant 4 (durability)",
            Self::Orphans => "invariant 5 (orphans)",
            Self::Bounded => "invariant 6 (bounded)",
            Self::Quiet => "invariant 7 (quiet)",
            Self::Deterministic => "invariant 8 (deterministic)",
            Self::NoDoubt => "invariant 9 (no doubt from thin air)",
            Self::Binding => "invariant 10 (binding)",
        })
    }
}

/// Numbers the calls of a run, from 0, over all clients.
pub type CallNumber = u64;

/// What a client was told about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A `maybe` call was handed to the transport.
    Sent,
    /// The bytes of a reply.
    Reply(Vec<u8>),
    /// A failure with this certainty.
    Failed(Execution),
}

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A client started a call, bound to a server; [`ServerId::NONE`] where any will do.
    Started {
        /// The call.
        call: CallNumber,
        /// What the method promises.
        semantics: Semantics,
        /// When it must have ended, by the run's clock.
        deadline: Instant,
        /// The server that the client means.
        server: ServerId,
        /// The incarnation that the client means; [`Incarnation::NONE`] where any will do.
        incarnation: Incarnation,
    },
    /// A server entered the handler.
    Began {
        /// The call.
        call: CallNumber,
        /// Who executes it.
        server: ServerId,
        /// In which life.
        incarnation: Incarnation,
    },
    /// A handler returned these bytes.
    Returned {
        /// The call.
        call: CallNumber,
        /// The reply, as the client must see it.
        reply: Vec<u8>,
    },
    /// Arguments or a reply came to their end, and are not what was sent.
    Garbled {
        /// The call that they say they are of.
        call: CallNumber,
        /// Which of the two.
        what: &'static str,
    },
    /// A durable execution's effect and reply were committed.
    Committed {
        /// The call.
        call: CallNumber,
    },
    /// A durable execution has ended, committed or not.
    Stopped {
        /// The call.
        call: CallNumber,
        /// In which life of its server it ran.
        incarnation: Incarnation,
    },
    /// At the end of the run: how often a call's effect is in the store.
    Kept {
        /// The call.
        call: CallNumber,
        /// How often.
        times: u32,
    },
    /// The client was told.
    Ended {
        /// The call.
        call: CallNumber,
        /// What it was told.
        verdict: Verdict,
    },
    /// The client asked again, later, and was told. Says nothing about completion.
    Resolved {
        /// The call.
        call: CallNumber,
        /// What it was told.
        verdict: Verdict,
    },
    /// The client's process died: nobody is left to be told about its calls.
    ClientGone {
        /// The calls that were under way.
        calls: Vec<CallNumber>,
    },
    /// A later life of its client waits for a call again.
    Awaited {
        /// The call.
        call: CallNumber,
    },
    /// An execution that heeds its cancellation began, and may go on without its caller for so long.
    Watched(Watched),
    /// It ended, or its server died.
    Over {
        /// Which.
        execution: u64,
    },
    /// A later life of a client was welcomed by a server.
    Fenced(Fenced),
    /// Somebody claims to be a life of a client, and cannot prove to be there.
    Forged {
        /// Whose.
        client: ClientId,
        /// Which.
        life: Incarnation,
    },
    /// A figure of use, compared with its limit.
    Used {
        /// What is used.
        what: &'static str,
        /// How much of it.
        used: u64,
        /// The limit.
        limit: u64,
    },
    /// A host sent something although none of its calls was outstanding.
    Noise {
        /// What it sent.
        what: String,
    },
    /// A client retransmitted a request.
    Retransmitted,
}

/// A broken invariant, with what broke it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// When it showed.
    pub at: Instant,
    /// What happened, in words.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken at {}: {}", self.invariant, self.at, self.what)
    }
}
