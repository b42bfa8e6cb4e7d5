//! Orphans: what ends work that nobody wants, and what does not end work that somebody does.

use rpc_runtime::ids::Incarnation;
use rpc_runtime::protocol::{OrphanStrategy, Outcome};
use rpc_runtime::sim::HostId;
use rpc_runtime::time::Duration;
use rpc_runtime::wire::{Answer, Envelope, Extend, Hello, Kind, Nonce, Pdu, ReplyStatus};
use rpc_tests::scenario::{World, ms, once, secs, story};

const QUANTUM: Duration = ms(100);
const GRACE: Duration = ms(80);

/// What EXTENDs said, in order.
fn extends(world: &mut World, from: HostId, to: HostId) -> Vec<(u32, Answer)> {
    world.link(from, to).said(|_, pdu| {
        if let Pdu::Extend(Extend { quantum, answer, .. }) = pdu {
            Some((*quantum, *answer))
        } else {
            None
        }
    })
}

/// Given quantum 7, when "yes" for quantum 3 arrives, then quantum 7 still ends.
#[test]
fn extend_old_yes() {
    story(|world| {
        let bank = world.server_under("bank", OrphanStrategy::Expire, QUANTUM, GRACE);
        let till = world.client("till", bank);
        world.handlers_take(bank, secs(60));
        let call = world.call(till, once());
        world.run(ms(350));
        let old_yes = world.link(till, bank).copy_last(Kind::Extend);
        world.run(ms(300));
        let granted = extends(world, till, bank);
        assert_eq!(granted.len(), 6);
        assert!(granted.contains(&(3, Answer::Yes)));
        world.link(till, bank).cut();

        for _ in 0..8 {
            world.deliver(&old_yes);
            world.run(ms(15));
        }

        assert_eq!(world.server_counters(bank).quanta_unanswered, 0, "its grace is not over");
        world.run(ms(35));
        assert_eq!(world.server_counters(bank).quanta_unanswered, 1);
        assert_eq!(world.server_counters(bank).quanta_granted, 6);
        world.run_until_ended(call);
        let Outcome::Failed { status, .. } = world.outcome(call) else { panic!("cancelled") };
        assert_eq!(status, ReplyStatus::CancelledPartial);
    });
}

/// Given a client that waits, when quantum after quantum ends, then each is granted, and the call
/// returns.
#[test]
fn extend_while_the_caller_waits() {
    story(|world| {
        let bank = world.server_under("bank", OrphanStrategy::Expire, QUANTUM, GRACE);
        let till = world.client("till", bank);
        world.handlers_take(bank, ms(950));
        let call = world.finish_call(till, once());
        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!(world.server_counters(bank).quanta_granted, 9);
    });
}

/// Given a client that died, when its call's quantum and the grace are over, then the call is
/// cancelled, and its session ends.
#[test]
fn extend_nobody_answers() {
    story(|world| {
        let bank = world.server_under("bank", OrphanStrategy::Expire, QUANTUM, GRACE);
        let till = world.client("till", bank);
        world.handlers_take(bank, secs(60));
        world.call(till, once());
        world.run(ms(250));
        world.crash(till);
        world.run(QUANTUM + GRACE + ms(2));
        assert_eq!(world.with_server(bank, |server| server.running()), 0);
        world.run(secs(31));
        assert_eq!(world.with_server(bank, |server| server.sessions()), 0);
    });
}

/// Given a reply that is stored and was lost, when a late "no" arrives, then the reply stays.
#[test]
fn extend_no_after_the_reply() {
    story(|world| {
        let bank = world.server_under("bank", OrphanStrategy::Expire, QUANTUM, GRACE);
        let till = world.client("till", bank);
        world.handlers_take(bank, ms(130));
        world.link(bank, till).drop_times(Kind::Reply, 2);
        let call = world.call(till, once());
        world.run(ms(101));
        let header = world.link(till, bank).header();
        let id = world.requests(call)[0];
        let (slot, sequence) = (id.slot, id.sequence);
        let no = Extend { slot, sequence, quantum: 2, answer: Answer::No, pad: [0; 3] };
        world.run(ms(40));

        world.forge(till, bank, &header, &Pdu::Extend(no));
        world.run_until_ended(call);

        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!(world.server_counters(bank).quanta_refused, 0);
        assert_eq!(world.server_counters(bank).stale, 1);
    });
}

/// Given s1's "no", when it arrives while s2 runs in the slot, then s2 lives.
#[test]
fn extend_no_for_the_call_before() {
    story(|world| {
        let bank = world.server_under("bank", OrphanStrategy::Expire, QUANTUM, GRACE);
        let till = world.client_with("till", bank, |limits| limits.slots_max = 1);
        world.handlers_take(bank, ms(150));
        let first = world.call(till, once().within(ms(90)));
        let late_no = world.link(till, bank).hold_next(Kind::Extend);
        world.run_until_ended(first);
        world.run(ms(80));
        let second = world.call(till, once());
        world.run(ms(120));
        assert_eq!(world.executions(second), 1);

        world.deliver(&late_no);
        world.run_until_ended(second);

        assert_eq!(world.outcome(second), world.returned(second, 1));
        assert_eq!(world.server_counters(bank).quanta_refused, 0);
    });
}

/// Given a client that grants for ever, when its deadline is over, then the call is cancelled.
#[test]
fn extend_for_ever_ends_at_the_deadline() {
    story(|world| {
        let bank = world.server_under("bank", OrphanStrategy::Expire, QUANTUM, GRACE);
        let till = world.client("till", bank);
        world.handlers_take(bank, secs(60));
        let call = world.call(till, once().within(secs(2)));
        world.link(till, bank).drop_next(Kind::Seal);
        world.run_until_ended(call);
        world.run(ms(2));
        assert_eq!(world.with_server(bank, |server| server.running()), 0);
        assert_eq!(world.server_counters(bank).quanta_unanswered, 0);
    });
}

