//! Sessions: how they are lost, resumed and doubled, and what that says about their calls.

use rpc_runtime::error::Execution;
use rpc_runtime::ids::{Sequence, SlotIndex};
use rpc_runtime::protocol::{DoubtCause, Outcome};
use rpc_runtime::wire::{Kind, NoSession, Pdu};
use rpc_tests::scenario::{again, faultless_story, ms, once, secs, story};

/// Given a call that ran, its reply lost and the lease over, when the client sends it again to the
/// same incarnation, then it ends in doubt, and never as not executed.
#[test]
fn expired_session_same_incarnation() {
    story(|world| {
        let bank = world.server_with("bank", |limits| limits.lease = secs(5));
        let till = world.client("till", bank);
        world.link(bank, till).drop_next(Kind::Reply);
        let call = world.call(till, once().within(secs(20)));
        world.run(ms(1));
        world.part(till, bank);
        world.run(secs(7));
        assert_eq!(world.executions(call), 1);
        assert_eq!(world.with_server(bank, |server| server.sessions()), 0, "the lease is over");
        assert!(!world.has_ended(call), "the client still asks");

        world.rejoin(till, bank);
        world.run_until_ended(call);

        assert_eq!(world.outcome(call), Outcome::InDoubt(DoubtCause::SessionLost));
        assert_eq!(world.verdict(call), Execution::Unknown);
        assert_eq!(world.executions(call), 1);
        assert_eq!(world.link(bank, till).sent(Kind::NoSession), 1);
        assert_eq!(world.link(bank, till).sent(Kind::Reply), 1);
        let sessions = world.link(bank, till).welcomed();
        assert_eq!(sessions.len(), 2);
        assert_ne!(sessions[0], sessions[1]);
        assert!(world.requests(call).iter().all(|id| id.session == sessions[0]));
    });
}

/// Given a call that ran in a session that is gone, when its resumption yields another one, then
/// an `at_most_once` call is in doubt and not sent there, and an `at_least_once` call is.
#[test]
fn resume_new_session() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.link(bank, till).drop_times(Kind::Reply, 2);
        let careful = world.call(till, once());
        world.run(ms(1));
        let careless = world.call(till, again());
        world.run(ms(1));
        assert_eq!([careful, careless].map(|call| world.executions(call)), [1, 1]);
        world.crash(bank);
        world.restart_server(bank);

        world.run_until_ended(careful);
        world.run_until_ended(careless);

        let sessions = world.link(bank, till).welcomed();
        assert_eq!(sessions.len(), 2);
        assert_eq!(world.outcome(careful), Outcome::InDoubt(DoubtCause::ServerRestarted));
        assert_eq!(world.executions(careful), 1);
        assert!(world.requests(careful).iter().all(|id| id.session == sessions[0]));
        assert_eq!(world.outcome(careless), world.returned(careless, 2));
        assert!(world.requests(careless).iter().any(|id| id.session == sessions[1]));
        assert_eq!(world.client_counters(till).sessions_lost, 1);
    });
}

/// Given a client that gave up a session while its resumption was pending, when the WELCOME of that
/// resumption arrives, then it is ignored.
#[test]
fn late_welcome_revives() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.link(bank, till).drop_next(Kind::Reply);
        let first = world.call(till, once());
        world.run(ms(1));
        let late = world.link(bank, till).hold_next(Kind::Welcome);
        let server = world.server_id(bank);
        let header = world.link(bank, till).header();
        let forged = NoSession { server, slot: SlotIndex(0), sequence: Sequence(1) };
        world.forge(bank, till, &header, &Pdu::NoSession(forged));
        world.run(ms(1));
        assert_eq!(world.link(till, bank).sent(Kind::Hello), 2, "the resumption is pending");
        world.crash(bank);
        world.restart_server(bank);
        world.run_until_ended(first);
        let stale = world.client_counters(till).stale;

        world.deliver(&late);
        world.run(ms(1));
        let second = world.finish_call(till, once());

        let sessions = world.link(bank, till).welcomed();
        assert_eq!(sessions.len(), 3);
        assert_eq!(sessions[0], sessions[1], "the late WELCOME is that of the session given up");
        assert_eq!(world.client_counters(till).stale, stale + 1);
        assert_eq!(world.outcome(first), Outcome::InDoubt(DoubtCause::ServerRestarted));
        assert_eq!(world.outcome(second), world.returned(second, 1));
        assert_eq!(world.requests(second).len(), 1);
        assert_eq!(world.requests(second)[0].session, sessions[2]);
    });
}

