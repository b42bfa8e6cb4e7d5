//! Quanta of durable calls: an orphan ends although its slots outlive every session, and what somebody
//! waits for goes on over sessions and lives of the server.

use rpc_runtime::ids::SessionId;
use rpc_runtime::protocol::{OrphanStrategy, Outcome};
use rpc_runtime::sim::HostId;
use rpc_runtime::time::Duration;
use rpc_runtime::wire::{Answer, Bye, ByeReason, Extend, Kind, Pdu, ReplyStatus};
use rpc_tests::scenario::{World, durable, ms, secs, story};

const QUANTUM: Duration = ms(400);
const GRACE: Duration = ms(300);

fn bank_and_till(world: &mut World, takes: Duration) -> (HostId, HostId) {
    let bank = world.server_under("bank", OrphanStrategy::Expire, QUANTUM, GRACE);
    let till = world.client("till", bank);
    world.handlers_take(bank, takes);
    (bank, till)
}

/// What EXTENDs said, and in which session.
fn extends(world: &mut World, from: HostId, to: HostId) -> Vec<(SessionId, u32, Answer)> {
    world.link(from, to).said(|envelope, pdu| {
        let Pdu::Extend(Extend { quantum, answer, .. }) = pdu else { return None };
        Some((envelope.session, *quantum, *answer))
    })
}

/// In the client's eyes the session is over, in the server's it goes on.
fn lose_session(world: &mut World, bank: HostId, till: HostId) {
    let header = world.link(bank, till).header();
    world.forge(bank, till, &header, &Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] }));
}

/// Given a client that waits, when quantum after quantum of its durable call ends, then each is
/// granted, and the call takes effect.
#[test]
fn eo_extend_while_the_caller_waits() {
    story(|world| {
        let (bank, till) = bank_and_till(world, secs(3));
        let call = world.finish_call(till, durable());
        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!((world.effects(call), world.server_counters(bank).quanta_granted), (1, 7));
    });
}

/// Given a client that died, when the quantum of its durable call and the grace are over, then the
/// call is cancelled, has no effect, and that it was cancelled is kept.
#[test]
fn eo_extend_nobody_answers() {
    story(|world| {
        let (bank, till) = bank_and_till(world, secs(60));
        let call = world.call(till, durable().within(secs(50)));
        world.run(ms(600));
        world.crash(till);
        world.run(QUANTUM + GRACE + ms(2));
        assert_eq!(world.with_server(bank, |server| server.running()), 0);
        assert_eq!(world.server_counters(bank).quanta_unanswered, 1);
        assert_eq!((world.executions(call), world.effects(call)), (1, 0));
        let ended = world.rows(bank)[0].ended.clone();
        let (status, _) = ended.expect("how it ended is kept");
        assert_eq!(status, ReplyStatus::CancelledPartial);
        world.run(secs(31));
        assert_eq!(world.with_server(bank, |server| server.sessions()), 0);
    });
}

/// Given a caller that gave up and whose CANCELs were all lost, when the quantum ends, then it says
/// that it does not wait, and the durable call is cancelled.
#[test]
fn eo_extend_after_lost_cancels() {
    story(|world| {
        let (bank, till) = bank_and_till(world, secs(60));
        let call = world.call(till, durable().within(secs(50)));
        world.run(ms(20));
        world.link(till, bank).drop_times(Kind::Cancel, 4);
        world.cancel(call);
        world.run(QUANTUM + ms(20));
        let counted = world.server_counters(bank);
        assert_eq!((counted.quanta_refused, counted.cancelled), (1, 1));
        assert_eq!(world.effects(call), 0);
    });
}

/// Given a durable call that moved to another session, when its quantum ends, then it is asked for
/// there, and an answer from the former session counts for nothing.
#[test]
fn eo_extend_moves_with_the_call() {
    story(|world| {
        let (bank, till) = bank_and_till(world, secs(2));
        let call = world.call(till, durable());
        world.run(ms(20));
        let former = world.link(till, bank).header();
        lose_session(world, bank, till);
        world.run(ms(300));
        let id = *world.requests(call).last().expect("it was sent");
        assert_ne!(id.session, former.session, "sent again in another session");
        world.link(till, bank).drop_next(Kind::Extend);
        world.run(QUANTUM - ms(310));
        let (slot, sequence) = (id.slot, id.sequence);
        for answer in [Answer::No, Answer::Yes] {
            let said = Extend { slot, sequence, quantum: 1, answer, pad: [0; 3] };
            world.forge(till, bank, &former, &Pdu::Extend(said));
            world.run(ms(1));
        }
        assert_eq!(world.server_counters(bank).cancelled, 0);
        assert_eq!(world.server_counters(bank).quanta_granted, 0);

        world.run_until_ended(call);

        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!((world.executions(call), world.effects(call)), (1, 1));
        let asked = extends(world, bank, till);
        assert!(asked.len() >= 4, "{asked:?}");
        assert!(asked.iter().all(|(session, _, _)| *session == id.session), "{asked:?}");
    });
}

/// Given a quantum that ends between two sessions of a durable call, when the question comes in the
/// former one, then nobody says no, and the call goes on in the next.
#[test]
fn eo_extend_between_two_sessions() {
    story(|world| {
        let (bank, till) = bank_and_till(world, secs(1));
        let call = world.call(till, durable());
        world.run(QUANTUM - ms(20));
        lose_session(world, bank, till);

        world.run_until_ended(call);

        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!((world.executions(call), world.effects(call)), (1, 1));
        let asked = extends(world, bank, till);
        let sessions: Vec<SessionId> = asked.iter().map(|(session, _, _)| *session).collect();
        assert_ne!(sessions.first(), sessions.last(), "asked in both");
        assert_eq!(world.client_counters(till).quanta_refused, 0);
    });
}

/// Given a durable call that runs again in the server's next life, when its quanta end there, then
/// they are granted, and there is one effect.
#[test]
fn eo_extend_over_a_restart() {
    story(|world| {
        let (bank, till) = bank_and_till(world, ms(1_500));
        let call = world.call(till, durable());
        world.run(ms(500));
        world.crash(bank);
        world.run(ms(200));
        world.restart_server(bank);

        world.run_until_ended(call);

        assert_eq!(world.outcome(call), world.returned(call, 2));
        assert_eq!(world.effects(call), 1);
        assert_eq!(world.server_counters(bank).quanta_granted, 3, "in this life");
    });
}

/// Given a client with a journal that died, when its next life takes the durable call up before the
/// grace is over, then it answers for it, and the call is done.
#[test]
fn eo_extend_answered_by_the_next_life() {
    story(|world| {
        let bank = world.server_under("bank", OrphanStrategy::Expire, QUANTUM, GRACE);
        let till = world.keeping_client("till", bank);
        world.handlers_take(bank, secs(2));
        let call = world.call(till, durable());
        world.run(ms(300));
        world.crash(till);
        world.run(ms(200));
        world.restart_client(till);
        let started = world.unfinished(till)[0].clone();

        let outcome = world.complete(call, &started, secs(5));

        assert!(matches!(outcome, Outcome::Returned(_)), "{outcome:?}");
        assert_eq!((world.executions(call), world.effects(call)), (1, 1));
        assert!(world.server_counters(bank).quanta_granted >= 3);
    });
}
