//! A user whose names collide with everything: another edition, no prelude, `rpc-runtime` under
//! another name, modules called `core` and `std`, traits and types named as those of the prelude,
//! parameters and methods named as generated code might name its own.

#![no_implicit_prelude]

pub mod core;
pub mod std;
pub mod prelude;

mod names;

pub use names::{
    Everything, MyNames, NAMES_INTERFACE, Names, NamesClient, NamesService, NamesStart,
};

/// A trait beside modules that look like those of the standard library.
#[::wire_calls::service(crate = "::wire_calls")]
pub trait Core {
    /// What the module beside says.
    fn version(&self) -> ::std::result::Result<u32, ::wire_calls::CallError>;
}

/// Answers with what the modules beside hold.
#[derive(::std::fmt::Debug)]
pub struct MyCore;

impl Core for MyCore {
    fn version(&self) -> ::std::result::Result<u32, ::wire_calls::CallError> {
        ::std::result::Result::Ok(core::result::VERSION + std::sync::VERSION)
    }
}
