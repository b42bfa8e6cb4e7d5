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
    fn write(&self, out: &mut impl Out);
}

/// Where fields are written.
pub(super) trait Out {
    /// Appends bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl Out for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The fixed part of a PDU, which is put together here and appended at once: a field of its own is
/// written in one instruction then.
pub(super) struct Fixed<const LEN: usize> {
    bytes: [u8; LEN],
    written: usize,
}

impl<const LEN: usize> Fixed<LEN> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; LEN], written: 0 }
    }

    /// Appends it to `out`.
    #[inline]
    pub(super) fn end(self, out: &mut Vec<u8>) {
        debug_assert_eq!(self.written, LEN, "a fixed part is written whole");
        out.extend_from_slice(&self.bytes);
    }
}

impl<const LEN: usize> Out for Fixed<LEN> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let (_, rest) = self.bytes.split_at_mut(self.written);
        let (place, _) = rest.split_at_mut(bytes.len());
        place.copy_from_slice(bytes);
        self.written = self.written.saturating_add(bytes.len());
    }
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

            #[inline]
            fn write(&self, out: &mut impl Out) {
                out.put(&self.to_le_bytes());
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

            #[inline]
            fn write(&self, out: &mut impl Out) {
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

    fn write(&self, out: &mut impl Out) {
        out.put(self);
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

            fn write(&self, out: &mut impl $crate::wire::field::Out) {
                out.put(&[match self { $(Self::$variant => $byte,)* }]);
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
                let mut fixed = $crate::wire::field::Fixed::<{ $name::LEN }>::new();
                $($crate::wire::field::Field::write(&self.$field, &mut fixed);)*
                fixed.end(out);
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
