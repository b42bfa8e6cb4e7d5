//! Clients: channels to servers, calls under way, and who waits for what.
//!
//! ```text
//!   stub ─► Channel ─► Marshalled ─► Connection ─► Call ─► wait, or await
//!                                     │ one lock: the protocol's machine and who waits
//!                                     └ link: whoever waits receives, for all
//! ```
//!
//! A caller that waits receives the datagrams itself, so that a lone caller's reply reaches it
//! without a thread in between; the rule of who receives when is that of [`attend`]. No lock is held
//! across a system call or others' code.

#[cfg(feature = "reactor")]
pub mod failures;
pub mod journal;
mod recovery;
mod extermination;
mod options;
mod budget;
mod breaker;
mod verdict;
mod event;
mod ends;
mod connection;
mod admission;
mod waits;
mod errands;
mod kept;
mod recording;
mod attend;
mod registry;
mod whereabouts;
mod load;
mod route;
mod balance;
mod alarm;
mod hedges;
mod spare;
mod race;
mod carry;
mod helped;
mod channel;
mod cork;
mod marshalled;
mod raw;
mod reader;
mod parent;
mod call;
#[cfg(test)]
mod tests;

pub(crate) use balance::Member;
pub(crate) use ends::Ends;
pub(crate) use marshalled::left_for_nested;
pub(crate) use route::{Finder, Following, Loss, Route};
pub(crate) use whereabouts::Whereabouts;

pub use balance::Balance;
pub use call::Call;
pub use channel::{Channel, ChannelStats};
pub use cork::Cork;
pub use extermination::{Exterminated, Extermination, Fate};
pub use marshalled::Marshalled;
pub use options::Options;
pub use raw::RawReply;
pub use recovery::RecordedCall;
pub use verdict::{Reply, Resolution};
