//! The binder: servers register by name, version, id and address; clients look them up.
//!
//! ```text
//!   rpc-binder serve            list, lookup      describe, call
//!        │                          │                  │
//!        ▼                          ▼                  ▼
//!     daemon ── desk ── registry  cli ── render      find ── json
//!        │      │  │   (sans-IO)    │    (pure)        │     (pure)
//!     access  store  page       watch, top            │
//!        └────── rpc_runtime::binder: the binder's own #[service] ──┘
//! ```
//!
//! Start reading at [`registry`], or for calls without types at [`json`]. The binder's interface, and what servers and clients use of it,
//! stand in `rpc_runtime::binder`.

pub mod json;
pub mod registry;
pub mod access;
pub mod store;
pub mod desk;
mod poll;
mod front;
pub mod page;
pub mod render;
pub mod cli;
pub mod daemon;
mod find;
mod describe;
mod call;
mod interrupt;
mod watch;
mod top;
mod keys;
pub mod command;
#[cfg(test)]
mod samples;
