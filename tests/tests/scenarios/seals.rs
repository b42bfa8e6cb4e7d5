//! SEAL and CANCEL: what a call that was given up may still do, and what is said about it.

use rpc_runtime::error::Execution;
use rpc_runtime::ids::CallId;
use rpc_runtime::protocol::{DoubtCause, Outcome};
use rpc_runtime::wire::{Kind, Pdu, Seal, SealedVerdict};
use rpc_tests::scenario::{ms, once, secs, story};

/// Given a call that runs, when it is sealed, then the answer is WORKING, and at the end the reply.
#[test]
fn seal_running() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_take(bank, ms(200));
        world.link(till, bank).drop_next(Kind::Cancel);
        let call = world.call(till, once());
        world.run(ms(1));
        world.cancel(call);

        let resolution = world.resolve(call, secs(2));

        assert_eq!(world.outcome(call), Outcome::InDoubt(DoubtCause::Cancelled));
        assert_eq!(resolution, world.returned(call, 1));
        assert_eq!(world.executions(call), 1);
        assert!((ms(200)..ms(210)).contains(&world.now()), "at the end, {:?}", world.now());
        let (seals, working) = (world.link(till, bank).sent(Kind::Seal), world.link(bank, till));
        let answers = working.said(|_, pdu| {
            let Pdu::Working(working) = pdu else { return None };
            (working.stamp != 0).then_some(())
        });
        assert!(seals > 0);
        assert_eq!(answers.len(), seals, "each was answered");
        assert_eq!(world.link(bank, till).sealed(), []);
    });
}

/// Given a SEAL that overtakes the request, when the request arrives, then the answer is "not
/// executed", again, and the session lives.
#[test]
fn seal_before_request() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let late = world.link(till, bank).hold_next(Kind::Request);
        world.link(till, bank).drop_next(Kind::Cancel);
        let call = world.call(till, once());
        world.run(ms(1));
        world.cancel(call);
        assert_eq!(world.resolve(call, secs(1)), Outcome::Sealed);

        world.deliver(&late);
        world.run(secs(1));

        assert_eq!(world.executions(call), 0);
        assert_eq!(world.link(bank, till).sealed(), [SealedVerdict::NotExecuted; 2]);
        let next = world.finish_call(till, once());
        assert_eq!(world.outcome(next), world.returned(next, 1));
        assert_eq!(world.link(bank, till).welcomed().len(), 1, "the session lives");
    });
}

/// Given a call that ran and another that was accepted in its slot, when the first is sealed, then
/// the answer is "closed", and the first stays in doubt.
#[test]
fn seal_stale() {
    story(|world| {
        let bank = world.server_with("bank", |limits| limits.slots_max = 1);
        let till = world.client("till", bank);
        world.link(bank, till).drop_next(Kind::Reply);
        world.link(till, bank).drop_next(Kind::Cancel);
        let late = world.link(till, bank).hold_next(Kind::Seal);
        let first = world.call(till, once());
        world.run(ms(1));
        world.cancel(first);
        world.start_resolve(first, secs(5));
        let second = world.finish_call(till, once());

        world.deliver(&late);
        world.run(secs(1));

        assert_eq!(world.link(bank, till).sealed(), [SealedVerdict::Closed]);
        assert_eq!(world.executions(first), 1);
        assert_eq!(world.verdict(first), Execution::Unknown);
        assert_eq!(world.resolution(first), Some(Outcome::InDoubt(DoubtCause::Closed)));
        assert_eq!(world.resolve(first, secs(1)), Outcome::InDoubt(DoubtCause::Closed));
        assert_eq!(world.outcome(second), world.returned(second, 1));
    });
}

/// Given a call whose reply was acknowledged, when it is sealed, then the answer is "closed".
#[test]
fn seal_acked() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let call = world.finish_call(till, once());
        world.run(secs(1));
        assert_eq!(world.link(till, bank).sent(Kind::Ack), 1);
        assert_eq!(world.with_server(bank, |server| server.stored_bytes()), 0, "forgotten");

        let CallId { slot, sequence, .. } = world.requests(call)[0];
        let header = world.link(till, bank).header();
        world.forge(till, bank, &header, &Pdu::Seal(Seal { slot, sequence, stamp: 1 }));
        world.run(secs(1));

        assert_eq!(world.link(bank, till).sealed(), [SealedVerdict::Closed]);
        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!(world.executions(call), 1);
    });
}

/// Given a CANCEL that overtakes the request, when the request arrives, then it never runs.
#[test]
fn cancel_unseen() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let late = world.link(till, bank).hold_next(Kind::Request);
        let call = world.call(till, once());
        world.run(ms(1));
        world.cancel(call);
        world.run(ms(1));
        assert_eq!(world.outcome(call), Outcome::InDoubt(DoubtCause::Cancelled));

        world.deliver(&late);
        world.run(secs(1));

        assert_eq!(world.executions(call), 0);
        assert_eq!(world.link(till, bank).sent(Kind::Cancel), 1);
        assert_eq!(world.link(till, bank).sent(Kind::Seal), 0);
        assert_eq!(world.link(bank, till).sealed(), [SealedVerdict::NotExecuted; 2]);
        assert_eq!(world.resolve(call, secs(1)), Outcome::Sealed);
    });
}
