//! Marshalling: values to bytes and back, in postcard.
//!
//! Arguments are appended to the buffer that goes out, and taken one by one from the buffer that
//! came in, borrowing from it where the type can. What is left over is refused: postcard itself
//! would ignore it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

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
}

impl<'a> Args<'a> {
    /// All arguments of a call.
    #[must_use]
    pub const fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next argument.
    ///
    /// # Errors
    ///
    /// The bytes are not one.
    pub fn next<T: Deserialize<'a>>(&mut self) -> Result<T, Bad> {
        let (value, rest) = postcard::take_from_bytes(self.rest).map_err(|_| Bad)?;
        self.rest = rest;
        Ok(value)
    }

    /// The last argument.
    ///
    /// # Errors
    ///
    /// The bytes are not one, or more follow.
    pub fn last<T: Deserialize<'a>>(&mut self) -> Result<T, Bad> {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_travel_as_a_tuple_and_are_borrowed() {
        let mut bytes = Vec::new();
        append(&mut bytes, "ann").unwrap();
        append(&mut bytes, &Block(&[1, 2, 3])).unwrap();
        append(&mut bytes, &5_u64).unwrap();
        assert_eq!(bytes, postcard::to_allocvec(&("ann", vec![1_u8, 2, 3], 5_u64)).unwrap());
        let mut args = Args::of(&bytes);
        let name: &str = args.next().unwrap();
        let block: &[u8] = args.next().unwrap();
        assert_eq!((name, block, args.last()), ("ann", &[1_u8, 2, 3][..], Ok(5_u64)));
        assert!(bytes.as_ptr_range().contains(&name.as_ptr()), "borrowed, not copied");
    }

    #[test]
    fn what_is_left_over_is_refused() {
        assert_eq!(Args::of(&[1, 2]).last::<u8>(), Err(Bad));
        assert_eq!(Args::of(&[0]).end(), Err(Bad));
        assert_eq!(Args::of(&[]).next::<u8>(), Err(Bad));
    }
}
