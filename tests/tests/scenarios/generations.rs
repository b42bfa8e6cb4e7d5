//! Whose durable calls are whose: generations over sessions, addresses and copies of a machine, and
//! how long they are kept.

use rpc_runtime::error::Execution;
use rpc_runtime::ids::{
    ClientId, GenerationId, Incarnation, MethodFingerprint, Sequence, ServerId, SessionId,
    SlotIndex, Space,
};
use rpc_runtime::protocol::{DoubtCause, Outcome};
use rpc_runtime::semantics::Semantics;
use rpc_runtime::sim::HostId;
use rpc_runtime::time::Duration;
use rpc_runtime::wire::{
    COOKIE_BYTES, Envelope, Hello, Kind, Nonce, Pdu, RefuseReason, Request, Seal, Welcome,
};
use rpc_tests::scenario::{Call, World, durable, ms, secs, story};

/// The last WELCOME that a client got.
fn welcome(world: &mut World, server: HostId, client: HostId) -> Welcome {
    let welcomes = world.link(server, client).said(|_, pdu| {
        let Pdu::Welcome(welcome) = pdu else { return None };
        Some(*welcome)
    });
    *welcomes.last().expect("it was welcomed")
}

fn assert_done_once(world: &World, call: Call, executions: usize) {
    assert_eq!(world.executions(call), executions);
    assert_eq!(world.outcome(call), world.returned(call, executions));
    assert_eq!(world.effects(call), 1);
}

/// Another process with all that a client has in its memory: it claims the client's generation.
struct Copy {
    host: HostId,
    client: ClientId,
    life: Incarnation,
    server: ServerId,
    generation: GenerationId,
}

impl Copy {
    fn of(world: &mut World, client: HostId, server: HostId) -> Self {
        let life = world.incarnation(client);
        let Welcome { client, server, generation, .. } = welcome(world, server, client);
        Self { host: world.puppet("copy"), client, life, server, generation }
    }

    fn envelope(&self, space: Space, session: SessionId) -> Envelope {
        Envelope { space, target: 0, session, incarnation: self.life }
    }

    /// Opens a session, with a proof of its address.
    fn claim(&self, world: &mut World, server: HostId) -> SessionId {
        let mut hello = Hello {
            client: self.client,
            nonce: Nonce(0xc0b1),
            server: self.server,
            server_incarnation: Incarnation::NONE,
            resume: SessionId::NONE,
            slots: 8,
            datagram_bytes: 1_232,
            version_min: 1,
            version_max: 1,
            has_cookie: 0,
            durable: 1,
            cookie: [0; COOKIE_BYTES],
            generation: self.generation,
        };
        let envelope = self.envelope(Space::Session, SessionId::NONE);
        world.forge(self.host, server, &envelope, &Pdu::Hello(hello));
        world.run(ms(1));
        let cookies = world.link(server, self.host).said(|_, pdu| {
            let Pdu::Cookie(cookie) = pdu else { return None };
            Some(cookie.cookie)
        });
        hello.has_cookie = 1;
        hello.cookie = *cookies.last().expect("the address was to be proved");
        world.forge(self.host, server, &envelope, &Pdu::Hello(hello));
        world.run(ms(1));
        *world.link(server, self.host).welcomed().last().expect("it was welcomed")
    }

    /// Makes a call of its own in a slot that the client has used alike.
    fn call(&self, world: &mut World, server: HostId, session: SessionId, sequence: u64) {
        let request = Request {
            slot: SlotIndex(0),
            sequence: Sequence(sequence),
            method: MethodFingerprint(14),
            name: 14,
            digest: 0x0c0b_1ed0,
            remaining_us: 10_000_000,
            not_after_us: 10_000_000,
            fragment: 0,
            fragments: 1,
            transmission: 1,
            depth: 0,
            semantics: Semantics::ExactlyOnce,
            extensions: &[],
            arguments: &u64::MAX.to_le_bytes(),
        };
        let envelope = self.envelope(Space::Durable, session);
        world.forge(self.host, server, &envelope, &Pdu::Request(request));
        world.run(ms(1));
    }
}

