//! Results on their way back: what a remote method may return, and how a reply's body looks.
//!
//! Body of a reply with status Returned: one byte, 0 for the value or 1 for the method's own error;
//! then that; then the in-out parameters, if there are any.

use std::fmt;

use serde::Serialize;

use crate::error::{CallError, Error};
use crate::marshal::{self, Args, Marshal};

/// What a remote method may return: `rpc_runtime::Result<T, E>`, or `Result<T, CallError>`.
#[diagnostic::on_unimplemented(
    message = "a remote method cannot return `{Self}`",
    label = "a remote call can fail, and its type must say so",
    note = "return `rpc_runtime::Result<T, YourError>` if the method has an error of its own",
    note = "return `Result<T, rpc_runtime::CallError>` if it has none",
    note = "mark it #[rpc(maybe)] and return nothing if nobody waits for it"
)]
pub trait Outcome: Sized + Send + 'static {
    /// The value.
    type Value: Marshal;
    /// The method's own error.
    type App: Marshal;

    /// Takes it apart.
    ///
    /// # Errors
    ///
    /// The failure of the call.
    fn into_parts(self) -> Result<Result<Self::Value, Self::App>, CallError>;

    /// Puts it together.
    fn from_parts(parts: Result<Result<Self::Value, Self::App>, CallError>) -> Self;
}

impl<T: Marshal, E: Marshal> Outcome for crate::error::Result<T, E> {
    type Value = T;
    type App = E;

    fn into_parts(self) -> Result<Result<T, E>, CallError> {
        match self {
            Ok(value) => Ok(Ok(value)),
            Err(Error::App(error)) => Ok(Err(error)),
            Err(Error::Call(error)) => Err(error),
        }
    }

    fn from_parts(parts: Result<Result<T, E>, CallError>) -> Self {
        match parts {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Error::App(error)),
            Err(error) => Err(Error::Call(error)),
        }
    }
}

/// A method without an error of its own: no value of this type exists.
#[derive(Clone, Copy, Debug, Serialize, serde::Deserialize)]
pub enum Never {}

impl<T: Marshal> Outcome for Result<T, CallError> {
    type Value = T;
    type App = Never;

    fn into_parts(self) -> Result<Result<T, Never>, CallError> {
        self.map(Ok)
    }

    fn from_parts(parts: Result<Result<T, Never>, CallError>) -> Self {
        parts.map(|value| match value {
            Ok(value) => value,
            Err(never) => match never {},
        })
    }
}

/// Appends the body of a reply.
///
/// # Errors
///
/// A type in it cannot be marshalled.
pub(crate) fn append_reply<T: Serialize, E: Serialize, X: Serialize>(
    body: &mut Vec<u8>,
    returned: &Result<T, E>,
    in_outs: Option<&X>,
) -> Result<(), postcard::Error> {
    match returned {
        Ok(value) => {
            body.push(0);
            marshal::append(body, value)?;
        }
        Err(error) => {
            body.push(1);
            marshal::append(body, error)?;
        }
    }
    in_outs.map_or(Ok(()), |in_outs| marshal::append(body, in_outs))
}

/// Why the body of a reply could not be decoded: the source of an error of the kind
/// [`ReplyUndecodable`](crate::ErrorKind::ReplyUndecodable).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body is none of a reply.
    NoReply,
    /// The bytes are not what the method returns.
    Wrong(postcard::Error),
    /// So many bytes are left over.
    LeftOver(usize),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoReply => f.write_str("it is no reply"),
            Self::Wrong(error) => write!(f, "it is not what the method returns ({error})"),
            Self::LeftOver(bytes) => {
                write!(f, "it is not what the method returns ({bytes} bytes are left over)")
            }
        }
    }
}

impl std::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Wrong(error) => Some(error),
            Self::NoReply | Self::LeftOver(_) => None,
        }
    }
}

/// What a reply's body says, with the in-out parameters if `X` is theirs.
///
/// # Errors
///
/// It is not the body of such a reply.
#[expect(clippy::type_complexity, reason = "a result inside a result is what a reply is")]
pub(crate) fn decode_reply<R: Outcome, X: Marshal>(
    body: &[u8],
) -> Result<(Result<R::Value, R::App>, X), DecodeError> {
    let (&kind, rest) = body.split_first().ok_or(DecodeError::NoReply)?;
    let mut args = Args::of(rest);
    let returned = match kind {
        0 => Ok(args.take().map_err(DecodeError::Wrong)?),
        1 => Err(args.take().map_err(DecodeError::Wrong)?),
        _ => return Err(DecodeError::NoReply),
    };
    let in_outs = args.take().map_err(DecodeError::Wrong)?;
    match args.left_bytes() {
        0 => Ok((returned, in_outs)),
        bytes => Err(DecodeError::LeftOver(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type R = crate::error::Result<u32, String>;

    #[test]
    fn values_errors_and_in_outs_come_back() {
        let mut body = Vec::new();
        append_reply::<u32, String, _>(&mut body, &Ok(7), Some(&(vec![1_u8],))).unwrap();
        assert_eq!(decode_reply::<R, (Vec<u8>,)>(&body), Ok((Ok(7), (vec![1],))));
        let mut body = Vec::new();
        append_reply::<u32, String, ()>(&mut body, &Err("no".to_owned()), None).unwrap();
        assert_eq!(decode_reply::<R, ()>(&body), Ok((Err("no".to_owned()), ())));
    }

    #[test]
    fn other_bodies_are_undecodable() {
        let wrong = DecodeError::Wrong(postcard::Error::DeserializeUnexpectedEnd);
        for (body, why) in [
            (&[][..], DecodeError::NoReply),
            (&[2, 0], DecodeError::NoReply),
            (&[0], wrong),
            (&[0, 7, 0], DecodeError::LeftOver(1)),
        ] {
            assert_eq!(decode_reply::<R, ()>(body), Err(why), "{body:?}");
        }
    }
}
