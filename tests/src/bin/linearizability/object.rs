//! What is served: a register and a counter, as a specification for the tester and as a handler for
//! the simulator. Both run the same few lines, so what differs can only be when and how often.

use std::sync::{Arc, Mutex, PoisonError};

use rpc_runtime::protocol::{Execute, HandlerEnd};
use rpc_runtime::random::Rng;
use rpc_runtime::sim::nodes::{Behaviour, Work};
use rpc_runtime::time::{Duration, Instant};
use stateright::semantics::SequentialSpec;

/// One of the two, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// Keeps what was written last.
    Register(u64),
    /// Adds up.
    Counter(u64),
}

/// What a client may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// The value.
    Read,
    /// A register takes this value. No two writes of a history are alike.
    Write(u64),
    /// A counter grows by this much, and says what it is then. In a history these are different
    /// powers of three, so that every value says which calls it comes from, and how often each.
    Add(u64),
}

/// What it is told: the value, or nothing but that it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ret {
    Value(u64),
    Written,
}

impl SequentialSpec for Object {
    type Op = Op;
    type Ret = Ret;

    fn invoke(&mut self, op: &Op) -> Ret {
        match (self, *op) {
            (Self::Register(value) | Self::Counter(value), Op::Read) => Ret::Value(*value),
            (Self::Register(value), Op::Write(new)) => {
                *value = new;
                Ret::Written
            }
            (Self::Counter(value), Op::Add(more)) => {
                *value += more;
                Ret::Value(*value)
            }
            (Self::Register(_), Op::Add(_)) | (Self::Counter(_), Op::Write(_)) => {
                unreachable!("nobody asks that of this object")
            }
        }
    }
}

impl Op {
    /// As the arguments of a call.
    pub(crate) fn encode(self) -> Vec<u8> {
        let (tag, value) = match self {
            Self::Read => (0_u8, 0_u64),
            Self::Write(value) => (1, value),
            Self::Add(value) => (2, value),
        };
        [&[tag], value.to_le_bytes().as_slice()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, value) = bytes.split_first()?;
        let value = u64::from_le_bytes(*value.first_chunk()?);
        match tag {
            0 => Some(Self::Read),
            1 => Some(Self::Write(value)),
            2 => Some(Self::Add(value)),
            _ => None,
        }
    }
}

impl Ret {
    fn encode(self) -> Vec<u8> {
        match self {
            Self::Value(value) => [&[0], value.to_le_bytes().as_slice()].concat(),
            Self::Written => vec![1],
        }
    }

    /// From the body of a reply.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (0, value) => Some(Self::Value(u64::from_le_bytes(*value.first_chunk()?))),
            (1, _) => Some(Self::Written),
            _ => None,
        }
    }
}

/// The object's value on the server's disk: it survives crashes.
pub(crate) type Disk = Arc<Mutex<Object>>;

/// Handlers over the disk, most of them quick.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) disk: Disk,
    pub(crate) rng: Box<dyn Rng>,
}

impl Behaviour for Service {
    /// The effect is on the disk when the handler begins; how long it takes then is how late the
    /// reply is.
    fn execute(&mut self, _now: Instant, execute: &Execute, reply: &mut Vec<u8>) -> Work {
        const NUMBER_BYTES: usize = size_of::<u64>();
        let op = execute.arguments.get(NUMBER_BYTES..).and_then(Op::decode);
        let end = match op {
            Some(op) => {
                let mut object = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
                reply.extend_from_slice(&object.invoke(&op).encode());
                HandlerEnd::Returned
            }
            None => HandlerEnd::BadArguments,
        };
        let slow = self.rng.chance(0.3);
        let takes =
            if slow { Duration::from_micros(self.rng.below(80_000)) } else { Duration::ZERO };
        Work { takes, end, heeds_cancel: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_survive_the_wire() {
        for op in [Op::Read, Op::Write(7), Op::Add(u64::MAX)] {
            assert_eq!(Op::decode(&op.encode()), Some(op));
        }
        for ret in [Ret::Value(9), Ret::Written] {
            assert_eq!(Ret::decode(&ret.encode()), Some(ret));
        }
    }
}
