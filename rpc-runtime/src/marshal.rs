//! Marshalling: values to bytes and back, in postcard.
//!
//! Arguments are appended to the buffer that goes out, and taken one by one from the buffer that
//! came in, borrowing from it where the type can. What is left over is refused: postcard itself
//! would ignore it; so is a message that makes more of itself than it has bytes.

mod bounded;
mod shared;

use bounded::{Bounded, Budget};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
pub use shared::SharedBytes;

/// A value that can cross to another process: a result, or an application's error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot cross to another process",
    label = "not a value that can be sent",
    note = "put `#[derive(serde::Serialize, serde::Deserialize)]` on it; results own what they hold",
    note = "a `CallError` says what is known of one call and must not travel as if it were about \
            another: store a `CallReport`"
)]
pub trait Marshal: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> Marshal for T {}

/// A value that can be a parameter of a remote method; it may borrow.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a remote method",
    label = "not a value that can be sent",
    note = "put `#[derive(serde::Serialize, serde::Deserialize)]` on it; a borrowed part needs \
            `#[serde(borrow)]`"
)]
pub trait Param<'de>: Serialize + Deserialize<'de> {}

#[diagnostic::do_not_recommend]
impl<'de, T: Serialize + Deserialize<'de>> Param<'de> for T {}

/// Appends to a buffer that is used again.
struct Append<'b>(&'b mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Append<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Appends `value` to `buffer`.
///
/// # Errors
///
/// The type cannot be marshalled: an untagged or flattened enum, a sequence of unknown length.
pub(crate) fn append<T: Serialize + ?Sized>(
    buffer: &mut Vec<u8>,
    value: &T,
) -> Result<(), postcard::Error> {
    postcard::serialize_with_flavor(value, Append(buffer))
}

/// A block of bytes: the same on the wire as a sequence of `u8`, in one piece.
pub(crate) struct Block<'b>(pub(crate) &'b [u8]);

impl Serialize for Block<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// The arguments could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad;

/// The arguments of a call, taken off one by one.
#[derive(Debug)]
pub struct Args<'a> {
    rest: &'a [u8],
    budget: Budget,
}

impl<'a> Args<'a> {
    /// All arguments of a call.
    #[must_use]
    pub const fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, budget: Budget::of(bytes.len()) }
    }

    /// The next argument.
    ///
    /// # Errors
    ///
    /// The bytes are not one, or make too much of themselves.
    #[expect(clippy::should_implement_trait, reason = "each argument has a type of its own")]
    pub fn next<T: Param<'a>>(&mut self) -> Result<T, Bad> {
        self.take().map_err(|_| Bad)
    }

    /// As [`Args::next`], with what postcard says.
    pub(crate) fn take<T: Param<'a>>(&mut self) -> Result<T, postcard::Error> {
        let mut bytes = postcard::Deserializer::from_bytes(self.rest);
        let value = T::deserialize(Bounded::new(&mut bytes, &self.budget))?;
        self.rest = bytes.finalize()?;
        Ok(value)
    }

    /// The last argument.
    ///
    /// # Errors
    ///
    /// The bytes are not one, or more follow.
    pub fn last<T: Param<'a>>(&mut self) -> Result<T, Bad> {
        let value = self.next()?;
        self.end()?;
        Ok(value)
    }

    /// No argument is left.
    ///
    /// # Errors
    ///
    /// One is.
    pub const fn end(&mut self) -> Result<(), Bad> {
        if self.rest.is_empty() { Ok(()) } else { Err(Bad) }
    }

    /// How many bytes are left.
    pub(crate) const fn left_bytes(&self) -> usize {
        self.rest.len()
    }
}

#[cfg(test)]
mod tests;
