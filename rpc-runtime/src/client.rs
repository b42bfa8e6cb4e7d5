//! Clients: channels to servers, calls under way, and who waits for what.
//!
//! ```text
//!   stub ─► Channel ─► Marshalled ─► Connection ─► Call ─► wait, or await
//!                                     │ one lock: the protocol's machine and who waits
//!                                     └ link: whoever waits receives, for all
//! ```
//!
//! A caller that waits receives the datagrams itself (leader); others that wait meanwhile sleep
//! until their call has ended or the leader leaves (followers). So a lone caller's reply reaches it
//! without a thread in between. A background thread attends to calls that no thread waits for.
//! No lock is held across a system call. The pattern is Leader/Followers (Schmidt et al., 2000).

pub mod journal;
mod options;
mod budget;
mod breaker;
mod verdict;
mod connection;
mod admission;
mod attend;
mod registry;
mod route;
mod alarm;
mod hedges;
mod race;
mod whereabouts;
mod carry;
mod helped;
mod channel;
mod marshalled;
mod call;

pub(crate) use route::{Finder, Loss};

pub use call::Call;
pub use channel::{Channel, ChannelStats};
pub use marshalled::Marshalled;
pub use options::Options;
pub use verdict::Resolution;
