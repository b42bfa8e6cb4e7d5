//! Slots: what their sequences, acknowledgements and second uses may not do to a call.

use rpc_runtime::ids::CallId;
use rpc_runtime::protocol::{DoubtCause, Outcome};
use rpc_runtime::wire::{Kind, Pdu, Working};
use rpc_tests::scenario::{maybe, ms, once, secs, story};

/// Given a call that was lost and given up, when the slot is used again, then the second call runs,
/// the session lives, and the first, arriving late, never runs.
#[test]
fn lost_request_reuse() {
    story(|world| {
        let bank = world.server_with("bank", |limits| limits.slots_max = 1);
        let till = world.client("till", bank);
        let late = world.link(till, bank).hold_next(Kind::Request);
        world.link(till, bank).drop_next(Kind::Cancel);
        let first = world.call(till, once());
        world.run(ms(1));
        world.cancel(first);
        world.run(ms(1));
        assert_eq!(world.outcome(first), Outcome::InDoubt(DoubtCause::Cancelled));

        let second = world.finish_call(till, once());
        world.deliver(&late);
        world.run(secs(1));
        let third = world.finish_call(till, once());

        assert_eq!(world.executions(first), 0);
        assert_eq!(world.outcome(second), world.returned(second, 1));
        assert_eq!(world.outcome(third), world.returned(third, 1));
        assert_eq!(world.link(bank, till).welcomed().len(), 1, "the session lives");
        let sequences: Vec<_> = world.link(till, bank).requests();
        assert!(sequences.iter().all(|id| id.slot.0 == 0), "one slot: {sequences:?}");
    });
}

/// Given a call whose reply was acknowledged and another in its slot whose reply was lost, when the
/// acknowledgement arrives late, then the second reply is still there.
#[test]
fn ack_late() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let late = world.link(till, bank).hold_next(Kind::Ack);
        let first = world.finish_call(till, once());
        world.run(secs(1));
        world.link(bank, till).drop_next(Kind::Reply);
        let second = world.call(till, once());
        world.run(ms(1));
        assert_eq!(world.executions(second), 1);

        world.deliver(&late);
        world.run_until_ended(second);

        assert_eq!(world.outcome(first), world.returned(first, 1));
        assert_eq!(world.outcome(second), world.returned(second, 1));
        assert_eq!(world.executions(second), 1);
        assert_eq!(world.requests(second).len(), 2);
        assert_eq!(world.requests(second)[0].slot, world.requests(first)[0].slot);
        assert_eq!(world.link(bank, till).sent(Kind::Reply), 3);
    });
}

/// Given a call that runs, when another arrives in its slot, then the answer is "busy", the first
/// is told to stop, and the second runs later, once.
#[test]
fn busy_slot() {
    story(|world| {
        let bank = world.server_with("bank", |limits| limits.slots_max = 1);
        let till = world.client("till", bank);
        world.handlers_take(bank, secs(60));
        world.link(till, bank).drop_next(Kind::Cancel);
        let first = world.call(till, once());
        world.run(ms(1));
        world.cancel(first);
        world.handlers_take(bank, ms(0));

        let second = world.finish_call(till, once());

        assert_eq!(world.outcome(first), Outcome::InDoubt(DoubtCause::Cancelled));
        assert_eq!(world.executions(first), 1);
        assert_eq!(world.outcome(second), world.returned(second, 1));
        assert_eq!(world.executions(second), 1);
        assert!(world.requests(second).len() > 1, "it was told to ask again");
        assert_eq!(world.server_counters(bank).cancelled, 1);
        let busy = world.link(bank, till).said(|_, pdu| {
            let Pdu::Working(working) = pdu else { return None };
            (working.running != working.sequence).then_some(working.running.0)
        });
        assert_eq!(busy, [1], "busy with the first");
        assert!(world.now() < secs(1), "nobody waited for the first to finish");
    });
}

/// Given a call that was lost entirely, when the client probes it (somebody made it believe that
/// the call is at work), then it learns that nobody saw it, and sends it again.
#[test]
fn ping_unseen() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.link(till, bank).drop_next(Kind::Request);
        let call = world.call(till, once());
        world.run(ms(1));
        let CallId { slot, sequence, .. } = world.requests(call)[0];
        let working = Working {
            slot,
            sequence,
            running: sequence,
            quantum_left_us: 0,
            session_time_us: 0,
            stamp: 0,
        };
        let header = world.link(bank, till).header();
        world.forge(bank, till, &header, &Pdu::Working(working));

        world.run_until_ended(call);

        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!(world.executions(call), 1);
        assert_eq!(world.link(till, bank).sent(Kind::Ping), 1);
        assert_eq!(world.link(bank, till).sent(Kind::Unseen), 1);
        assert_eq!(world.requests(call).len(), 2);
    });
}

/// Given a `maybe` call that the network delivers three times, and once more when many others have
/// passed, when its executions are counted, then there is one at most.
#[test]
fn maybe_duplicated() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let call = world.finish_call(till, maybe());
        let copy = world.link(till, bank).copy_last(Kind::Request);
        world.deliver(&copy);
        world.run(ms(1));
        world.deliver(&copy);
        world.run(ms(1));
        assert_eq!(world.executions(call), 1);
        assert_eq!(world.server_counters(bank).maybe_dropped, 2);

        let others: Vec<_> = (0..100).map(|_| world.finish_call(till, maybe())).collect();
        world.deliver(&copy);
        world.run(ms(1));

        assert_eq!(world.outcome(call), Outcome::Sent);
        assert_eq!(world.executions(call), 1);
        assert_eq!(world.server_counters(bank).maybe_dropped, 3);
        assert!(others.iter().all(|&other| world.executions(other) == 1));
    });
}
