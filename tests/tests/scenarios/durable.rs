//! Durable calls: over deaths of the server, other sessions, other processes on the same store, and
//! clients that come back, the effect is there once and nobody is told otherwise.

use rpc_runtime::error::Execution;
use rpc_runtime::ids::{CallId, Sequence, SessionId, Space};
use rpc_runtime::protocol::{DoubtCause, HandlerEnd, Outcome};
use rpc_runtime::sim::HostId;
use rpc_runtime::wire::{Bye, ByeReason, Kind, Pdu, RefuseReason, ReplyStatus, Welcome};
use rpc_tests::scenario::{Call, World, durable, faultless_story, ms, once, secs, story};

/// The server takes leave of its client in the session that it heard last: in the client's eyes that
/// session is over, in the server's it goes on.
fn say_goodbye(world: &mut World, server: HostId, client: HostId) {
    let header = world.link(server, client).header();
    let bye = Bye { reason: ByeReason::Done, pad: [0; 3] };
    world.forge(server, client, &header, &Pdu::Bye(bye));
}

/// The last WELCOME that a client got.
fn last_welcome(world: &mut World, server: HostId, client: HostId) -> Welcome {
    let welcomes = world.link(server, client).said(|_, pdu| {
        let Pdu::Welcome(welcome) = pdu else { return None };
        Some(*welcome)
    });
    *welcomes.last().expect("it was welcomed")
}

/// The sessions in which a server said such a thing, in order.
fn sessions_of(world: &mut World, from: HostId, to: HostId, kind: Kind) -> Vec<SessionId> {
    world.link(from, to).said(|envelope, pdu| (pdu.kind() == kind).then_some(envelope.session))
}

/// A call that has ended with its reply, run as often as said, and its effect kept once.
fn assert_done_once(world: &World, call: Call, executions: usize) {
    assert_eq!(world.executions(call), executions);
    assert_eq!(world.outcome(call), world.returned(call, executions));
    assert_eq!(world.effects(call), 1);
}

/// Given no faults, when durable calls are made one after another and at once, then each is done
/// once and nothing is sent twice.
#[test]
fn eo_plain() {
    faultless_story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let first = world.finish_call(till, durable());
        let calls = [0; 5].map(|_| world.call(till, durable()));
        world.run(secs(1));
        assert_done_once(world, first, 1);
        for call in calls {
            assert_done_once(world, call, 1);
        }
        assert_eq!(world.rows(bank).len(), 5, "as many slots as calls at once");
    });
}

/// Given a durable call that runs, when the server dies before the commit and the client sends it
/// again, then there is one effect.
#[test]
fn eo_crash_before_commit() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_take(bank, ms(100));
        let call = world.call(till, durable());
        world.run(ms(20));
        assert_eq!((world.executions(call), world.effects(call)), (1, 0));
        world.crash(bank);
        world.run(ms(300));
        world.restart_server(bank);

        world.run_until_ended(call);

        assert_done_once(world, call, 2);
        let sent = world.requests(call);
        assert!(sent.iter().all(|id| (id.space, id.sequence) == (Space::Durable, Sequence(1))));
        assert_eq!(world.link(bank, till).sent(Kind::Reply), 1);
    });
}

/// Given a durable call that was committed and whose reply was not sent, when the server comes back
/// and the client sends the call again, then it gets the stored reply, and there is one effect.
#[test]
fn eo_crash_after_commit() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.link(bank, till).drop_next(Kind::Reply);
        let call = world.call(till, durable());
        world.run(ms(3));
        assert_eq!((world.executions(call), world.effects(call)), (1, 1));
        world.crash(bank);
        world.restart_server(bank);

        world.run_until_ended(call);

        assert_done_once(world, call, 1);
        assert_eq!(world.server_counters(bank).begun, 0, "in this life");
        let sessions = sessions_of(world, bank, till, Kind::Reply);
        assert_eq!(sessions.len(), 2);
        assert_ne!(sessions[0], sessions[1]);
    });
}

