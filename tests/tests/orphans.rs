//! Orphans of a chain of services: what becomes of the work when the client that wanted it is gone.
//!
//! The same three links stand in the simulator, with blocking user code, and in three processes of
//! their own over UDP, whose first client is killed.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "orphans/chain.rs"]
mod chain;
#[path = "orphans/exterminated.rs"]
mod exterminated;
#[path = "orphans/lives.rs"]
mod lives;
#[path = "orphans/nested.rs"]
mod nested;
#[path = "orphans/processes.rs"]
mod processes;
#[path = "orphans/settings.rs"]
mod settings;
#[path = "orphans/simulated.rs"]
mod simulated;
