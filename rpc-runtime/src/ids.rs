//! Names of the things a call is made of: every identifier is a type of its own.
//!
//! Knows how identifiers print (short and greppable, the same in logs, traces, errors and on the
//! command line); does not know who draws them. A call prints as `s#7f3a.3.41`: session (the low
//! 16 bits), slot, sequence.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Defines a 64-bit identifier that prints as hexadecimal.
macro_rules! id64 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// The value that stands for "none" or "any" where a field is optional on the wire.
            pub const NONE: Self = Self(0);

            /// Whether this names something.
            #[must_use]
            pub const fn is_some(self) -> bool {
                self.0 != 0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:016x})"), self.0)
            }
        }
    };
}

id64! {
    /// A client process over all its lives: a restarted client keeps it only if it has a durable
    /// place for it, otherwise it draws a new one.
    ClientId
}
id64! {
    /// A server over all its lives, as registered with the binder.
    ServerId
}
id64! {
    /// One session between one incarnation of a client and one of a server. Drawn by the server,
    /// never reused.
    SessionId
}
id64! {
    /// One table of durable slots of a client at a server's store: the calls in it are named by it,
    /// over all sessions and lives of the server, until the table is deleted (protocol tables, C3).
    GenerationId
}
id64! {
    /// Names an interface's method on the wire: wire name, semantics and signature in 64 bits.
    MethodFingerprint
}

/// One life of a client or a server: a counter in the high 32 bits, random bits in the low 32.
///
/// Of two lives of one process the later has the higher incarnation. The random half tells apart
/// two lives that a restored backup gave the same count (protocol tables, M3).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// No incarnation known, or any.
    pub const NONE: Self = Self(0);

    /// The `count`th life, told apart from its clones by `salt`.
    #[must_use]
    pub const fn new(count: u32, salt: u32) -> Self {
        Self(((count as u64) << 32) | salt as u64)
    }

    /// Whether this names a life.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }

    /// The 32 bits that every PDU to this incarnation carries, so that another process at the same
    /// address does not take it for its own (protocol tables, M4).
    #[must_use]
    pub const fn tag(self) -> u32 {
        let low_half = ((self.0 >> 32) ^ self.0) & 0xffff_ffff;
        low_half as u32
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:08x}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({self})")
    }
}

/// One place of a session's slot table. A slot carries one call at a time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct SlotIndex(pub u32);

/// Numbers the calls of one slot, from 1; 0 is "no call yet".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before the first call.
    pub const ZERO: Self = Self(0);

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Which table a sequence belongs to. The three never share numbers (protocol tables, C5).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Space {
    /// The session's slots: `at_most_once` and `at_least_once`.
    #[default]
    Session,
    /// The client's durable slots: `exactly_once`.
    Durable,
    /// The session's counter of `maybe` calls, which use no slot.
    Maybe,
}

/// Names one call: unique for all time, because session ids are never reused.
///
/// Prints as `s#7f3a.3.41`. Get one from an error or a started call, and ask what became of the
/// call with the stub's `resolve`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId {
    /// The session that carried the call, [`SessionId::NONE`] if none ever did; in the durable space
    /// the number of the generation.
    pub session: SessionId,
    /// The slot space.
    pub space: Space,
    /// The slot.
    pub slot: SlotIndex,
    /// The slot's sequence number.
    pub sequence: Sequence,
}

impl CallId {
    /// A call that was never given a place in a session, hence never sent.
    pub const UNSENT: Self = Self {
        session: SessionId::NONE,
        space: Space::Session,
        slot: SlotIndex(0),
        sequence: Sequence::ZERO,
    };
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = match self.space {
            Space::Session => 's',
            Space::Durable => 'd',
            Space::Maybe => 'm',
        };
        let Self { session, slot, sequence, .. } = self;
        write!(f, "{space}#{:04x}.{}.{}", session.0 & 0xffff, slot.0, sequence.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_prints_short_and_greppable() {
        let call = CallId {
            session: SessionId(0xdead_beef_0000_7f3a),
            space: Space::Session,
            slot: SlotIndex(3),
            sequence: Sequence(41),
        };
        assert_eq!(call.to_string(), "s#7f3a.3.41");
    }

    #[test]
    fn a_later_life_is_the_higher_incarnation_whatever_its_salt() {
        assert!(Incarnation::new(2, 0) > Incarnation::new(1, u32::MAX));
        assert_ne!(Incarnation::new(1, 5).tag(), Incarnation::new(2, 5).tag());
    }
}
