//! Calls measured beside the raw transports and beside other frameworks: same payloads, same machine,
//! interleaved rounds, ratios.
//!
//! ```text
//!   cli ──► figures/{latency, throughput, bulk, scale, size, counts}
//!              │ line up        │ rounds, medians, ratios     │ rows
//!              ▼                ▼                             ▼
//!           contest ──► child (the other process)          table
//!              │
//!              ▼
//!           system: the trait ◄── systems/{raw, mio, rpc, …}: one file each
//! ```
//!
//! Start reading at [`system`]. Each server is a process of its own: this very program, started
//! again.

mod system;
mod systems;
mod os;
mod allocations;
mod child;
mod contest;
mod series;
mod table;
mod figures;
mod cli;

use std::process::ExitCode;

// Where generated code looks for itself.
#[cfg(feature = "peers")]
use systems::capnp::echo_capnp;

/// Runs what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    cli::run()
}
