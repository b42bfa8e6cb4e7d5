//! EXTEND, OWNER, ALIVE: is this work still wanted, and by whom?
//!
//! Part of the format from the first version; a peer that has no quanta never sends EXTEND.

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
    /// |     16 |     8 | `session`            |      |
    /// |     24 |     4 | `slot`               |      |
    /// |     28 |     8 | `sequence`           |      |
    Owner {
        /// Whose call it is.
        client: ClientId,
        /// In which life it was made.
        client_incarnation: Incarnation,
        /// The session that carried it.
        session: SessionId,
        /// The slot.
        slot: SlotIndex,
        /// Its sequence.
        sequence: Sequence,
    }
}

pdu! {
    /// ALIVE, client to server: the owner lives and wants the call, or not.
    ///
    /// | offset | bytes | field                | unit |
    /// |-------:|------:|----------------------|------|
    /// |      0 |     8 | `client`             |      |
    /// |      8 |     8 | `client_incarnation` |      |
    /// |     16 |     8 | `session`            |      |
    /// |     24 |     4 | `slot`               |      |
    /// |     28 |     8 | `sequence`           |      |
    /// |     36 |     1 | `answer`             | 1 yes, 2 no |
    /// |     37 |     3 | `pad`                | 0    |
    Alive {
        /// Whose call it is.
        client: ClientId,
        /// In which life it was made.
        client_incarnation: Incarnation,
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
