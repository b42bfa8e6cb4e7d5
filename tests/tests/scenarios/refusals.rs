//! Refusals: only a call that never began may be refused, and what was refused stays so.

use rpc_runtime::error::Execution;
use rpc_runtime::ids::SlotIndex;
use rpc_runtime::protocol::{DoubtCause, Limits, NotSentCause, Outcome};
use rpc_runtime::sim::HostId;
use rpc_runtime::time::Duration;
use rpc_runtime::wire::{Kind, RefuseReason};
use rpc_tests::scenario::{Call, World, again, ms, once, secs, story};

/// A server that runs one call at a time.
fn narrow_server(world: &mut World) -> HostId {
    world.server_with("bank", |limits| limits.calls_running_max = 1)
}

/// Somebody else's call, which keeps a narrow server busy for so long.
fn overload(world: &mut World, bank: HostId, length: Duration) -> Call {
    let other = world.client("other", bank);
    world.handlers_take(bank, length);
    let call = world.call(other, once());
    world.run(ms(1));
    world.handlers_take(bank, ms(0));
    assert_eq!(world.executions(call), 1, "it is at work");
    call
}

/// Given a call that ran, when its duplicate arrives at an overloaded server, then the stored reply
/// comes back.
#[test]
fn dup_under_overload() {
    story(|world| {
        let bank = narrow_server(world);
        let till = world.client("till", bank);
        world.link(bank, till).drop_next(Kind::Reply);
        let call = world.call(till, once());
        world.run(ms(1));
        let other = overload(world, bank, ms(500));
        let refused = world.call(till, once());

        world.run_until_ended(call);

        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!(world.executions(call), 1);
        assert_eq!(world.requests(call).len(), 2);
        assert_eq!(world.link(bank, till).sent(Kind::Reply), 2);
        assert_eq!(world.link(bank, till).refused(), [RefuseReason::Overload], "only a new call");
        assert_eq!(world.verdict(refused), Execution::NotExecuted);
        assert!(!world.has_ended(other), "the server was overloaded all the time");
    });
}

/// Given a call that ran, when its duplicate arrives after GOAWAY, then the stored reply comes back.
#[test]
fn dup_while_draining() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.link(bank, till).drop_next(Kind::Reply);
        let call = world.call(till, once());
        world.run(ms(1));
        world.drain(bank);
        world.run(ms(1));
        let later = world.finish_call(till, once());
        assert!(!world.has_ended(call));

        world.run_until_ended(call);

        assert_eq!(world.link(bank, till).sent(Kind::Goaway), 1);
        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!(world.executions(call), 1);
        assert_eq!(world.requests(call).len(), 2);
        assert_eq!(world.outcome(later), Outcome::NotSent(NotSentCause::Draining));
        assert_eq!(world.requests(later), []);
    });
}

/// Given a call that was refused, when a late copy of it arrives with capacity free, then it is
/// refused again.
#[test]
fn refused_then_late_dup() {
    story(|world| {
        let bank = narrow_server(world);
        let till = world.client("till", bank);
        let other = overload(world, bank, ms(100));
        world.link(till, bank).double_next(Kind::Request, secs(1));
        let call = world.finish_call(till, once());
        assert_eq!(world.verdict(call), Execution::NotExecuted);
        world.run_until_ended(other);

        world.run(secs(1));

        assert_eq!(world.executions(call), 0);
        assert_eq!(world.link(bank, till).refused(), [RefuseReason::Overload; 2]);
        assert_eq!(world.server_counters(bank).duplicates_suppressed, 1);
        let next = world.finish_call(till, once());
        assert_eq!(world.outcome(next), world.returned(next, 1), "there is room");
    });
}

/// Given an `at_least_once` call that ran, when its duplicates meet overload to the end, then it
/// is in doubt, and not "not executed".
#[test]
fn alo_refused_after_run() {
    story(|world| {
        let bank = narrow_server(world);
        let till = world.client("till", bank);
        world.link(bank, till).drop_next(Kind::Reply);
        let call = world.call(till, again().within(ms(500)));
        world.run(ms(1));
        assert_eq!(world.executions(call), 1);
        let other = overload(world, bank, secs(1));

        world.run_until_ended(call);

        assert_eq!(world.outcome(call), Outcome::InDoubt(DoubtCause::NoReply));
        assert!(world.requests(call).len() > 2, "it was sent again");
        assert_eq!(world.executions(call), 1);
        assert_eq!(world.link(bank, till).refused(), []);
        assert!(!world.has_ended(other), "the server was overloaded all the time");
    });
}

/// Given a request that was an hour under way, in a session that other calls kept alive, when it
/// arrives, then it is refused as expired.
#[test]
fn hour_late_request() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let late = world.link(till, bank).hold_next(Kind::Request);
        let cancels = u64::from(Limits::default().cancel_transmissions_max);
        world.link(till, bank).drop_times(Kind::Cancel, cancels);
        let call = world.call(till, once());
        world.run(ms(1));
        world.cancel(call);
        for _ in 0..360 {
            let other = world.finish_call(till, once());
            assert_eq!(world.requests(other)[0].slot, SlotIndex(1), "a slot of their own");
            world.run(secs(10));
        }
        assert!(world.now() > secs(3_600));

        world.deliver(&late);
        world.run(ms(1));

        assert_eq!(world.link(bank, till).welcomed().len(), 1, "the session lives");
        assert_eq!(world.link(bank, till).refused(), [RefuseReason::Expired]);
        assert_eq!(world.executions(call), 0);
        assert_eq!(world.verdict(call), Execution::Unknown);
        let resolution = world.resolve(call, secs(1));
        assert_eq!(resolution.execution(), Execution::NotExecuted, "{resolution:?}");
    });
}
