//! Clients that survive their own crash: journals under real channels, in the simulator and in
//! processes that are killed.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::print_stdout, reason = "a process that is killed says what it was told")]
#![expect(clippy::wildcard_enum_match_arm, reason = "what was not expected fails the test")]

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