/// Given a durable call that runs under one session, when it arrives under another, then the answer
/// is WORKING, there is one execution, and the reply goes to the other session.
#[test]
fn eo_two_sessions() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_take(bank, ms(600));
        let call = world.call(till, durable());
        world.run(ms(5));
        let first = world.requests(call).len();

        say_goodbye(world, bank, till);
        world.run(ms(300));
        assert!(world.requests(call).len() > first, "sent again");
        assert_eq!(world.with_server(bank, |server| server.sessions()), 2);
        world.run_until_ended(call);

        assert_done_once(world, call, 1);
        let sessions = world.link(bank, till).welcomed();
        let last = *sessions.last().expect("two");
        assert_ne!(sessions[0], last);
        assert!(sessions_of(world, bank, till, Kind::Working).contains(&last));
        assert_eq!(sessions_of(world, bank, till, Kind::Reply), [last]);
        assert_eq!(world.server_counters(bank).begun, 1);
    });
}

/// Given a server that stalls in a call, and its next life, which sealed that call, when the first
/// one wakes, then its commit aborts.
#[test]
fn eo_zombie_commit() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_take(bank, secs(5));
        let call = world.call(till, durable().within(secs(1)));
        world.run(ms(5));
        assert_eq!(world.executions(call), 1);
        let bank_2 = world.successor("bank-2", bank);
        world.link(till, bank_2).drop_times(Kind::Request, u64::MAX);
        world.run_until_ended(call);
        assert_eq!(world.verdict(call), Execution::Unknown);

        let resolved = world.resolve(call, secs(2));
        assert_eq!(resolved, Outcome::Sealed, "the next life promises");
        world.run(secs(5));

        assert_eq!(world.server_counters(bank).not_committed, 1, "the first one woke");
        assert_eq!(world.effects(call), 0);
        assert_eq!(world.executions(call), 1);
        assert_eq!(world.link(bank, till).sent(Kind::Reply), 0);
    });
}

/// Given a server that stalls in a call, and its next life, to which the call was sent again, when
/// the first one wakes, then there is one effect, and the reply is that of the next life.
#[test]
fn eo_zombie_and_successor() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_take(bank, secs(2));
        let call = world.call(till, durable());
        world.run(ms(5));
        let bank_2 = world.successor("bank-2", bank);
        world.run_until_ended(call);
        world.run(secs(3));

        assert_done_once(world, call, 2);
        assert_eq!(world.server_counters(bank).not_committed, 1);
        assert_eq!(world.server_counters(bank_2).not_committed, 0);
    });
}

/// Given a call that was refused in one session and sent again in another, when the refusal of the
/// first session arrives, then it is ignored.
#[test]
fn eo_late_refuse_of_old_session() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.finish_call(till, durable());
        world.link(bank, till).drop_next(Kind::Goaway);
        let late = world.link(bank, till).hold_next(Kind::Refuse);
        world.drain(bank);
        let call = world.call(till, durable());
        world.run(ms(1));
        assert_eq!(world.link(bank, till).refused(), [RefuseReason::Draining]);
        world.crash(bank);
        world.restart_server(bank);
        world.handlers_take(bank, ms(500));
        while world.executions(call) == 0 {
            world.run(ms(10));
        }

        world.deliver(&late);
        world.run(ms(10));
        assert!(!world.has_ended(call), "the refusal says nothing any more");
        world.run_until_ended(call);

        assert_done_once(world, call, 1);
        let sent: Vec<CallId> = world.requests(call);
        assert!(sent.iter().all(|id| id.sequence == Sequence(2)));
    });
}

/// Given a client without a journal, when it restarts and calls again, then that is a new call, in a
/// generation of its own, and not the old reply.
#[test]
fn eo_restart_no_journal() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let before = world.finish_call(till, durable());
        let old = last_welcome(world, bank, till).generation;
        world.crash(till);
        world.restart_client(till);

        let after = world.finish_call(till, durable());

        assert_done_once(world, before, 1);
        assert_done_once(world, after, 1);
        assert_ne!(world.outcome(before), world.outcome(after));
        let place = |call| world.requests(call).last().map(|id| (id.slot, id.sequence));
        assert_eq!(place(before), place(after), "only the generation tells them apart");
        assert_ne!(last_welcome(world, bank, till).generation, old);
        assert_eq!(world.rows(bank).len(), 2);
    });
}

