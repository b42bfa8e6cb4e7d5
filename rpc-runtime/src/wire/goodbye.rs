//! GOAWAY, BYE: a server is about to leave, or a session is closed.

use super::field::{byte_enum, pdu};

byte_enum! {
    /// Why new calls should go elsewhere.
    GoawayReason {
        /// The server is about to stop.
        Draining = 1,
    }
}

byte_enum! {
    /// Why a session is closed.
    ByeReason {
        /// Its owner is done with it.
        Done = 1,
        /// And will never ask for its durable calls again.
        Forget = 2,
    }
}

pdu! {
    /// GOAWAY, server to client: take new calls elsewhere.
    ///
    /// | offset | bytes | field      | unit |
    /// |-------:|------:|------------|------|
    /// |      0 |     1 | `reason`   | 1 draining |
    /// |      1 |     3 | `pad`      | 0    |
    /// |      4 |     4 | `drain_ms` | ms until the server stops |
    Goaway {
        /// Why.
        reason: GoawayReason,
        /// Zero.
        pad: [u8; 3],
        /// How long running calls are still waited for.
        drain_ms: u32,
    }
}

pdu! {
    /// BYE, both ways: the session in the header is closed.
    ///
    /// | offset | bytes | field    | unit |
    /// |-------:|------:|----------|------|
    /// |      0 |     1 | `reason` | 1 done, 2 and forget its durable slots |
    /// |      1 |     3 | `pad`    | 0    |
    Bye {
        /// Why.
        reason: ByeReason,
        /// Zero.
        pad: [u8; 3],
    }
}
