//! The binder: servers register by name, version, id and address; clients look them up.
//!
//! ```text
//!   rpc-binder serve            list, lookup
//!        │                          │
//!        ▼                          ▼
//!     daemon ── registry          cli ── render
//!        │      (sans-IO)           │    (pure)
//!        └────── rpc_runtime::binder: the binder's own #[service] ──┘
//! ```
//!
//! Start reading at [`registry`]. The binder's interface, and what servers and clients use of it,
//! stand in `rpc_runtime::binder`.

pub mod registry;
pub mod render;
pub mod cli;
pub mod daemon;
pub mod command;
