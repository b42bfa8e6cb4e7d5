//! Clients that survive their own crash: journals under real channels, in the simulator and in
//! processes that are killed.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "journal/till.rs"]
mod till;
#[path = "journal/crashes.rs"]
mod crashes;
#[path = "journal/disks.rs"]
mod disks;
#[path = "journal/lives.rs"]
mod lives;
#[cfg(unix)]
#[path = "journal/processes.rs"]
mod processes;