/// Given a running call, when a HELLO of a later life comes that cannot prove its address, then
/// nothing is killed and nobody asked.
#[test]
fn fence_unproved() {
    story(|world| {
        let bank = world.server_under("bank", OrphanStrategy::Reincarnate, QUANTUM, GRACE);
        let till = world.client("till", bank);
        let eve = world.client("eve", bank);
        world.handlers_take(bank, ms(500));
        let call = world.call(till, once());
        world.run(ms(10));
        let forged = world
            .link(till, bank)
            .said(|_, pdu| if let Pdu::Hello(hello) = pdu { Some(*hello) } else { None })[0];
        let life = Incarnation::new(u32::MAX, 1);
        let header = Envelope { incarnation: life, ..Envelope::default() };
        for nonce in 1..10 {
            let hello = Hello { nonce: Nonce(nonce), has_cookie: 1, ..forged };
            world.forge(eve, bank, &header, &Pdu::Hello(hello));
        }

        world.run_until_ended(call);

        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!(world.server_counters(bank).cancelled, 0);
        let next = world.finish_call(till, once());
        assert_eq!(world.outcome(next), world.returned(next, 1), "nobody is locked out");
    });
}

/// Given another process under the client's name, when it comes, then reincarnation kills what the
/// first one wants, and gentle reincarnation does not.
#[test]
fn fence_while_the_owner_lives() {
    for (strategy, killed) in [
        (OrphanStrategy::Reincarnate, 1),
        (OrphanStrategy::Gentle, 0),
        (OrphanStrategy::ExpireAndGentle, 0),
        (OrphanStrategy::Expire, 0),
    ] {
        story(|world| {
            let bank = world.server_under("bank", strategy, QUANTUM, GRACE);
            let till = world.client("till", bank);
            world.handlers_take(bank, ms(900));
            let call = world.call(till, once());
            world.run(ms(10));
            let twin = world.twin("twin", till, bank);
            let other = world.call(twin, once());
            world.run_until_ended(call);
            world.run_until_ended(other);
            assert_eq!(world.server_counters(bank).cancelled, killed, "{strategy:?}");
            assert_eq!(world.outcome(other), world.returned(other, 1));
            if killed == 0 {
                assert_eq!(world.outcome(call), world.returned(call, 1), "{strategy:?}");
            }
        });
    }
}

/// Given an owner that died, when a later life asks for nothing but a call, then gentle
/// reincarnation ends the orphan, and neither slot nor session is left.
#[test]
fn fence_when_the_owner_is_gone() {
    story(|world| {
        let bank = world.server_under("bank", OrphanStrategy::Gentle, QUANTUM, GRACE);
        let till = world.client("till", bank);
        world.handlers_take(bank, secs(60));
        world.call(till, once().within(secs(50)));
        world.run(ms(10));
        world.crash(till);
        world.run(secs(3));
        assert_eq!(world.with_server(bank, |server| server.running()), 1, "nobody asks yet");
        world.handlers_take(bank, ms(0));
        world.restart_client(till);
        let call = world.finish_call(till, once());
        world.run(ms(5));
        assert_eq!(world.outcome(call), world.returned(call, 1));
        let counted = world.server_counters(bank);
        assert_eq!((counted.owners_missing, counted.owners_found), (1, 0), "told by its next life");
        assert_eq!(world.link(bank, till).sent(Kind::Owner), 1);
    });
}

/// Given a CANCEL that is lost three times, when the fourth passes, then the handler is told, and
/// nothing more is said of it.
#[test]
fn cancel_lost_three_times() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_take(bank, secs(60));
        let call = world.call(till, once().within(secs(50)));
        world.run(ms(5));
        world.link(till, bank).drop_times(Kind::Cancel, 3);
        world.cancel(call);
        world.run(secs(1));
        assert_eq!(world.server_counters(bank).cancelled, 1);
        assert_eq!(world.with_server(bank, |server| server.running()), 0);
        assert_eq!(world.link(till, bank).sent(Kind::Cancel), 4);
    });
}

/// Given a CANCEL that the server answers, when time passes, then it is not said again.
#[test]
fn cancel_answered() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_take(bank, ms(500));
        world.handlers_ignore_cancel(bank);
        let call = world.call(till, once());
        world.run(ms(5));
        world.cancel(call);
        world.run(secs(1));
        assert_eq!(world.link(till, bank).sent(Kind::Cancel), 1);
        assert_eq!(world.server_counters(bank).cancelled, 1);
    });
}

/// Given ten thousand cancels and cancels for calls that never came, when they arrive, then the
/// handler is told once, and the session lives.
#[test]
fn cancel_ten_thousand_times() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_take(bank, ms(500));
        world.handlers_ignore_cancel(bank);
        let call = world.call(till, once());
        world.run(ms(5));
        world.cancel(call);
        world.run(ms(5));
        let cancel = world.link(till, bank).copy_last(Kind::Cancel);
        for _ in 0..10_000 {
            world.deliver(&cancel);
        }
        world.run(secs(1));
        assert_eq!(world.server_counters(bank).cancelled, 1);
        assert_eq!(world.server_counters(bank).stubborn, 0, "it ended within the grace");
        let next = world.finish_call(till, once());
        assert_eq!(world.outcome(next), world.returned(next, 1));
    });
}
