//! Recorded calls: nothing leaves before it is written down, and nothing is told.

use super::*;
use crate::ids::GenerationId;
use crate::protocol::{ClientSlot, ClientTable, FormerCall, OnDisk, StartedRecord};

const GENERATION: GenerationId = GenerationId(0x9);
const OTHER_GENERATION: GenerationId = GenerationId(0x99);

/// A client with a journal, and the server of a store.
impl Bench {
    fn keeping() -> Self {
        let mut bench = Self::new();
        bench.client.keep_journal();
        bench
    }

    /// With a recorded `at_most_once` call that waits for its record.
    fn recording() -> (Self, CallKey) {
        let mut bench = Self::keeping();
        let spec = CallSpec { recorded: true, ..bench.spec() };
        let (key, said) = bench.start(spec);
        assert_eq!(bench.welcome_hello(&said), [], "not before it is written down");
        (bench, key)
    }

    fn handed_over() -> (Self, CallKey) {
        let (mut bench, key) = Self::recording();
        assert_eq!(bench.started(true), [request(1)]);
        (bench, key)
    }

    /// The last record is on the disk, or is not.
    fn started(&mut self, is_written: bool) -> Vec<Said> {
        self.started_and(if is_written { OnDisk::Yes } else { OnDisk::No })
    }

    fn started_and(&mut self, on_disk: OnDisk) -> Vec<Said> {
        let (key, call, record) = self.records.remove(0);
        assert!(matches!(record, Record::Started(_)), "{record:?}");
        self.client.started_recorded(self.now, key, call, on_disk);
        self.drain()
    }

    fn ended(&mut self, is_written: bool) -> Vec<Said> {
        let (key, call, record) = self.records.remove(0);
        assert!(matches!(record, Record::Ended(_)), "{record:?}");
        self.client.ended_recorded(self.now, key, call, is_written);
        self.drain()
    }

    /// The server welcomes with durable slots.
    fn welcome_durable(&mut self, said: &[Said], generation: GenerationId) -> Vec<Said> {
        let welcome = Welcome { generation, ..self.welcome_of(only_hello(said).nonce) };
        self.tell(&Pdu::Welcome(welcome))
    }

    pub(super) fn tell_durable(&mut self, pdu: &Pdu<'_>) -> Vec<Said> {
        let envelope = Envelope { space: Space::Durable, ..self.envelope() };
        self.tell_as(&envelope, pdu)
    }

    fn start_durable(&mut self) -> (CallKey, Vec<Said>) {
        let spec = CallSpec { semantics: Semantics::ExactlyOnce, ..self.spec() };
        self.start(spec)
    }
}

/// Slot 0 with its first call open, slot 2 with three calls behind it.
fn table() -> ClientTable {
    let slot = |slot, sequence, is_open| ClientSlot {
        slot: SlotIndex(slot),
        sequence: Sequence(sequence),
        is_open,
    };
    let slots = vec![slot(0, 1, true), slot(2, 3, false)];
    ClientTable { server: SERVER, generation: GENERATION, slots }
}

const fn durable(slot: u32, sequence: u64) -> CallId {
    CallId {
        session: SessionId(GENERATION.0),
        space: Space::Durable,
        slot: SlotIndex(slot),
        sequence: Sequence(sequence),
    }
}

#[test]
fn a_record_holds_the_arguments_and_no_extensions() {
    let mut bench = Bench::keeping();
    let spec = CallSpec { recorded: true, extension_bytes: 4, ..bench.spec() };
    let (_, said) = bench.start(spec);
    assert_eq!(bench.welcome_hello(&said), []);
    let (_, _, record) = bench.records.remove(0);
    let Record::Started(started) = record else { panic!("{record:?}") };
    assert_eq!((started.spec.extension_bytes, &*started.arguments), (0, &b"ments"[..]));
}

#[test]
fn a_call_is_handed_over_once_it_is_written_down_and_told_once_its_end_is() {
    let (mut bench, key) = Bench::recording();
    let (recorded, call, Record::Started(started)) = bench.records[0].clone() else { panic!() };
    assert_eq!((recorded, call), (key, place(1)));
    assert_eq!((started.server, started.arguments), (SERVER, b"arguments".to_vec()));
    assert_eq!(bench.started(true), [request(1)]);
    assert_eq!(bench.tell(&reply(1)), []);
    assert_eq!(bench.ended, [], "not before it is written down");
    assert_eq!(bench.records[0].2, Record::Ended(returned()));
    assert_eq!(bench.tell(&reply(1)), [], "a copy of the reply changes nothing");
    assert_eq!((bench.records.len(), bench.counters().stale), (1, 1));
    bench.ended(true);
    assert_eq!(bench.outcome(), returned());
    assert_eq!(bench.pass(PATIENCE), [ACK], "and acknowledged only then");
}

