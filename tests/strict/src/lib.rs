//! A user whose lints are strict: every form of parameter and every word of the grammar, in a crate
//! that denies what a careful crate denies. Generated code must pass as if it were written by hand.

#![deny(
    missing_docs,
    warnings,
    rust_2018_idioms,
    unused_qualifications,
    unreachable_pub,
    single_use_lifetimes,
    missing_debug_implementations,
    clippy::all,
    clippy::pedantic
)]
#![forbid(unsafe_code)]

mod forms;
mod shop;
mod waits;

pub use forms::{
    FORMS_INTERFACE, Forms, FormsClient, FormsService, FormsStart, Line, Order, Plain,
};
pub use shop::{
    SHOP_INTERFACE, Shelves, Shop, ShopClient, ShopError, ShopResult, ShopService, ShopStart,
};
pub use waits::{Patient, WAITS_INTERFACE, Waits, WaitsClient, WaitsService, WaitsStart};
