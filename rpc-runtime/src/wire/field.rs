//! Fields: how each type of a PDU's fixed part is read and written, little-endian, and the macro
//! that makes a PDU of a list of them.

use super::Malformed;
use crate::ids::{
    ClientId, GenerationId, Incarnation, MethodFingerprint, Sequence, ServerId, SessionId,
    SlotIndex,
};

/// A type with a fixed place on the wire.
pub(super) trait Field: Sized {
    /// Bytes it takes.
    const BYTES: usize;

    /// Splits it off the front; `name` is for the error.
    fn read<'a>(bytes: &'a [u8], name: &'static str) -> Result<(Self, &'a [u8]), Malformed>;

    /// Appends it.
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! integer_fields {
    ($($int:ty),*) => {$(
        impl Field for $int {
            const BYTES: usize = size_of::<$int>();

            fn read<'a>(bytes: &'a [u8], _: &'static str) -> Result<(Self, &'a [u8]), Malformed> {
                let truncated = Malformed::Truncated { needed: Self::BYTES, got: bytes.len() };
                let (value, rest) = bytes.split_first_chunk().ok_or(truncated)?;
                Ok((Self::from_le_bytes(*value), rest))
            }

            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
integer_fields!(u8, u16, u32, u64);

macro_rules! newtype_fields {
    ($($name:ident($int:ty)),*) => {$(
        impl Field for $name {
            const BYTES: usize = size_of::<$int>();

            fn read<'a>(bytes: &'a [u8], name: &'static str) -> Result<(Self, &'a [u8]), Malformed> {
                let (value, rest) = <$int>::read(bytes, name)?;
                Ok((Self(value), rest))
            }

            fn write(&self, out: &mut Vec<u8>) {
                self.0.write(out);
            }
        }
    )*};
}
newtype_fields!(
    GenerationId(u64),
    ClientId(u64),
    ServerId(u64),
    SessionId(u64),
    Incarnation(u64),
    MethodFingerprint(u64),
    Sequence(u64),
    SlotIndex(u32)
);

impl<const N: usize> Field for [u8; N] {
    const BYTES: usize = N;

    fn read<'a>(bytes: &'a [u8], _: &'static str) -> Result<(Self, &'a [u8]), Malformed> {
        let truncated = Malformed::Truncated { needed: N, got: bytes.len() };
        let (value, rest) = bytes.split_first_chunk().ok_or(truncated)?;
        Ok((*value, rest))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

/// Defines an enum that travels as one byte; other bytes are refused.
macro_rules! byte_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $byte:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
        }

        impl $crate::wire::field::Field for $name {
            const BYTES: usize = 1;

            fn read<'a>(
                bytes: &'a [u8],
                name: &'static str,
            ) -> Result<(Self, &'a [u8]), $crate::wire::Malformed> {
                let (byte, rest) = <u8 as $crate::wire::field::Field>::read(bytes, name)?;
                match byte {
                    $($byte => Ok((Self::$variant, rest)),)*
                    _ => Err($crate::wire::Malformed::Field { field: name }),
                }
            }

            fn write(&self, out: &mut Vec<u8>) {
                out.push(match self { $(Self::$variant => $byte,)* });
            }
        }
    };
}
pub(super) use byte_enum;

/// Defines a PDU whose body is a list of fields, in the order of the wire. A tail behind them
/// belongs to later versions and is left alone.
macro_rules! pdu {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl $name {
            /// Bytes of the body.
            pub const LEN: usize = 0 $(+ <$kind as $crate::wire::field::Field>::BYTES)*;

            pub(super) fn encode(&self, out: &mut Vec<u8>) {
                $($crate::wire::field::Field::write(&self.$field, out);)*
            }

            pub(super) fn decode(body: &[u8]) -> Result<Self, $crate::wire::Malformed> {
                let rest = body;
                $(let ($field, rest) =
                    <$kind as $crate::wire::field::Field>::read(rest, stringify!($field))?;)*
                let _later_fields = rest;
                Ok(Self { $($field),* })
            }
        }
    };
}
pub(super) use pdu;
