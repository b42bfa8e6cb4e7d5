//! ACK, PING, WORKING, UNSEEN: what has arrived, and is my call alive?

use super::field::pdu;
use crate::ids::{Sequence, SlotIndex};

pdu! {
    /// ACK, both ways: fragments received, and the last reply of a slot.
    ///
    /// | offset | bytes | field        | unit |
    /// |-------:|------:|--------------|------|
    /// |      0 |     4 | `slot`       |      |
    /// |      4 |     8 | `sequence`   |      |
    /// |     12 |     2 | `cumulative` | fragments received without a gap |
    /// |     14 |     2 | `fragments`  | count of the message, as it was cut |
    /// |     16 |     8 | `bitmap`     | bit n: fragment `cumulative` + 1 + n |
    Ack {
        /// The slot.
        slot: SlotIndex,
        /// Its sequence.
        sequence: Sequence,
        /// Fragments received without a gap.
        cumulative: u16,
        /// Into how many the message was cut: another cut has other fragments.
        fragments: u16,
        /// Fragments received behind the first gap.
        bitmap: u64,
    }
}

pdu! {
    /// PING, client to server: is my call alive?
    ///
    /// | offset | bytes | field      | unit |
    /// |-------:|------:|------------|------|
    /// |      0 |     4 | `slot`     |      |
    /// |      4 |     8 | `sequence` |      |
    /// |     12 |     8 | `stamp`    | the client's, repeated in the answer |
    Ping {
        /// The slot.
        slot: SlotIndex,
        /// Its sequence.
        sequence: Sequence,
        /// Opaque to the server; the answer repeats it.
        stamp: u64,
    }
}

pdu! {
    /// WORKING, server to client: the call still executes, so stop retransmitting it.
    ///
    /// | offset | bytes | field             | unit |
    /// |-------:|------:|-------------------|------|
    /// |      0 |     4 | `slot`            |      |
    /// |      4 |     8 | `sequence`        |      |
    /// |     12 |     8 | `running`         | the sequence that the slot executes; another than `sequence`: busy |
    /// |     20 |     8 | `quantum_left_us` | us   |
    /// |     28 |     8 | `session_time_us` | us since the session opened |
    /// |     36 |     8 | `stamp`           | the PING's; 0 if unasked |
    Working {
        /// The slot.
        slot: SlotIndex,
        /// Its sequence.
        sequence: Sequence,
        /// The sequence that the slot is busy with.
        running: Sequence,
        /// What is left of the quantum.
        quantum_left_us: u64,
        /// The server's own time in this session.
        session_time_us: u64,
        /// The stamp of what this answers.
        stamp: u64,
    }
}

pdu! {
    /// UNSEEN, server to client: I never saw that call; send it again.
    ///
    /// | offset | bytes | field             | unit |
    /// |-------:|------:|-------------------|------|
    /// |      0 |     4 | `slot`            |      |
    /// |      4 |     8 | `sequence`        |      |
    /// |     12 |     8 | `last`            | the highest sequence seen in the slot |
    /// |     20 |     8 | `session_time_us` | us since the session opened |
    /// |     28 |     8 | `stamp`           | the PING's |
    Unseen {
        /// The slot.
        slot: SlotIndex,
        /// Its sequence.
        sequence: Sequence,
        /// The highest sequence that the slot has accepted.
        last: Sequence,
        /// The server's own time in this session.
        session_time_us: u64,
        /// The stamp of the PING.
        stamp: u64,
    }
}
