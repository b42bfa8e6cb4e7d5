//! EXTEND, OWNER, ALIVE: is this work still wanted, and by whom?
//!
//! Each answer names its question exactly: the quantum, or the life that made the server ask.

use super::field::{byte_enum, pdu};
use crate::ids::{ClientId, Incarnation, Sequence, SessionId, SlotIndex};

byte_enum! {
    /// A question, or an answer to it.
    Answer {
        /// The question.
        Ask = 0,
        /// Yes.
        Yes = 1,
        /// No.
        No = 2,
    }
}

pdu! {
    /// EXTEND, both ways: the quantum is over, is the call still wanted?
    ///
    /// | offset | bytes | field      | unit |
    /// |-------:|------:|------------|------|
    /// |      0 |     4 | `slot`     |      |
    /// |      4 |     8 | `sequence` |      |
    /// |     12 |     4 | `quantum`  | which one, from 1 |
    /// |     16 |     1 | `answer`   | 0 ask, 1 yes, 2 no |
    /// |     17 |     3 | `pad`      | 0    |
    Extend {
        /// The slot.
        slot: SlotIndex,
        /// Its sequence.
        sequence: Sequence,
        /// The quantum that ends; an answer to another one is ignored.
        quantum: u32,
        /// Question or answer.
        answer: Answer,
        /// Zero.
        pad: [u8; 3],
    }
}

pdu! {
    /// OWNER, server to client: does the owner of this call live?
    ///
    /// | offset | bytes | field                | unit |
    /// |-------:|------:|----------------------|------|
    /// |      0 |     8 | `client`             |      |
    /// |      8 |     8 | `client_incarnation` |      |
    /// |     16 |     8 | `announced`          | the later life that made the server ask |
    /// |     24 |     8 | `session`            |      |
    /// |     32 |     4 | `slot`               |      |
    /// |     36 |     8 | `sequence`           |      |
    /// |     44 |     4 | `pad`                | 0    |
    Owner {
        /// Whose call it is.
        client: ClientId,
        /// In which life it was made.
        client_incarnation: Incarnation,
        /// The later life that made the server ask: the answer to an earlier question is another.
        announced: Incarnation,
        /// The session that carried it.
        session: SessionId,
        /// The slot.
        slot: SlotIndex,
        /// Its sequence.
        sequence: Sequence,
        /// Zero: the answer is not longer than the question.
        pad: [u8; 4],
    }
}

pdu! {
    /// ALIVE, client to server: the owner lives and wants the call, or not.
    ///
    /// | offset | bytes | field                | unit |
    /// |-------:|------:|----------------------|------|
    /// |      0 |     8 | `client`             |      |
    /// |      8 |     8 | `client_incarnation` |      |
    /// |     16 |     8 | `announced`          | as in the question |
    /// |     24 |     8 | `session`            |      |
    /// |     32 |     4 | `slot`               |      |
    /// |     36 |     8 | `sequence`           |      |
    /// |     44 |     1 | `answer`             | 1 yes, 2 no |
    /// |     45 |     3 | `pad`                | 0    |
    Alive {
        /// Whose call it is.
        client: ClientId,
        /// In which life it was made.
        client_incarnation: Incarnation,
        /// The later life that made the server ask.
        announced: Incarnation,
        /// The session that carried it.
        session: SessionId,
        /// The slot.
        slot: SlotIndex,
        /// Its sequence.
        sequence: Sequence,
        /// Whether it is still wanted.
        answer: Answer,
        /// Zero.
        pad: [u8; 3],
    }
}
