//! Lives: what an earlier life of a client or a server, or a stranger in its place, may not do.

use rpc_runtime::error::Execution;
use rpc_runtime::ids::Incarnation;
use rpc_runtime::protocol::{DoubtCause, Outcome};
use rpc_runtime::wire::{Kind, RejectReason};
use rpc_tests::scenario::{ms, once, secs, story};

/// Given a client that restarted, when the WELCOME of its former life arrives, then it is ignored.
#[test]
fn welcome_of_former_life() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let late = world.link(bank, till).hold_next(Kind::Welcome);
        world.call(till, once());
        world.run(ms(1));
        world.crash(till);
        world.restart_client(till);
        let call = world.call(till, once());

        world.deliver(&late);
        world.run_until_ended(call);

        let sessions = world.link(bank, till).welcomed();
        assert_eq!(sessions.len(), 2);
        assert_eq!(world.client_counters(till).foreign, 1, "the late WELCOME");
        assert_eq!(world.requests(call).len(), 1);
        assert_eq!(world.requests(call)[0].session, sessions[1]);
        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!(world.client_counters(till).sessions_opened, 1);
    });
}

/// Given another server at the address, when a HELLO or a REQUEST for the first one arrives, then
/// it is refused, and nothing runs.
#[test]
fn other_server_same_address() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.link(till, bank).drop_next(Kind::Request);
        let under_way = world.call(till, once());
        world.run(ms(1));
        world.crash(bank);
        world.replace_server(bank);

        world.run_until_ended(under_way);
        let new = world.finish_call(till, once());

        assert_eq!(world.link(bank, till).sent(Kind::NoSession), 1, "to the REQUEST");
        assert_eq!(world.link(bank, till).rejected(), [RejectReason::StaleBinding; 2]);
        assert_eq!(world.link(bank, till).welcomed().len(), 1, "by the first server");
        assert_eq!(world.outcome(under_way), Outcome::InDoubt(DoubtCause::ServerRestarted));
        assert_eq!(world.verdict(new), Execution::NotExecuted);
        assert_eq!(world.requests(new), []);
        assert_eq!(world.server_counters(bank).accepted, 0);
        assert_eq!([under_way, new].map(|call| world.executions(call)), [0, 0]);
    });
}

/// Given a HELLO of a client's next life, when a request of the former life arrives, then nothing
/// begins.
#[test]
fn fence_late_request() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.finish_call(till, once());
        let late = world.link(till, bank).hold_next(Kind::Request);
        let orphan = world.call(till, once());
        world.crash(till);
        world.restart_client(till);
        let call = world.finish_call(till, once());
        assert_eq!(world.with_server(bank, |server| server.sessions()), 2, "the old one is fenced");

        world.deliver(&late);
        world.run(secs(1));

        assert_eq!(world.executions(orphan), 0);
        assert_eq!(world.server_counters(bank).accepted, 2);
        assert_eq!(world.outcome(call), world.returned(call, 1));
        let next = world.finish_call(till, once());
        assert_eq!(world.outcome(next), world.returned(next, 1));
        assert_eq!(world.link(bank, till).welcomed().len(), 2, "the new session lives");
    });
}

/// Given a client's later life is known, when a HELLO of an earlier one arrives, then nothing of
/// the later one is touched.
#[test]
fn old_hello_after_new() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.finish_call(till, once());
        world.crash(till);
        world.restart_client(till);
        let late = world.link(till, bank).hold_next(Kind::Hello);
        world.call(till, once());
        world.crash(till);
        world.restart_client(till);
        world.handlers_take(bank, ms(100));
        let call = world.call(till, once());
        world.run(ms(5));
        assert_eq!(world.executions(call), 1, "the third life is at work");
        let (welcomed, life) = (world.link(bank, till).welcomed(), world.incarnation(till));

        world.deliver(&late);
        world.run_until_ended(call);

        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!(world.incarnation(till), life);
        assert_eq!(world.link(bank, till).rejected(), [RejectReason::OldIncarnation]);
        assert_eq!(world.link(bank, till).welcomed(), welcomed, "no other session");
        assert_eq!(world.server_counters(bank).cancelled, 0);
        let next = world.finish_call(till, once());
        assert_eq!(world.outcome(next), world.returned(next, 1));
        assert_eq!(
            world.link(till, bank).requests().last().map(|id| id.session),
            welcomed.last().copied()
        );
    });
}

/// Given a client that counts its lives by the clock, and a clock that was set back by a day before
/// it restarted, when it says HELLO, then it is accepted, above its former life.
#[test]
fn incarnation_clock_back() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let by_clock = |days: u32| Incarnation::new(days * 24 * 3_600, 7);
        world.crash(till);
        world.set_clock(till, secs(20 * 24 * 3_600));
        world.restart_client_as(till, by_clock(20));
        let before = world.finish_call(till, once());
        world.crash(till);
        world.set_clock(till, secs(19 * 24 * 3_600));
        world.restart_client_as(till, by_clock(19));

        let after = world.finish_call(till, once());

        assert_eq!(world.link(bank, till).rejected(), [RejectReason::OldIncarnation]);
        assert!(world.incarnation(till) > by_clock(20));
        assert_eq!(world.outcome(before), world.returned(before, 1));
        assert_eq!(world.outcome(after), world.returned(after, 1));
        assert_eq!(world.requests(after).len(), 1);
    });
}
