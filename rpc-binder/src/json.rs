//! JSON to postcard and back, by the form of a method instead of its types.
//!
//! What is written is what `serde_json` writes of the same value, and read is what it reads, but:
//!
//! | value | here | `serde_json` |
//! |---|---|---|
//! | bytes and `Vec<u8>` | text in hexadecimal, `"00ff"`; a list of numbers is read too | a list of numbers |
//! | integers beyond 2^53 | text in decimals, which is read for all integers | a number |
//! | NaN and the infinities | `"NaN"`, `"Infinity"`, `"-Infinity"` | `null` |
//! | maps whose keys are no text | a list of pairs | an object, if it can |
//! | a struct without fields | `null`; `{}` and `[]` are read too | `{}` or `[]` |
//! | types that look otherwise to people (IP addresses) | as they are sent | as text |
//!
//! `null` is the outermost `None` of options in options. A field that may be missing is an option's.
//! Everything is foreign here, the form too: values have limits in depth, number and bytes.

mod value;
mod flaw;
mod number;
mod encode;
mod decode;
mod arguments;
mod near;
#[cfg(test)]
mod tests;

pub use arguments::{Printed, arguments, printed};
pub use decode::{Decoder, Undecodable};
pub use encode::encode;
pub use flaw::Flaw;
pub use near::near;
pub use value::Json;

/// How deep values may lie in one another, as in what servers decode.
pub const DEPTH_MAX: usize = 128;
/// Longest JSON that is read or written, in bytes: a few times a message of 16 MiB.
pub const TEXT_BYTES_MAX: usize = 64 << 20;
