//! The page: what the binder knows, for people with a browser and for machines that count.
//!
//! ```text
//!   desk ──sample──► history ──► view ──► html, graph ──► frame ──► viewers
//!    │                  └─────────────► metrics ──► /metrics
//!    └──► /healthz
//! ```
//!
//! One thread of its own serves all of it. It copies what it shows a few times a second, [`SHOWN_MAX`]
//! registrations at most, and shares that among all viewers, so that their number costs the binder
//! nothing. What comes from servers and from viewers is hostile: text is escaped, and every table, wait
//! and buffer has a limit ([`guests`], [`serving`]).

mod sample;
mod history;
mod view;
mod text;
mod graph;
mod html;
mod frame;
mod metrics;
mod host;
mod guests;
mod stream;
mod studio;
mod serving;

pub use sample::SHOWN_MAX;
pub use serving::{Page, Place};