/// Given a copy of a machine that makes a call of its own under the name of the original's, when
/// both are under way, then the copy is refused, loudly, and is never told how the original's ended.
#[test]
fn eo_identity_in_use() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_take(bank, ms(50));
        let call = world.call(till, durable());
        world.run(ms(5));
        let copy = Copy::of(world, till, bank);
        let session = copy.claim(world, bank);
        assert_eq!(welcome(world, bank, copy.host).generation, copy.generation);

        copy.call(world, bank, session, 1);
        world.run_until_ended(call);
        copy.call(world, bank, session, 1);
        world.run(secs(1));

        assert_eq!(world.link(bank, copy.host).refused()[0], RefuseReason::IdentityInUse);
        assert!(world.server_counters(bank).mismatches >= 1);
        assert_eq!(world.link(bank, copy.host).sent(Kind::Reply), 0);
        assert_eq!(world.link(bank, copy.host).sent(Kind::Working), 0);
        assert_done_once(world, call, 1);
        let next = world.finish_call(till, durable());
        assert_done_once(world, next, 1);
    });
}

/// Given a session with a generation, when another session of it is opened, then nothing begins for
/// the first one any more, even before the WELCOME of the other; until the first is resumed.
#[test]
fn eo_second_session_fences() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let first = world.finish_call(till, durable());
        let copy = Copy::of(world, till, bank);
        copy.claim(world, bank);
        let late = world.link(till, bank).hold_next(Kind::Request);
        let call = world.call(till, durable());
        world.run(ms(1));
        world.link(till, bank).drop_times(Kind::Request, 1);

        world.deliver(&late);
        world.run(ms(1));
        assert_eq!(world.executions(call), 0, "fenced");
        assert_eq!(world.link(bank, till).sent(Kind::NoSession), 1, "and told so");
        world.run_until_ended(call);

        assert_done_once(world, first, 1);
        assert_done_once(world, call, 1);
        assert_eq!(world.client_counters(till).sessions_lost, 0, "it was resumed");
    });
}

/// Given a HELLO that was late and opens a session nobody knows of, when the client makes its next
/// durable call, then it notices, claims its generation again, and the call is done.
#[test]
fn eo_late_hello() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.finish_call(till, durable());
        world.run(secs(60));
        assert_eq!(world.with_server(bank, |server| server.sessions()), 0, "the lease is over");
        let given_up = world.call(till, durable().within(ms(10)));
        world.run(Duration::from_micros(60));
        let late = world.link(till, bank).hold_next(Kind::Hello);
        world.run_until_ended(given_up);
        assert_eq!(world.verdict(given_up), Execution::NotExecuted);
        world.run(secs(1));
        let before = world.finish_call(till, durable());
        world.deliver(&late);
        world.run(secs(1));
        assert_eq!(world.with_server(bank, |server| server.sessions()), 2, "one nobody knows of");

        let call = world.finish_call(till, durable());

        assert_done_once(world, before, 1);
        assert_done_once(world, call, 1);
        let generation = welcome(world, bank, till).generation;
        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!(welcome(world, bank, till).generation, generation);
        assert_eq!(world.rows(bank).len(), 1);
    });
}

/// The same, and the session that nobody knows of is over before the call: nobody holds the generation
/// any more, and it is no less there.
#[test]
fn eo_late_hello_forgotten() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let first = world.finish_call(till, durable());
        let copy = Copy::of(world, till, bank);
        copy.claim(world, bank);
        world.run(secs(10));
        assert_eq!(world.with_server(bank, |server| server.sessions()), 1, "the copy's is over");

        let call = world.finish_call(till, durable());

        assert_done_once(world, first, 1);
        assert_done_once(world, call, 1);
        assert_eq!(world.requests(call)[0].sequence, Sequence(2));
        assert_eq!(world.rows(bank).len(), 1);
    });
}

