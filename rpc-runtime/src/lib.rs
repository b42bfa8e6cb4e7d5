//! Remote procedure calls whose errors say whether the call ran.

// Generated code, the binder's own among it, names this crate from outside.
extern crate self as rpc_runtime;

pub mod ids;
pub mod time;
pub mod random;
pub mod address;
pub mod semantics;
pub mod error;
pub mod wire;
pub mod hash;
pub mod protocol;
pub mod fault;
pub mod driver;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "reactor")]
pub mod reactor;
pub mod interface;
mod marshal;
pub mod shape;
mod outcome;
mod service;
mod refusal;
pub mod context;
pub mod scheme;
pub mod store;
pub mod client;
pub mod server;
pub mod binder;
#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use binder::Binder;
pub use client::{Call, Channel, Options, Resolution};
pub use context::{CallContext, current};
pub use error::{
    CallError, CallReport, Error, ErrorClass, ErrorKind, Evidence, Execution, Result, ResultExt,
};
pub use ids::CallId;
pub use interface::{Interface, Method};
pub use marshal::{Marshal, Param};
pub use outcome::Outcome;
pub use rpc_macros::{rpc, service};
pub use semantics::Semantics;
pub use server::Server;
pub use service::{Done, Service, Stub};
