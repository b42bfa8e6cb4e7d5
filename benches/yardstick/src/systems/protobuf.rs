//! The messages of the peers that speak Protocol Buffers, written by hand so that nobody needs `protoc`.

use prost::Message;

/// Nothing.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Nothing {}

/// Some bytes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bytes {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) bytes: Vec<u8>,
}

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Count {
    #[prost(uint64, tag = "1")]
    pub(crate) bytes: u64,
}

impl Bytes {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec() }
    }
}

/// What each method does.
pub(crate) mod handlers {
    use super::{Bytes, Count, Nothing};

    pub(crate) fn null(nothing: Nothing) -> Nothing {
        nothing
    }

    pub(crate) fn echo(bytes: Bytes) -> Bytes {
        bytes
    }

    pub(crate) fn sink(bytes: Bytes) -> Count {
        Count { bytes: bytes.bytes.len() as u64 }
    }

    pub(crate) fn source(count: Count) -> Bytes {
        Bytes { bytes: vec![7; count.bytes as usize] }
    }
}