#[test]
fn a_call_that_cannot_be_written_down_is_not_made() {
    let (mut bench, _) = Bench::recording();
    assert_eq!(bench.started(false), []);
    assert_eq!(bench.outcome(), Outcome::NotSent(NotSentCause::JournalFailed));
    let (_, said) = bench.call();
    assert_eq!(said, [Said::Request { slot: 0, sequence: 2, transmission: 1 }], "the slot is free");
}

/// The next life may find it, and have it run: whoever was told that it did not run would pay twice.
#[test]
fn a_durable_call_that_is_perhaps_written_down_is_in_doubt_and_can_be_asked_about() {
    let mut bench = Bench::keeping();
    assert!(bench.client.restore(bench.now, ClientTable { slots: Vec::new(), ..table() }));
    let (_, said) = bench.start_durable();
    bench.welcome_durable(&said, GENERATION);
    assert_eq!(bench.started_and(OnDisk::Perhaps), [], "it is not made");
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::JournalFailed));
    let (_, said) = bench.resolve(durable(0, 1), PATIENCE);
    assert_eq!(said, [SEAL]);
}

#[test]
fn a_session_s_call_that_is_perhaps_written_down_did_not_run_and_no_life_sends_it() {
    let (mut bench, _) = Bench::recording();
    assert_eq!(bench.started_and(OnDisk::Perhaps), []);
    assert_eq!(bench.outcome(), Outcome::NotSent(NotSentCause::JournalFailed));
}

#[test]
fn calls_that_are_not_asked_to_be_are_not_recorded() {
    let mut bench = Bench::keeping();
    let (_, said) = bench.call();
    assert_eq!(bench.welcome_hello(&said), [request(1)]);
    bench.tell(&reply(1));
    assert_eq!((bench.outcome(), bench.records.len()), (returned(), 0));
}

#[test]
fn what_did_not_run_is_not_denied_without_a_record() {
    for (answer, expected) in terminal_answers() {
        let (mut bench, _) = Bench::handed_over();
        bench.tell(&answer);
        if bench.records.is_empty() {
            assert_eq!(expected, Outcome::InDoubt(DoubtCause::GenerationEnded));
            continue;
        }
        bench.ended(false);
        let denied = expected.execution() == Execution::NotExecuted;
        let unsaid = Outcome::InDoubt(DoubtCause::JournalFailed);
        assert_eq!(bench.outcome(), if denied { unsaid } else { expected.clone() });
        if denied {
            let (_, said) = bench.resolve(place(1), PATIENCE);
            assert_eq!(said, [SEAL], "it can be asked about");
            bench.tell(&answer);
            bench.ended(true);
            assert_eq!(bench.outcome(), expected);
        }
    }
}

#[test]
fn a_call_ends_in_time_however_slow_the_disk_is() {
    let (mut bench, _) = Bench::recording();
    assert_eq!(bench.pass(PATIENCE), [SEAL], "it was never sent, and is sealed");
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::NoReply));
    assert_eq!(bench.started(true), [], "too late");
    let (mut bench, _) = Bench::handed_over();
    bench.tell(&reply(1));
    assert_eq!(bench.pass(PATIENCE), []);
    assert_eq!(bench.outcome(), returned(), "what ran may be said");
    bench.ended(true);
    let (mut bench, _) = Bench::handed_over();
    bench.tell(&sealed(1, SealedVerdict::NotExecuted));
    assert_eq!(bench.pass(PATIENCE), []);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::JournalFailed));
}

#[test]
fn a_call_given_up_before_it_was_handed_over_did_not_run() {
    let (mut bench, key) = Bench::recording();
    assert_eq!(bench.cancel(key), []);
    assert_eq!(bench.started(true), [], "nothing is sent any more");
    bench.ended(true);
    assert_eq!(bench.outcome(), Outcome::NotSent(NotSentCause::Cancelled));
}

