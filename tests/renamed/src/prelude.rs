//! Names of the standard prelude that mean something else here.

/// Not a result's value.
#[derive(::std::fmt::Debug)]
pub struct Ok;

/// Not a result's error.
#[derive(::std::fmt::Debug)]
pub struct Err;

/// Not an option's value.
#[derive(::std::fmt::Debug)]
pub struct Some;

/// Not an option's absence.
#[derive(::std::fmt::Debug)]
pub struct None;

/// Not a vector.
#[derive(::std::fmt::Debug)]
pub struct Vec;

/// Not a box.
#[derive(::std::fmt::Debug)]
pub struct Box;

/// Not a type's leave to move to another thread.
pub trait Send {}

/// Not a type's leave to be shared by threads.
pub trait Sync {}

/// Not a copy.
pub trait Clone {
    /// Not a copy.
    fn clone(&self) {}
}

/// Not a copy either.
pub trait Copy {}

/// Not a conversion.
pub trait Into {
    /// Not a conversion.
    fn into(&self) {}
}

impl<T: ?::std::marker::Sized> Clone for T {}
impl<T: ?::std::marker::Sized> Into for T {}
