//! CANCEL, SEAL, SEALED, NOSESSION: a call is called off, or nobody knows it.

use super::field::{byte_enum, pdu};
use crate::ids::{Sequence, ServerId, SlotIndex};

pdu! {
    /// CANCEL, client to server: stop this call, or never begin it.
    ///
    /// | offset | bytes | field      | unit |
    /// |-------:|------:|------------|------|
    /// |      0 |     4 | `slot`     |      |
    /// |      4 |     8 | `sequence` |      |
    /// |     12 |     8 | `stamp`    | the client's, repeated in the answer |
    Cancel {
        /// The slot.
        slot: SlotIndex,
        /// Its sequence.
        sequence: Sequence,
        /// Opaque to the server; the answer repeats it.
        stamp: u64,
    }
}

pdu! {
    /// SEAL, client to server: answer this call, or promise never to run it.
    ///
    /// | offset | bytes | field      | unit |
    /// |-------:|------:|------------|------|
    /// |      0 |     4 | `slot`     |      |
    /// |      4 |     8 | `sequence` |      |
    /// |     12 |     8 | `stamp`    | the client's, repeated in the answer |
    Seal {
        /// The slot.
        slot: SlotIndex,
        /// Its sequence.
        sequence: Sequence,
        /// Opaque to the server; the answer repeats it.
        stamp: u64,
    }
}

byte_enum! {
    /// What a sealed call's history is.
    SealedVerdict {
        /// It did not run and never will.
        NotExecuted = 0,
        /// It will never begin; whether it ran is not known any more.
        Closed = 1,
    }
}

pdu! {
    /// SEALED, server to client: the call will never begin from now on.
    ///
    /// | offset | bytes | field      | unit |
    /// |-------:|------:|------------|------|
    /// |      0 |     4 | `slot`     |      |
    /// |      4 |     8 | `sequence` |      |
    /// |     12 |     1 | `verdict`  | 0 not executed, 1 closed: may have run |
    /// |     13 |     3 | `pad`      | 0    |
    /// |     16 |     8 | `stamp`    | of what this answers |
    Sealed {
        /// The slot.
        slot: SlotIndex,
        /// Its sequence.
        sequence: Sequence,
        /// Whether it ran before.
        verdict: SealedVerdict,
        /// Zero.
        pad: [u8; 3],
        /// The stamp of what this answers.
        stamp: u64,
    }
}

pdu! {
    /// NOSESSION, server to client: I know no session of the number in the header.
    ///
    /// Never longer than what it answers. It proves only that the call will never begin here.
    ///
    /// | offset | bytes | field      | unit |
    /// |-------:|------:|------------|------|
    /// |      0 |     8 | `server`   |      |
    /// |      8 |     4 | `slot`     |      |
    /// |     12 |     8 | `sequence` |      |
    NoSession {
        /// Who answers.
        server: ServerId,
        /// The slot that was named.
        slot: SlotIndex,
        /// The sequence that was named.
        sequence: Sequence,
    }
}

const _: () = assert!(NoSession::LEN <= Seal::LEN && NoSession::LEN <= Cancel::LEN);
const _: () = assert!(NoSession::LEN <= super::Ping::LEN && NoSession::LEN <= super::Request::LEN);