#[test]
fn doubt_is_not_written_down_and_can_be_resolved() {
    let (mut bench, _) = Bench::handed_over();
    assert_eq!(bench.pass(PATIENCE).last(), Some(&SEAL));
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::NoReply));
    assert_eq!(bench.records, [], "it stays open for the next life");
    bench.tell(&reply(1));
    assert_eq!(bench.pass(PATIENCE), [], "what nobody was told is not acknowledged");
    bench.resolve(place(1), PATIENCE);
    assert_eq!(bench.ended, []);
    bench.ended(true);
    assert_eq!(bench.outcome(), returned());
    assert_eq!(bench.pass(PATIENCE), [ACK]);
}

#[test]
fn a_call_not_yet_handed_over_moves_to_the_next_session() {
    let (mut bench, key) = Bench::recording();
    let said = bench.no_session();
    bench.session = B;
    assert_eq!(bench.welcome_hello(&said), []);
    let records = std::mem::take(&mut bench.records);
    let kinds: Vec<_> = records.iter().map(|(key, call, record)| (*key, *call, record)).collect();
    let [(_, _, Record::Started(_)), (_, gone, Record::Withdrawn), (again, next, _)] = kinds[..]
    else {
        panic!("{kinds:?}")
    };
    assert_eq!((gone, again, next.session), (place(1), key, B));
    bench.client.started_recorded(bench.now, key, gone, OnDisk::Yes);
    assert_eq!(bench.drain(), [], "its former place is on the disk, not this one");
    bench.client.started_recorded(bench.now, key, next, OnDisk::Yes);
    assert_eq!(bench.drain(), [request(1)]);
}

#[test]
fn a_call_that_was_written_down_while_its_session_was_being_lost_moves_too() {
    let (mut bench, _) = Bench::recording();
    let said = bench.no_session();
    assert_eq!(bench.started(true), [], "the session is not known to live");
    bench.session = B;
    assert_eq!(bench.welcome_hello(&said), []);
    assert_eq!(bench.ended, []);
    assert_eq!(bench.records.remove(0).2, Record::Withdrawn);
    assert_eq!(bench.records[0].1.session, B);
    assert_eq!(bench.started(true), [request(1)]);
}

#[test]
fn durable_slots_go_on_where_the_journal_says() {
    let mut bench = Bench::keeping();
    let (_, said) = bench.start_durable();
    assert_eq!(bench.welcome_hello(&said), []);
    assert_eq!(bench.wanted, [SERVER]);
    bench.client.generation_found(bench.now, Some(table()));
    let said = bench.drain();
    let hello = only_hello(&said);
    assert_eq!((hello.durable, hello.generation), (1, GENERATION));
    bench.welcome_durable(&said, GENERATION);
    assert_eq!(bench.records[0].1, durable(1, 1), "a slot that was never used");
    assert_eq!(bench.started(true), [Said::Request { slot: 1, sequence: 1, transmission: 1 }]);
    bench.start_durable();
    assert_eq!(bench.records[0].1, durable(2, 4), "behind the calls of the former life");
    let (_, said) = bench.resolve(durable(0, 1), PATIENCE);
    assert_eq!(said, [SEAL], "which is asked about, and not sent again");
    bench.tell_durable(&reply(1));
    assert_eq!((bench.ended.len(), bench.records.len()), (0, 2));
}

#[test]
fn a_call_of_a_former_life_is_sealed_in_the_first_session() {
    let mut bench = Bench::keeping();
    assert!(bench.client.restore(bench.now, table()));
    let (_, said) = bench.resolve(durable(0, 1), PATIENCE);
    let hello = only_hello(&said);
    assert_eq!((hello.durable, hello.generation), (1, GENERATION));
    assert_eq!(bench.welcome_durable(&said, GENERATION), [SEAL]);
    bench.tell_durable(&sealed(1, SealedVerdict::NotExecuted));
    bench.ended(true);
    assert_eq!(bench.outcome(), Outcome::Sealed);
    assert!(!bench.client.restore(bench.now, table()), "it has slots");
}

