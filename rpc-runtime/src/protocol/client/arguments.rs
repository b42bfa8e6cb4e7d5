//! What a call is made with: one buffer, or one and a block of bytes that is sent from where its owner keeps it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::protocol::fragment::{Message, Part};

/// The extensions and the marshalled arguments of a call.
#[derive(Clone, Debug)]
pub(crate) enum Arguments {
    /// In one piece.
    Own(Message),
    /// The last bytes are somebody else's, too.
    Lent(Box<Lent>),
}

/// Bytes that others may have, and what stands before them.
#[derive(Clone, Debug)]
pub(crate) struct Lent {
    head: Vec<u8>,
    body: Arc<Vec<u8>>,
}

impl From<Vec<u8>> for Arguments {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Own(bytes.into())
    }
}

impl Default for Arguments {
    fn default() -> Self {
        Self::Own(Message::default())
    }
}

impl Arguments {
    /// These bytes, and behind them some that stay where they are.
    pub(crate) fn lent(head: Vec<u8>, body: Arc<Vec<u8>>) -> Self {
        Self::Lent(Box::new(Lent { head, body }))
    }

    /// How many bytes there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Own(message) => message.len(),
            Self::Lent(lent) => lent.head.len() + lent.body.len(),
        }
    }

    /// Some of the bytes, which are copied only where they stand in two places.
    #[inline]
    pub(crate) fn bytes(&self, range: Range<usize>) -> Cow<'_, [u8]> {
        match self {
            Self::Own(message) => Cow::Borrowed(&message[range]),
            Self::Lent(lent) => lent.bytes(range),
        }
    }

    /// Some of the bytes, as they stand in two places.
    pub(crate) fn pieces(&self, range: Range<usize>) -> (&[u8], &[u8]) {
        match self {
            Self::Own(message) => (&[], &message[range]),
            Self::Lent(lent) => lent.pieces(range),
        }
    }

    /// Some bytes for who sends them from where they are, and which of them do not stand there: of a long
    /// message.
    pub(crate) fn part(&self, range: Range<usize>) -> Option<(&[u8], Part)> {
        match self {
            Self::Own(message) => message.part(range).map(|part| (&[][..], part)),
            Self::Lent(lent) => lent.part(range),
        }
    }

    /// Its buffer, to be used again; none while a part of it is about to leave.
    pub(crate) fn reclaim(self) -> Option<Vec<u8>> {
        match self {
            Self::Own(message) => message.reclaim(),
            Self::Lent(lent) => Some(lent.head),
        }
    }

    /// What it takes, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        match self {
            Self::Own(message) => message.capacity(),
            Self::Lent(lent) => lent.head.capacity() + lent.body.capacity(),
        }
    }
}

impl Lent {
    fn bytes(&self, range: Range<usize>) -> Cow<'_, [u8]> {
        match self.pieces(range) {
            ([], bytes) | (bytes, []) => Cow::Borrowed(bytes),
            (head, body) => Cow::Owned([head, body].concat()),
        }
    }

    fn pieces(&self, range: Range<usize>) -> (&[u8], &[u8]) {
        let (head, body) = (&self.head[..], &self.body[..]);
        let cut = |place: usize| place.saturating_sub(head.len());
        let in_head = range.start.min(head.len())..range.end.min(head.len());
        (&head[in_head], &body[cut(range.start)..cut(range.end)])
    }

    fn part(&self, range: Range<usize>) -> Option<(&[u8], Part)> {
        let cut = |place: usize| place.saturating_sub(self.head.len());
        let in_body = cut(range.start)..cut(range.end);
        let (before, _) = self.pieces(range);
        (!in_body.is_empty()).then(|| (before, Part::of(&self.body, in_body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_two_places_is_read_as_if_it_stood_in_one() {
        let whole: Vec<u8> = (0..50).collect();
        let lent = Arguments::lent(whole[..10].to_vec(), Arc::new(whole[10..].to_vec()));
        assert_eq!((lent.len(), &*lent.bytes(0..50)), (50, &whole[..]));
        for (from, to) in [(0, 0), (0, 5), (0, 10), (0, 11), (3, 50), (9, 10), (10, 11), (20, 50)] {
            let bytes = lent.bytes(from..to);
            assert_eq!(*bytes, whole[from..to]);
            let is_in_two = from < 10 && to > 10;
            assert_eq!(matches!(bytes, Cow::Owned(_)), is_in_two, "{from}..{to}");
            match lent.part(from..to) {
                Some((before, part)) => {
                    assert_eq!([before, part.bytes()].concat(), whole[from..to]);
                }
                None => assert!(to <= 10, "{from}..{to} ends in the body"),
            }
        }
        assert_eq!(lent.reclaim().as_deref(), Some(&whole[..10]));
    }

    #[test]
    fn bytes_that_are_lent_are_not_moved() {
        let body = Arc::new(vec![7; 100]);
        let lent = Arguments::lent(vec![1], Arc::clone(&body));
        let (before, part) = lent.part(0..101).expect("some of it is in the body");
        assert_eq!((before, part.bytes().as_ptr()), (&[1][..], body.as_ptr()));
        drop((lent, part));
        assert_eq!(Arc::into_inner(body).map(|bytes| bytes.len()), Some(100), "nobody keeps it");
    }
}
