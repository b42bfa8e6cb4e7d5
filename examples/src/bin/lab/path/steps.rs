//! Marks made into steps.
//!
//! A send belongs to the path until the other side's receive has returned: on two cores that may be
//! before the send has. What is between the two is the kernel's, the wire's and the wake-up's, and
//! ends with the receive call's own work, which is taken from a receive that finds its datagram
//! waiting: from outside the two are one.

use rpc_runtime::probe::{MARKS, Mark};

use super::sample::{Samples, rounded};
use super::{Step, Transport};

/// The steps between marks of one side: a name, and where it begins and ends.
const BEFORE_SEND: [(&str, Mark, Mark); 4] = [
    ("client stub: connection, buffer", Mark::Called, Mark::Prepared),
    ("marshal the arguments", Mark::Prepared, Mark::Marshalled),
    ("call record: deadline, admission, lock", Mark::Marshalled, Mark::Admitted),
    ("protocol machine, header, checksum", Mark::Admitted, Mark::Encoded),
];
const AT_SERVER: [(&str, Mark, Mark); 7] = [
    ("lock, check, decode, slot table", Mark::Arrived, Mark::Checked),
    ("begin the execution, context", Mark::Checked, Mark::Begun),
    ("dispatch to the method", Mark::Begun, Mark::Dispatched),
    ("unmarshal the arguments", Mark::Dispatched, Mark::Entered),
    ("the procedure", Mark::Entered, Mark::Left),
    ("marshal the reply", Mark::Left, Mark::ReplyMarshalled),
    ("reply: machine, header, checksum", Mark::ReplyMarshalled, Mark::ReplyEncoded),
];
const AFTER_REPLY: [(&str, Mark, Mark); 3] = [
    ("reply: lock, check, decode, machine", Mark::ReplyArrived, Mark::ReplyChecked),
    ("unmarshal the result", Mark::ReplyChecked, Mark::ReplyRead),
    ("client stub returns", Mark::ReplyRead, Mark::Returned),
];

/// A way from one side to the other: names for its three steps, and its three marks.
struct Flight {
    names: [&'static str; 3],
    marks: [Mark; 3],
}

impl Flight {
    /// When the send is over as far as the path goes: the sender may not have come to say so.
    fn sent(&self, marks: &[u64; MARKS]) -> u64 {
        let [sends, sent, arrives] = self.marks.map(|mark| marks[mark as usize]);
        if sent < sends { arrives } else { sent.min(arrives) }
    }
}

const FLIGHTS: [Flight; 2] = [
    Flight {
        names: ["send (system call)", "kernel, wire, wake-up", "receive (system call)"],
        marks: [Mark::Encoded, Mark::Sent, Mark::Arrived],
    },
    Flight {
        names: [
            "reply: send (system call)",
            "reply: kernel, wire, wake-up",
            "reply: receive (system call)",
        ],
        marks: [Mark::ReplyEncoded, Mark::ReplySent, Mark::ReplyArrived],
    },
];

/// All steps in their order. `received_ns` is what a receive takes that need not wait, `mark_ns` what
/// a mark costs.
pub(super) fn steps(
    transport: Transport,
    samples: &Samples,
    (received_ns, mark_ns): (f64, f64),
    whole_ns: f64,
) -> Vec<Step> {
    let step = |step, ns: f64| {
        let share = rounded(ns / whole_ns, 1e-4);
        Step { transport, step, ns: rounded(ns, 0.1), share }
    };
    let between = |(name, from, to): (&'static str, Mark, Mark)| {
        let ns = samples.part(|marks| marks[to as usize].saturating_sub(marks[from as usize]));
        step(name, (ns - mark_ns).max(0.0))
    };
    let flight = |flight: &Flight| {
        let [send, wait, receive] = flight.names;
        let [sends, _, arrives] = flight.marks;
        let sent = samples.part(|marks| flight.sent(marks) - marks[sends as usize]);
        let rest = samples.part(|marks| marks[arrives as usize] - flight.sent(marks));
        // Mostly one mark is on this way: where the receive returns first, the sender's is not.
        let rest = (rest - mark_ns).max(0.0);
        let received = received_ns.min(rest);
        [step(send, sent), step(wait, rest - received), step(receive, received)]
    };
    let mut steps = Vec::new();
    steps.extend(BEFORE_SEND.map(between));
    steps.extend(flight(&FLIGHTS[0]));
    steps.extend(AT_SERVER.map(between));
    steps.extend(flight(&FLIGHTS[1]));
    steps.extend(AFTER_REPLY.map(between));
    steps
}