#[test]
fn a_call_of_a_former_life_runs_after_all_if_that_is_wanted() {
    let mut bench = Bench::keeping();
    assert!(bench.client.restore(bench.now, table()));
    let spec = CallSpec { semantics: Semantics::ExactlyOnce, recorded: true, ..bench.spec() };
    let started = StartedRecord {
        server: SERVER,
        incarnation: LIFE_OF_SERVER,
        spec,
        digest: 77,
        in_doubt: false,
        arguments: b"as before".to_vec(),
    };
    let deadline = bench.now + PATIENCE;
    let key = bench.client.complete(bench.now, durable(0, 1), started.clone(), deadline);
    bench.enter(key, deadline);
    let said = bench.drain();
    assert_eq!(bench.welcome_durable(&said, GENERATION).len(), 1);
    let asked = bench.asked.clone().unwrap();
    assert_eq!((asked.digest, asked.arguments), (77, b"as before".to_vec()));
    bench.client.durable.slots.check(&bench.client.calls);
    bench.tell_durable(&reply(1));
    bench.ended(true);
    assert_eq!(bench.outcome(), returned());
    let key = bench.client.complete(bench.now, durable(0, 1), started, deadline);
    bench.enter(key, deadline);
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::Closed));
}

#[test]
fn a_server_that_deleted_the_slots_leaves_their_calls_unknown_for_good() {
    let mut bench = Bench::keeping();
    assert!(bench.client.restore(bench.now, table()));
    let (_, said) = bench.resolve(durable(0, 1), PATIENCE);
    bench.welcome_durable(&said, OTHER_GENERATION);
    let (_, call, forgotten) = bench.records.remove(0);
    assert_eq!((call.session.0, forgotten), (GENERATION.0, Record::Forgotten));
    bench.ended(true);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::GenerationEnded));
}

#[test]
fn another_server_says_nothing_of_the_slots() {
    let mut bench = Bench::keeping();
    let elsewhere = ClientTable { server: ServerId(0xff), ..table() };
    assert!(bench.client.restore(bench.now, elsewhere));
    let (_, said) = bench.resolve(durable(0, 1), PATIENCE);
    bench.welcome_durable(&said, OTHER_GENERATION);
    assert_eq!(bench.records, []);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::SessionLost));
}

#[test]
fn a_client_with_a_journal_keeps_its_slots_when_it_closes() {
    let mut bench = Bench::keeping();
    assert!(bench.client.restore(bench.now, ClientTable { slots: Vec::new(), ..table() }));
    let (_, said) = bench.start_durable();
    bench.welcome_durable(&said, GENERATION);
    bench.started(true);
    bench.tell_durable(&reply(1));
    bench.ended(true);
    bench.client.close(bench.now);
    let mut datagram = Vec::new();
    let Output::Transmit { .. } = bench.client.poll_output(bench.now, &mut datagram) else {
        panic!()
    };
    let (_, pdu, _) = decode(&datagram).unwrap();
    assert_eq!(pdu, Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] }));
}

/// Asks about a call that a former life made in session [`B`].
fn former(bench: &mut Bench, life: Incarnation, stops: bool) -> Vec<Said> {
    let call = CallId { session: B, ..place(1) };
    let former = FormerCall { call, server: SERVER, incarnation: life, in_doubt: false };
    let deadline = bench.now + PATIENCE;
    let key = bench.client.resolve_former(bench.now, former, deadline, stops);
    bench.enter(key, deadline);
    bench.drain()
}

#[test]
fn a_call_of_a_former_session_is_asked_about_in_that_session() {
    for (stops, question) in [(false, SEAL), (true, CANCEL)] {
        let mut bench = Bench::keeping();
        let said = former(&mut bench, LIFE_OF_SERVER, stops);
        assert_eq!(bench.welcome_hello(&said), std::slice::from_ref(&question));
        assert_eq!(bench.said_in, [B], "not in this life's own");
        assert_eq!(bench.step().1, [question], "until it is answered");
        assert_eq!(bench.tell(&reply(1)), [], "an answer of another session");
        let envelope = Envelope { session: B, ..bench.envelope() };
        assert_eq!(bench.tell_as(&envelope, &working(1, 1)), []);
        assert_eq!(bench.records, []);
        bench.tell_as(&envelope, &sealed(1, SealedVerdict::NotExecuted));
        bench.ended(true);
        assert_eq!(bench.outcome(), Outcome::Sealed);
    }
}

