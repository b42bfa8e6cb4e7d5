//! Limits: what is full refuses, pushes back, and forgets nothing that it promised.

use rpc_runtime::error::Execution;
use rpc_runtime::ids::{ClientId, Incarnation, ServerId, SessionId, Space};
use rpc_runtime::protocol::{NotSentCause, Outcome};
use rpc_runtime::sim::HostId;
use rpc_runtime::time::Duration;
use rpc_runtime::wire::{
    COOKIE_BYTES, Envelope, Hello, Kind, Nonce, PROTOCOL_VERSION, Pdu, RefuseReason, RejectReason,
};
use rpc_tests::scenario::{ms, once, secs, story};

/// Given every slot at work, when another call waits to its deadline, then it was not executed, and
/// no byte of it was sent.
#[test]
fn slots_exhausted() {
    story(|world| {
        let bank = world.server_with("bank", |limits| limits.slots_max = 4);
        let till = world.client("till", bank);
        world.handlers_take(bank, secs(2));
        // A quarter of the slots is kept for nested calls.
        let others = [once(); 3].map(|plan| world.call(till, plan));
        world.run(ms(1));

        let call = world.finish_call(till, once().within(ms(500)));

        assert_eq!(world.outcome(call), Outcome::NotSent(NotSentCause::NoFreeSlot));
        assert_eq!(world.requests(call), []);
        assert!(world.now() < ms(510), "no longer than its deadline");
        for other in others {
            world.run_until_ended(other);
            assert_eq!(world.outcome(other), world.returned(other, 1));
        }
        let next = world.finish_call(till, once());
        assert_eq!(world.outcome(next), world.returned(next, 1));
        assert_eq!(world.executions(call), 0);
    });
}

/// Given ten thousand half-open HELLOs, when an honest client connects, then it is served, and the
/// server's memory stays bounded.
#[test]
fn cookie_under_pressure() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        for number in 0..10_000 {
            let hello = Hello {
                client: ClientId(1_000_000 + u64::from(number)),
                nonce: Nonce(1 + u64::from(number)),
                server: ServerId::NONE,
                server_incarnation: Incarnation::NONE,
                resume: SessionId::NONE,
                slots: 1_024,
                datagram_bytes: 1_232,
                version_min: PROTOCOL_VERSION,
                version_max: PROTOCOL_VERSION,
                has_cookie: 0,
                durable: 0,
                cookie: [0; COOKIE_BYTES],
                generation: rpc_runtime::ids::GenerationId::NONE,
            };
            let incarnation = Incarnation::new(1, u32::from(number));
            let header = Envelope {
                space: Space::Session,
                target: 0,
                session: SessionId::NONE,
                incarnation,
            };
            world.forge(HostId(1_000 + number), bank, &header, &Pdu::Hello(hello));
        }
        world.run(ms(1));
        let unused_max = world.with_server(bank, |server| server.limits().unused_sessions_max);
        assert_eq!(world.with_server(bank, |server| server.sessions()), unused_max);

        let call = world.finish_call(till, once());

        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!(world.link(bank, till).sent(Kind::Cookie), 1);
        assert_eq!(world.link(till, bank).sent(Kind::Hello), 2);
        assert_eq!(world.with_server(bank, |server| server.sessions()), unused_max + 1);
        world.run(secs(5));
        assert_eq!(world.with_server(bank, |server| server.sessions()), 1, "the honest one");
    });
}

/// Given stored replies at their limit, when a call arrives, then it is refused, and nothing is
/// evicted.
#[test]
fn reply_budget_full() {
    story(|world| {
        let bank = world.server_with("bank", |limits| {
            limits.reply_bytes_stored_max = 2_000;
            limits.reply_bytes_durable_max = 1_164;
        });
        let till = world.client("till", bank);
        let other = world.client("other", bank);
        world.handlers_return(bank, 1_100);
        world.link(bank, till).drop_next(Kind::Reply);
        let call = world.call(till, once());
        world.run(ms(1));
        assert_eq!(world.executions(call), 1);

        let refused = world.finish_call(other, once());
        world.run_until_ended(call);

        assert_eq!(world.link(bank, other).refused(), [RefuseReason::Overload]);
        assert_eq!(world.verdict(refused), Execution::NotExecuted);
        assert_eq!(world.executions(refused), 0);
        assert_eq!(world.outcome(call), world.returned(call, 1), "its reply was kept");
        assert_eq!(world.executions(call), 1);
        assert_eq!(world.requests(call).len(), 2);
        world.run(secs(1));
        let next = world.finish_call(other, once());
        assert_eq!(world.outcome(next), world.returned(next, 1), "acknowledged: there is room");
    });
}

/// Given all sessions in use, when another client comes, then it is refused with push-back, and no
/// live session is lost.
#[test]
fn sessions_full() {
    story(|world| {
        let bank = world.server_with("bank", |limits| limits.sessions_max = 2);
        let [one, two, late] = ["one", "two", "late"].map(|name| world.client(name, bank));
        for client in [one, two] {
            world.finish_call(client, once());
        }

        let call = world.finish_call(late, once().within(ms(500)));

        let Outcome::Rejected { reason, push_back, .. } = world.outcome(call) else {
            panic!("not {:?}", world.outcome(call));
        };
        assert_eq!(reason, RejectReason::NoRoom);
        assert_ne!(push_back, Duration::ZERO);
        assert_eq!(world.verdict(call), Execution::NotExecuted);
        assert_eq!(world.requests(call), []);
        assert!(world.link(late, bank).sent(Kind::Hello) < 10, "it leaves the server alone");
        for client in [one, two] {
            let again = world.finish_call(client, once());
            assert_eq!(world.outcome(again), world.returned(again, 1));
            assert_eq!(world.link(client, bank).sent(Kind::Hello), 1, "its session lives");
        }
    });
}
