//! The bytes of a message, and the parts of it that are about to leave.
//!
//! A stream takes a fragment from where it lies: what is sent is its head and a [`Part`] of the message,
//! which nobody copies. So a long message is shared, and whoever still sends a part of it holds on to it.

use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::wire::{self, FRAME_BYTES_MAX};

/// The bytes of a message.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// One that fits a frame.
    Short(Vec<u8>),
    /// A longer one: parts of it may be about to leave.
    Long(Arc<Vec<u8>>),
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.len() <= FRAME_BYTES_MAX {
            Self::Short(bytes)
        } else {
            Self::Long(Arc::new(bytes))
        }
    }
}

impl Default for Message {
    fn default() -> Self {
        Self::Short(Vec::new())
    }
}

impl Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Short(bytes) => bytes,
            Self::Long(bytes) => bytes,
        }
    }
}

impl Message {
    /// What it takes, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        match self {
            Self::Short(bytes) => bytes.capacity(),
            Self::Long(bytes) => bytes.capacity(),
        }
    }

    /// Some bytes of it, for who sends them from where they are: of a long message.
    pub(crate) fn part(&self, range: Range<usize>) -> Option<Part> {
        match self {
            Self::Short(_) => None,
            Self::Long(bytes) => Some(Part::of(bytes, range)),
        }
    }

    /// Its buffer, to be used again; none while a part of it is about to leave.
    pub(crate) fn reclaim(self) -> Option<Vec<u8>> {
        match self {
            Self::Short(bytes) => Some(bytes),
            Self::Long(bytes) => Arc::into_inner(bytes),
        }
    }
}

/// Some bytes of a message, which stand behind a PDU's head.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    of: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Part {
    /// Some of these bytes.
    pub(crate) fn of(bytes: &Arc<Vec<u8>>, range: Range<usize>) -> Self {
        Self { of: Arc::clone(bytes), range }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.of.get(self.range.clone()).unwrap_or_default()
    }

    /// Puts them behind their head: the PDU is whole.
    pub(crate) fn join(&self, head: &mut Vec<u8>) {
        wire::seal(head, self.bytes());
        head.extend_from_slice(self.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_no_part_of_it_is_about_to_leave() {
        assert!(Message::from(vec![7; FRAME_BYTES_MAX]).part(10..20).is_none());
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(FRAME_BYTES_MAX + 1).collect();
        let at = bytes.as_ptr();
        let message = Message::from(bytes);
        let part = message.part(10..20).expect("it is long");
        assert_eq!((part.bytes(), message.len()), (&message[10..20], FRAME_BYTES_MAX + 1));
        assert!(message.clone().reclaim().is_none());
        drop(part);
        let buffer = message.reclaim().expect("nobody else has it");
        assert_eq!((buffer.as_ptr(), buffer.len()), (at, FRAME_BYTES_MAX + 1));
    }
}
