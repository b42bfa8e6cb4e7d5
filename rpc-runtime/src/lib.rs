//! Remote procedure calls whose errors say whether the call ran.

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
pub mod context;

pub use context::{CallContext, current};
pub use error::{
    CallError, CallReport, Error, ErrorClass, ErrorKind, Evidence, Execution, Result, ResultExt,
};
pub use semantics::Semantics;