/// Given a call under way, when the client's address changes and it does not know, then the call
/// runs once, and its reply comes to the new address once that is proved.
#[test]
fn eo_address_change() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_take(bank, ms(200));
        let call = world.call(till, durable());
        world.run(ms(5));
        world.move_client(till, "elsewhere");

        world.run_until_ended(call);
        let next = world.finish_call(till, durable());

        assert_done_once(world, call, 1);
        assert_done_once(world, next, 1);
        assert_eq!(world.client_counters(till).sessions_lost, 0);
        assert_eq!(world.server_counters(bank).sessions_opened, 1);
    });
}

/// Given a client whose address changes while its server restarts elsewhere on the same store, when
/// it asks again, then the call is done once.
#[test]
fn eo_address_change_and_restart() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.link(bank, till).drop_next(Kind::Reply);
        let call = world.call(till, durable());
        world.run(ms(3));
        world.crash(bank);
        world.move_client(till, "elsewhere");
        world.restart_server(bank);
        world.run_until_ended(call);
        assert_done_once(world, call, 1);
    });
}

/// Given calls that ended in doubt, when their server died and came back, then `resolve` gives the
/// stored reply of the one that was done, and the promise of the other that it never will be.
#[test]
fn eo_resolve_after_restart() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.link(bank, till).drop_next(Kind::Reply);
        let done = world.call(till, durable().within(secs(1)));
        world.run(ms(3));
        world.part(till, bank);
        let lost = world.call(till, durable().within(secs(1)));
        world.run_until_ended(lost);
        assert_eq!([done, lost].map(|call| world.verdict(call)), [Execution::Unknown; 2]);
        let late = world.link(till, bank).copy_last(Kind::Request);
        world.crash(bank);
        world.restart_server(bank);
        world.rejoin(till, bank);

        let (of_done, of_lost) = (world.resolve(done, secs(5)), world.resolve(lost, secs(5)));
        world.deliver(&late);
        world.run(secs(1));

        assert_eq!(of_done, world.returned(done, 1));
        assert_eq!(of_lost, Outcome::Sealed);
        assert_eq!((world.executions(done), world.effects(done)), (1, 1));
        assert_eq!((world.executions(lost), world.effects(lost)), (0, 0));
    });
}

/// Given a call that kills every server it runs at, when three lives have died of it, then the client
/// stops by itself, in doubt, and no later life runs it.
#[test]
fn eo_poison_call() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_take(bank, secs(1));
        let call = world.call(till, durable().within(secs(60)));
        for life in 1..=3 {
            while world.executions(call) < life {
                world.run(ms(10));
            }
            assert!(!world.has_ended(call));
            world.crash(bank);
            world.run(ms(100));
            world.restart_server(bank);
        }

        world.run_until_ended(call);
        world.run(secs(5));

        assert_eq!(world.outcome(call), Outcome::InDoubt(DoubtCause::ServerDied));
        assert_eq!((world.executions(call), world.effects(call)), (3, 0));
        assert!(world.now() < secs(12), "long before its deadline");
        assert_eq!(world.resolve(call, secs(2)), Outcome::Sealed);
        let next = world.finish_call(till, durable());
        assert_done_once(world, next, 1);
    });
}

/// Given a client that nobody hears of for longer than its rows are kept, and one that keeps calling,
/// when the time is over, then the rows of the first are deleted and those of the second are not.
#[test]
fn eo_retention() {
    story(|world| {
        let bank = world.server_with("bank", |limits| limits.retention = secs(120));
        let (till, shop) = (world.client("till", bank), world.client("shop", bank));
        world.finish_call(till, durable());
        world.finish_call(shop, durable());
        let generations = [till, shop].map(|client| welcome(world, bank, client).generation);
        for _ in 0..16 {
            world.finish_call(shop, durable());
            world.run(secs(10));
            assert!(world.now() > secs(110) || world.rows(bank).len() == 2, "too early");
        }
        assert_eq!(world.rows(bank).len(), 1);
        assert_eq!(world.rows(bank)[0].sequence, Sequence(17));

        let late = world.finish_call(till, durable());
        let next = world.finish_call(shop, durable());

        assert_done_once(world, late, 1);
        assert_done_once(world, next, 1);
        assert_ne!(welcome(world, bank, till).generation, generations[0], "a new one");
        assert_eq!(welcome(world, bank, shop).generation, generations[1], "the same");
        assert_eq!(world.requests(late)[0].sequence, Sequence(1));
    });
}