/// Given a HELLO that is delivered twice, when both are answered, then there is one session, and
/// the WELCOMEs are equal.
#[test]
fn hello_twice() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.link(till, bank).double_next(Kind::Hello, ms(0));
        let call = world.finish_call(till, once());

        let welcomes = world.link(bank, till).said(|envelope, pdu| {
            let Pdu::Welcome(welcome) = pdu else { return None };
            Some((*envelope, *welcome))
        });
        assert_eq!(welcomes.len(), 2);
        assert_eq!(welcomes[0], welcomes[1]);
        assert_eq!(world.server_counters(bank).sessions_opened, 1);
        assert_eq!(world.with_server(bank, |server| server.sessions()), 1);
        assert_eq!(world.outcome(call), world.returned(call, 1));
    });
}

/// Given a live session, when a forged NOSESSION arrives, then the session lives after one
/// resumption, and the call under way in it ends with its reply.
#[test]
fn spoofed_nosession() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_take(bank, ms(200));
        let call = world.call(till, once());
        world.run(ms(5));
        let server = world.server_id(bank);
        let header = world.link(bank, till).header();
        let forged = NoSession { server, slot: SlotIndex(0), sequence: Sequence(1) };
        world.forge(bank, till, &header, &Pdu::NoSession(forged));

        world.run_until_ended(call);

        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!(world.executions(call), 1);
        assert_eq!(world.link(till, bank).sent(Kind::Hello), 2, "one resumption");
        let sessions = world.link(bank, till).welcomed();
        assert_eq!(sessions.len(), 2);
        assert_eq!(sessions[0], sessions[1], "the session lives");
        assert_eq!(world.client_counters(till).sessions_lost, 0);
    });
}

/// Given no faults and a session that was opened for a call which was called off before it left, when
/// a call follows later than a server keeps such a session, then the client resumes first, and there is
/// no doubt.
#[test]
fn idle_unused() {
    faultless_story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let given_up = world.call(till, once());
        world.run(Duration::from_micros(1));
        world.cancel(given_up);
        world.run(secs(5));
        assert_eq!(world.with_server(bank, |server| server.sessions()), 0, "it was dropped");

        let late = world.finish_call(till, once());

        assert_eq!(world.verdict(given_up), Execution::NotExecuted);
        assert_eq!(world.outcome(late), world.returned(late, 1));
        let sessions = world.link(bank, till).welcomed();
        assert_eq!(sessions.len(), 2);
        assert_eq!(world.requests(late).len(), 1);
        assert_eq!(world.requests(late)[0].session, sessions[1], "nothing was handed over before");
    });
}

/// Given no faults and a session that was idle for longer than its lease, or half of it, when a
/// call follows, then the client resumes first, and there is no doubt.
#[test]
fn idle_past_lease() {
    faultless_story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.finish_call(till, once());

        world.run(secs(20));
        let early = world.finish_call(till, once());
        world.run(secs(60));
        assert_eq!(world.with_server(bank, |server| server.sessions()), 0, "the lease is over");
        let late = world.finish_call(till, once());

        let sessions = world.link(bank, till).welcomed();
        assert_eq!(sessions.len(), 3);
        assert_eq!(sessions[0], sessions[1], "resumed");
        assert_ne!(sessions[1], sessions[2], "opened anew");
        assert_eq!(world.link(till, bank).sent(Kind::Hello), 3);
        assert_eq!(world.outcome(early), world.returned(early, 1));
        assert_eq!(world.outcome(late), world.returned(late, 1));
        assert_eq!(world.requests(late).len(), 1);
        assert_eq!(world.requests(late)[0].session, sessions[2], "nothing was handed over before");
        assert_eq!(world.link(bank, till).sent(Kind::NoSession), 0);
    });
}
