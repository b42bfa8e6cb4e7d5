//! Calls of methods that are known by their description only: bytes in, bytes out.
//!
//! They take the same way as all others. Does not know what the bytes mean.

use super::call::Call;
use super::channel::Channel;
use super::marshalled::Marshalled;
use super::reader::Reader;
use crate::error::CallError;
use crate::interface::Interface;
use crate::outcome::DecodeError;

/// The reply to a raw call: marshalled, in postcard. In-out parameters follow, if there are any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawReply {
    /// What the method returned; nothing for a `maybe` method, which was only sent.
    Returned(Vec<u8>),
    /// The method's own error.
    Failed(Vec<u8>),
}

impl RawReply {
    /// The body of a reply, taken apart.
    pub(super) fn of(body: &[u8]) -> Result<Self, DecodeError> {
        match body.split_first() {
            Some((0, value)) => Ok(Self::Returned(value.to_vec())),
            Some((1, error)) => Ok(Self::Failed(error.to_vec())),
            Some(_) | None => Err(DecodeError::NoReply),
        }
    }
}

impl Channel {
    /// Begins a call of `interface`'s method `method` with `arguments` that the caller marshalled: all
    /// of them in postcard, one behind the other. For an [`Interface::learned`] from a binder.
    ///
    /// It is a call like any other, with the semantics, the options and the errors of all. The server
    /// refuses arguments that are none of the method's before it runs.
    ///
    /// # Panics
    ///
    /// The interface has no such method.
    pub fn call_raw(
        &self,
        interface: &'static Interface,
        method: usize,
        arguments: &[u8],
    ) -> Call<Result<RawReply, CallError>> {
        Marshalled::new(self, interface, method).raw(arguments).start_with(Reader::raw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_and_an_error_are_told_apart() {
        assert_eq!(RawReply::of(&[0, 7]), Ok(RawReply::Returned(vec![7])));
        assert_eq!(RawReply::of(&[0]), Ok(RawReply::Returned(vec![])));
        assert_eq!(RawReply::of(&[1, 7, 8]), Ok(RawReply::Failed(vec![7, 8])));
        for other in [&[][..], &[2, 7]] {
            assert_eq!(RawReply::of(other), Err(DecodeError::NoReply));
        }
    }
}