/// Given a client whose calls have all ended, when it closes, then it says so, and its rows are
/// deleted at once.
#[test]
fn eo_forget() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        let call = world.finish_call(till, durable());
        assert_eq!(world.rows(bank).len(), 1);
        world.close(till);
        world.run(ms(10));
        assert_eq!(world.rows(bank), []);
        assert_done_once(world, call, 1);
    });
}

/// Given a client that has its reply, when it falls idle and says so, then the reply's bytes are
/// freed in the store too; and a lost acknowledgement costs nothing but them.
#[test]
fn eo_acknowledged() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.finish_call(till, durable());
        assert!(world.rows(bank)[0].ended.is_some());
        world.run(secs(1));
        assert_eq!(world.rows(bank)[0].ended, None);
        world.link(till, bank).drop_next(Kind::Ack);
        world.finish_call(till, durable());
        world.run(secs(1));
        assert!(world.rows(bank)[0].ended.is_some());
        world.crash(bank);
        world.restart_server(bank);
        let next = world.finish_call(till, durable());
        assert_done_once(world, next, 1);
    });
}

/// Given a server that was stalled and has learnt that a later life has its store, when it is asked
/// about a call which that one has done, then it says nothing.
#[test]
fn eo_zombie_is_silent() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_take(bank, secs(2));
        let call = world.call(till, durable());
        world.run(ms(5));
        let (header, server) = (world.link(bank, till).header(), world.server_id(bank));
        world.successor("bank-2", bank);
        world.run_until_ended(call);
        world.run(secs(1));
        let said = world.link(bank, till).said(|_, _| Some(())).len();

        let envelope = Envelope {
            space: Space::Durable,
            target: header.incarnation.tag(),
            session: header.session,
            incarnation: world.incarnation(till),
        };
        let seal = Seal { slot: SlotIndex(0), sequence: Sequence(1), stamp: 0 };
        world.forge(till, bank, &envelope, &Pdu::Seal(seal));
        world.run(ms(10));

        assert_eq!(world.server_id(bank), server);
        assert_eq!(world.link(bank, till).said(|_, _| Some(())).len(), said, "not a word");
        assert_done_once(world, call, 2);
    });
}

/// Given a refused call, and a HELLO that was late and takes the generation for a session that nobody
/// uses, when that session is over and a copy of the call arrives, then it is refused again: what is
/// known of it is not in the store.
#[test]
fn eo_late_hello_after_refusal() {
    story(|world| {
        let bank = world.server_with("bank", |limits| limits.calls_running_max = 1);
        let till = world.client("till", bank);
        world.handlers_take(bank, ms(100));
        let first = world.call(till, durable());
        world.run(ms(5));
        let refused = world.finish_call(till, durable());
        assert_eq!(world.verdict(refused), Execution::NotExecuted);
        let late = world.link(till, bank).copy_last(Kind::Request);
        world.run_until_ended(first);
        let copy = Copy::of(world, till, bank);
        copy.claim(world, bank);
        world.run(secs(5));
        assert_eq!(world.with_server(bank, |server| server.sessions()), 1, "the copy's is over");
        let next = world.finish_call(till, durable());

        world.deliver(&late);
        world.run(secs(1));

        assert_eq!(world.executions(refused), 0);
        assert_eq!(world.effects(refused), 0);
        assert_done_once(world, first, 1);
        assert_done_once(world, next, 1);
    });
}
