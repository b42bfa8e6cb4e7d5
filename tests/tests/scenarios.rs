//! The named scenarios of the protocol, as stories: given, when, then. Each is the regression test
//! of a rule without which the contract breaks; docs/protocol.md has the tables they walk through.
//!
//! A failed story shows its last events and the line that tells it again.

#[path = "scenarios/slots.rs"]
mod slots;
#[path = "scenarios/seals.rs"]
mod seals;
#[path = "scenarios/sessions.rs"]
mod sessions;
#[path = "scenarios/refusals.rs"]
mod refusals;
#[path = "scenarios/restarts.rs"]
mod restarts;
#[path = "scenarios/orphans.rs"]
mod orphans;
#[path = "scenarios/quanta.rs"]
mod quanta;
#[path = "scenarios/limits.rs"]
mod limits;
#[path = "scenarios/network.rs"]
mod network;
#[path = "scenarios/sizes.rs"]
mod sizes;
#[path = "scenarios/durable.rs"]
mod durable;
#[path = "scenarios/generations.rs"]
mod generations;
#[path = "scenarios/journals.rs"]
mod journals;