/// Given a call that was done, and its client's rows deleted since, when the client sends it again,
/// then it ends in doubt, with no second effect; and its next call is done in a new generation.
#[test]
fn eo_rows_deleted() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.link(bank, till).drop_next(Kind::Reply);
        let call = world.call(till, durable());
        world.run(ms(3));
        assert_eq!(world.effects(call), 1);
        let old = last_welcome(world, bank, till).generation;
        world.crash(bank);
        world.disk(bank).forget_all();
        world.restart_server(bank);

        world.run_until_ended(call);
        let next = world.finish_call(till, durable());

        assert_eq!(world.outcome(call), Outcome::InDoubt(DoubtCause::GenerationEnded));
        assert_eq!(world.verdict(call), Execution::Unknown);
        assert_eq!((world.executions(call), world.effects(call)), (1, 1));
        assert_done_once(world, next, 1);
        assert_ne!(last_welcome(world, bank, till).generation, old);
        assert_eq!(world.requests(next)[0].sequence, Sequence(1));
    });
}

/// Given a call that was refused, which nothing durable says, when the server restarts and the next
/// call of the slot comes, then it runs.
#[test]
fn eo_refusal_then_restart() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.link(bank, till).drop_next(Kind::Goaway);
        let warm = world.finish_call(till, durable());
        world.drain(bank);
        let refused = world.finish_call(till, durable());
        assert_eq!(world.verdict(refused), Execution::NotExecuted);
        assert_eq!(world.rows(bank)[0].sequence, Sequence(1), "no write");
        world.crash(bank);
        world.restart_server(bank);

        let next = world.finish_call(till, durable());

        assert_done_once(world, warm, 1);
        assert_done_once(world, next, 1);
        assert_eq!(world.requests(next)[0].sequence, Sequence(3), "above the one refused");
        assert_eq!(world.rows(bank)[0].sequence, Sequence(3));
        assert_eq!((world.executions(refused), world.effects(refused)), (0, 0));
    });
}

/// Given a durable call and another one before a restart, when the next durable call comes, then it
/// is accepted: the two count apart.
#[test]
fn amo_eo_mixed_restart() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let early = world.finish_call(till, durable());
        let plain = world.finish_call(till, once());
        world.crash(bank);
        world.restart_server(bank);

        let next = world.finish_call(till, durable());
        let plain_too = world.finish_call(till, once());

        assert_done_once(world, early, 1);
        assert_done_once(world, next, 1);
        let place = |call| world.requests(call).last().map(|id| (id.space, id.sequence));
        assert_eq!(place(early), Some((Space::Durable, Sequence(1))));
        assert_eq!(place(next), Some((Space::Durable, Sequence(2))));
        for call in [plain, plain_too] {
            assert_eq!(place(call), Some((Space::Session, Sequence(1))));
            assert_eq!(world.outcome(call), world.returned(call, 1));
        }
    });
}

/// Given a durable handler that panics, when its reply is lost and the server restarts, then what it
/// did is undone, that it panicked is kept, and the caller learns that; it does not run again.
#[test]
fn eo_handler_panics() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_end(bank, HandlerEnd::Panicked);
        world.link(bank, till).drop_next(Kind::Reply);
        let call = world.call(till, durable());
        world.run(ms(3));
        assert_eq!(world.executions(call), 1);
        world.crash(bank);
        world.restart_server(bank);

        world.run_until_ended(call);

        let Outcome::Failed { status: ReplyStatus::Panicked, .. } = world.outcome(call) else {
            panic!("{:?}", world.outcome(call));
        };
        assert_eq!(world.verdict(call), Execution::Executed);
        assert_eq!((world.executions(call), world.effects(call)), (1, 0));
        world.handlers_end(bank, HandlerEnd::Returned);
        let next = world.finish_call(till, durable());
        assert_done_once(world, next, 1);
    });
}

/// Given a commit that fails, when nothing is said of it and the client asks again, then the call
/// runs again, and there is one effect.
#[test]
fn eo_commit_fails() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.disk(bank).fail(2);
        let call = world.finish_call(till, durable());
        assert_done_once(world, call, 3);
        assert_eq!(world.server_counters(bank).not_committed, 2);
        assert_eq!(world.link(bank, till).sent(Kind::Reply), 1);
        assert_eq!(world.link(bank, till).sent(Kind::Refuse), 0);
    });
}