/// The campaign's seed 15804: a call that may run again had run in an earlier place, and was sealed in
/// the one that the journal had.
#[test]
fn a_former_call_that_may_have_run_elsewhere_stays_in_doubt_though_it_is_sealed_here() {
    let mut bench = Bench::keeping();
    let call = CallId { session: B, ..place(1) };
    let former = FormerCall { call, server: SERVER, incarnation: LIFE_OF_SERVER, in_doubt: true };
    let deadline = bench.now + PATIENCE;
    let key = bench.client.resolve_former(bench.now, former, deadline, false);
    bench.enter(key, deadline);
    let said = bench.drain();
    bench.welcome_hello(&said);
    let envelope = Envelope { session: B, ..bench.envelope() };
    bench.tell_as(&envelope, &sealed(1, SealedVerdict::NotExecuted));
    bench.ended(true);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::RefusedAfterDoubt));
}

#[test]
fn a_former_session_that_is_over_leaves_its_calls_unknown_for_good() {
    let mut bench = Bench::keeping();
    let said = former(&mut bench, LIFE_OF_SERVER, false);
    bench.welcome_hello(&said);
    let envelope = Envelope { session: B, ..bench.envelope() };
    bench.tell_as(&envelope, &no_session());
    bench.ended(true);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::SessionLost));
    let said = former(&mut bench, Incarnation(7), false);
    assert_eq!(said, [], "the server's life that knew is over");
    bench.ended(true);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::ServerRestarted));
}

#[test]
fn a_server_that_opens_no_session_is_asked_about_former_calls_again_but_not_at_once() {
    for reason in [RejectReason::Version, RejectReason::Draining] {
        let mut bench = Bench::keeping();
        let said = former(&mut bench, LIFE_OF_SERVER, true);
        assert_eq!(bench.reject_hello(&said, reason, 0), [], "{reason:?}");
        let hellos = bench.pass(Limits::default().retransmit_initial).len();
        assert_eq!((hellos, bench.ended.len()), (1, 0), "{reason:?}");
    }
}

#[test]
fn another_server_in_the_place_says_nothing_of_former_calls_and_is_told_of() {
    let other = ServerId(0xff);
    let reject = |nonce| Reject {
        nonce,
        server: other,
        highest: Incarnation(9),
        reason: RejectReason::StaleBinding,
        version_min: 1,
        version_max: 1,
        pad: 0,
        push_back_ms: 0,
    };
    let mut bench = Bench::keeping();
    let said = former(&mut bench, LIFE_OF_SERVER, true);
    let envelope = Envelope { session: SessionId::NONE, ..bench.envelope() };
    let said = bench.tell_as(&envelope, &Pdu::Reject(reject(only_hello(&said).nonce)));
    assert_eq!((said, bench.records.len()), (Vec::new(), 0), "its end is not known");
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::SessionLost));
    assert_eq!(bench.client.found_there(), other);
}

#[test]
fn a_call_that_may_run_again_leaves_its_lost_place_in_doubt_and_is_recorded_in_the_next() {
    let mut bench = Bench::keeping();
    let spec = CallSpec { semantics: Semantics::AtLeastOnce, recorded: true, ..bench.spec() };
    let (key, said) = bench.start(spec);
    bench.welcome_hello(&said);
    bench.started(true);
    let hello = bench.no_session();
    bench.session = B;
    assert_eq!(bench.welcome_hello(&hello), [], "not before it is written down");
    let (lost, record) = (bench.records[0].1, bench.records[0].2.clone());
    assert_eq!(lost.session, A);
    assert_eq!(record, Record::Ended(Outcome::InDoubt(DoubtCause::SessionLost)));
    assert_eq!(bench.ended(true), [], "nobody waited for that");
    assert_eq!((bench.records[0].0, bench.records[0].1.session), (key, B));
    bench.started(false);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::NoReply), "it may have run in A");
}

#[test]
fn an_answer_in_a_former_session_says_nothing_of_the_lease_of_this_one() {
    let mut bench = Bench::keeping();
    let said = former(&mut bench, LIFE_OF_SERVER, false);
    bench.welcome_hello(&said);
    bench.now = bench.now + LEASE / 2;
    let envelope = Envelope { session: B, ..bench.envelope() };
    bench.tell_as(&envelope, &working(1, 1));
    let (_, said) = bench.call();
    assert_eq!(only_hello(&said).resume, A, "it is asked for before anything is handed over");
}
