//! Durable slots: REQUEST and ACK against every state, and how calls begin and end. The table
//! "Durable slot", cell by cell.

use super::*;

mod generations;
mod hellos;
mod quanta;
mod questions;

const GENERATION: GenerationId = GenerationId(0x6e);
const FRESH: GenerationId = GenerationId(0x6f);

/// The states of a durable slot; no call of it is ever repeated.
const EVERY: [Prepared; 7] = [
    Prepared::Queued,
    Prepared::Running,
    Prepared::Done,
    Prepared::Failed,
    Prepared::Refused,
    Prepared::Sealed,
    Prepared::Acked,
];

/// Those in which a call is under way.
const AT_WORK: [Prepared; 2] = [Prepared::Queued, Prepared::Running];

/// What a duplicate of the last call is told.
fn stored(state: Prepared, transmission: u16) -> Option<Said> {
    match state {
        Prepared::Done => Some(returned(LAST, transmission)),
        Prepared::Failed => Some(failed(LAST, transmission, ReplyStatus::Panicked, b"panic")),
        Prepared::Refused => Some(refused(LAST, RefuseReason::UnknownMethod)),
        Prepared::Sealed => Some(promised(LAST)),
        Prepared::Acked
        | Prepared::Queued
        | Prepared::Running
        | Prepared::Ran
        | Prepared::Closed => None,
    }
}

fn row(sequence: u64, ended: Option<(ReplyStatus, &[u8])>) -> DurableRow {
    let ended = ended.map(|(status, body)| (status, body.to_vec()));
    DurableRow { slot: SLOT, sequence: Sequence(sequence), digest: 1000 + sequence, ended }
}

impl Bench {
    /// A server with a store, and a session with an empty generation.
    fn durable() -> Self {
        Self::durable_with(Limits::default(), Vec::new())
    }

    /// With limits, and what the store knows.
    fn durable_with(limits: Limits, rows: Vec<DurableRow>) -> Self {
        let mut bench = Self::empty(limits);
        bench.enable_durable(rows);
        bench
    }

    /// There is a store from now on, and a session with an empty generation, or what it knows.
    fn enable_durable(&mut self, rows: Vec<DurableRow>) {
        self.server.enable_durable();
        self.session = self.claim(GenerationId::NONE, GENERATION, rows);
        self.pass(Duration::ZERO);
        self.retained.clear();
    }

    /// A server's next life, on a store that says this.
    fn reborn(rows: Vec<DurableRow>) -> Self {
        Self::durable_with(Limits::default(), rows)
    }

    /// Opens a session with a generation; the store, if it is asked, answers with `found`.
    fn claim(
        &mut self,
        wanted: GenerationId,
        found: GenerationId,
        rows: Vec<DurableRow>,
    ) -> SessionId {
        let hello = Hello { durable: 1, generation: wanted, ..self.hello() };
        self.claim_with(&hello, Some(DurableTable { generation: found, rows }))
    }

    fn claim_with(&mut self, hello: &Hello, table: Option<DurableTable>) -> SessionId {
        let mut all = self.prove(hello);
        if let Some((key, _)) = self.openings.pop() {
            assert!(all.is_empty(), "{all:?}");
            self.server.generation_opened(self.now, key, table);
            all = self.drain();
        }
        let [(to, envelope, Said::Welcome(_))] = &all[..] else { panic!("{all:?}") };
        assert_eq!(*to, self.from);
        envelope.session
    }

    /// Says HELLO with a proof of the address; what comes then.
    fn prove(&mut self, hello: &Hello) -> Vec<(Address, Envelope, Said)> {
        let (_, said) = self.say_hello(hello);
        let Said::Cookie(Cookie { cookie, .. }) = said else { panic!("{said:?}") };
        let hello = Hello { has_cookie: 1, cookie, ..*hello };
        let envelope = Envelope { session: SessionId::NONE, ..self.envelope() };
        self.send_as(self.from, &envelope, &Pdu::Hello(hello))
    }

    fn send_durable(&mut self, pdu: &Pdu<'_>) -> Vec<Said> {
        let envelope = Envelope { space: Space::Durable, ..self.envelope() };
        let all = self.send_as(self.from, &envelope, pdu);
        for (to, envelope, _) in &all {
            assert_eq!((*to, envelope.session), (self.from, self.session));
        }
        all.into_iter().map(|(_, _, said)| said).collect()
    }

    fn d_request(&mut self, sequence: u64) -> Vec<Said> {
        let request = self.call_of(DURABLE, sequence);
        self.send_durable(&Pdu::Request(request))
    }

    fn d_duplicate(&mut self, sequence: u64) -> Vec<Said> {
        let request = Request { transmission: 2, ..self.call_of(DURABLE, sequence) };
        self.send_durable(&Pdu::Request(request))
    }

    fn d_ping(&mut self, sequence: u64) -> Vec<Said> {
        self.send_durable(&Pdu::Ping(Ping { slot: SLOT, sequence: Sequence(sequence), stamp: 0 }))
    }

    fn d_seal(&mut self, sequence: u64) -> Vec<Said> {
        self.send_durable(&Pdu::Seal(Seal { slot: SLOT, sequence: Sequence(sequence), stamp: 0 }))
    }

    fn d_cancel(&mut self, sequence: u64) -> Vec<Said> {
        let sequence = Sequence(sequence);
        self.send_durable(&Pdu::Cancel(Cancel { slot: SLOT, sequence, stamp: 0 }))
    }

    fn d_ack(&mut self, sequence: u64) -> Vec<Said> {
        let sequence = Sequence(sequence);
        self.send_durable(&Pdu::Ack(Ack {
            slot: SLOT,
            sequence,
            cumulative: 1,
            fragments: 1,
            bitmap: 0,
        }))
    }

    /// A bench whose durable slot 0 has accepted [`LAST`] and is in the given state.
    fn durably(state: Prepared) -> Self {
        let mut bench = Self::durable();
        bench.prepare_durable(state);
        assert!(bench.cancelled.is_empty());
        bench
    }

    fn prepare_durable(&mut self, state: Prepared) {
        match state {
            Prepared::Queued => assert_eq!(self.d_request(LAST), []),
            Prepared::Running => {
                self.prepare_durable(Prepared::Queued);
                self.begin();
            }
            Prepared::Done => {
                self.prepare_durable(Prepared::Running);
                assert_eq!(self.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 1)]);
            }
            Prepared::Failed => {
                self.prepare_durable(Prepared::Running);
                self.finish(HandlerEnd::Panicked, b"panic");
            }
            Prepared::Refused => {
                let request = Request { method: MethodFingerprint(1), ..self.call(LAST) };
                self.send_durable(&Pdu::Request(Request { name: 1, ..request }));
            }
            Prepared::Sealed => drop(self.d_seal(LAST)),
            Prepared::Acked => {
                self.prepare_durable(Prepared::Done);
                assert_eq!(self.d_ack(LAST), []);
            }
            Prepared::Ran | Prepared::Closed => unreachable!("no durable call is repeated"),
        }
    }

    fn live(&self) -> usize {
        self.server.durable_calls(self.session, GENERATION)
    }
}

#[test]
fn durable_slot_request_below_last_is_dropped_in_every_state() {
    for state in EVERY {
        let mut bench = Bench::durably(state);
        let queued = bench.queue.len();
        assert_eq!(bench.d_request(LAST - 1), [], "{state:?}");
        assert_eq!(bench.queue.len(), queued, "{state:?}");
    }
}

#[test]
fn durable_slot_request_equal_with_other_bits_is_identity_in_use_and_reported() {
    for state in EVERY {
        let mut bench = Bench::durably(state);
        let queued = bench.queue.len();
        let request = Request { digest: 1, ..bench.call_of(DURABLE, LAST) };
        let said = bench.send_durable(&Pdu::Request(request));
        let is_noticed = !matches!(state, Prepared::Sealed | Prepared::Acked);
        let expected = match state {
            Prepared::Sealed => vec![promised(LAST)],
            Prepared::Acked => vec![],
            Prepared::Queued
            | Prepared::Running
            | Prepared::Done
            | Prepared::Failed
            | Prepared::Refused
            | Prepared::Ran
            | Prepared::Closed => vec![refused(LAST, RefuseReason::IdentityInUse)],
        };
        assert_eq!(said, expected, "{state:?}");
        assert_eq!(bench.counters().mismatches, u64::from(is_noticed), "{state:?}");
        assert_eq!(bench.queue.len(), queued, "{state:?}");
        let said = bench.d_duplicate(LAST);
        if !AT_WORK.contains(&state) {
            let told: Vec<Said> = stored(state, 2).into_iter().collect();
            assert_eq!(said, told, "{state:?}: the original is not touched");
        }
    }
}

#[test]
fn durable_slot_request_equal_at_work_is_working() {
    for state in AT_WORK {
        let mut bench = Bench::durably(state);
        Bench::assert_working(&bench.d_duplicate(LAST), LAST, LAST);
        assert_eq!(bench.queue.len() + bench.running.len(), 1);
        assert!(bench.cancelled.is_empty());
    }
}

#[test]
fn durable_slot_request_equal_ended_repeats_the_stored_answer() {
    for state in [Prepared::Done, Prepared::Failed, Prepared::Refused, Prepared::Sealed] {
        let mut bench = Bench::durably(state);
        for _ in 0..2 {
            assert_eq!(bench.d_duplicate(LAST), [stored(state, 2).unwrap()], "{state:?}");
        }
        assert!(bench.queue.is_empty());
    }
}

#[test]
fn durable_slot_request_equal_acked_is_dropped() {
    let mut bench = Bench::durably(Prepared::Acked);
    assert_eq!(bench.d_duplicate(LAST), []);
    assert!(bench.queue.is_empty());
}

#[test]
fn durable_slot_request_equal_to_the_row_of_an_earlier_life_is_told_what_it_says() {
    let bodies: [(ReplyStatus, &[u8]); 2] =
        [(ReplyStatus::Returned, b"reply"), (ReplyStatus::Panicked, b"panic")];
    for (status, body) in bodies {
        let mut bench = Bench::reborn(vec![row(LAST, Some((status, body)))]);
        assert_eq!(bench.d_duplicate(LAST), [failed(LAST, 2, status, body)]);
        assert_eq!(bench.d_seal(LAST), [failed(LAST, 0, status, body)]);
        let row_bytes = bench.server.durable.generations.values().map(|known| known.row_bytes);
        assert_eq!(row_bytes.sum::<usize>(), body.len());
        let request = Request { digest: 1, ..bench.call_of(DURABLE, LAST) };
        let said = bench.send_durable(&Pdu::Request(request));
        assert_eq!(said, [refused(LAST, RefuseReason::IdentityInUse)]);
        assert!(bench.queue.is_empty());
        assert_eq!(bench.d_request(LAST + 1), []);
        let row_bytes = bench.server.durable.generations.values().map(|known| known.row_bytes);
        assert_eq!(row_bytes.sum::<usize>(), 0, "the next call acknowledges it");
        assert_eq!(bench.serve(), [returned(LAST + 1, 1)]);
    }
    let mut bench = Bench::reborn(vec![row(LAST, None)]);
    assert_eq!(bench.d_duplicate(LAST), [], "acknowledged");
    assert_eq!(bench.d_seal(LAST), [closed(LAST)]);
}

#[test]
fn durable_slot_refused_and_sealed_are_not_written_and_the_next_life_accepts_what_is_above_its_row()
{
    for state in [Prepared::Refused, Prepared::Sealed] {
        let bench = Bench::durably(state);
        assert!(bench.acknowledged.is_empty());
        let mut bench = Bench::reborn(vec![row(LAST - 2, None)]);
        assert_eq!(bench.d_request(LAST + 1), [], "a gap is no error (H3)");
        assert_eq!(bench.serve(), [returned(LAST + 1, 1)]);
    }
}

#[test]
fn durable_slot_request_above_at_work_is_busy_cancels_and_stores_nothing() {
    let mut bench = Bench::durably(Prepared::Running);
    Bench::assert_working(&bench.d_request(LAST + 1), LAST + 1, LAST);
    assert_eq!(bench.cancelled, bench.running);
    Bench::assert_working(&bench.d_request(LAST + 1), LAST + 1, LAST);
    assert_eq!(bench.cancelled.len(), 1, "told once");
    let end = HandlerEnd::Cancelled { partial: false };
    assert_eq!(bench.finish(end, b""), [failed(LAST, 1, ReplyStatus::Cancelled, b"")]);
    assert_eq!(bench.d_request(LAST + 1), []);
    assert_eq!(bench.serve(), [returned(LAST + 1, 1)]);

    let mut bench = Bench::durably(Prepared::Queued);
    Bench::assert_working(&bench.d_request(LAST + 1), LAST + 1, LAST);
    assert_eq!(bench.try_begin(), Begin::Not, "the older one is called off");
    assert_eq!(bench.d_request(LAST + 1), []);
    assert_eq!(bench.serve(), [returned(LAST + 1, 1)]);
}

#[test]
fn durable_slot_request_above_idle_is_accepted_and_frees_what_was_there() {
    for state in EVERY.into_iter().filter(|state| !AT_WORK.contains(state)) {
        let mut bench = Bench::durably(state);
        assert_eq!(bench.d_request(LAST + 3), [], "{state:?}");
        assert_eq!(bench.server.stored_bytes(), 64, "the room reserved for its reply");
        assert_eq!(bench.serve(), [returned(LAST + 3, 1)], "{state:?}");
        assert!(bench.server.stored_bytes() < 64, "room that was not used is given back");
        assert_eq!(bench.d_duplicate(LAST), [], "{state:?}");
    }
}

#[test]
fn durable_slot_request_above_is_refused_for_good_and_nothing_is_written() {
    let mut bench = Bench::durably(Prepared::Done);
    let call = bench.call_of(DURABLE, LAST + 1);
    let late = Request { not_after_us: 0, ..call };
    let unknown = Request { method: MethodFingerprint(1), name: 1, ..call };
    let changed = Request { method: MethodFingerprint(1), ..call };
    let wrong = Request { semantics: Semantics::AtMostOnce, ..call };
    let cases = [
        (late, RefuseReason::Expired),
        (unknown, RefuseReason::UnknownMethod),
        (changed, RefuseReason::ChangedMethod),
        (wrong, RefuseReason::ChangedMethod),
    ];
    bench.pass(Duration::from_millis(1));
    for (sequence, (request, reason)) in (LAST + 1..).zip(cases) {
        let digest = 1000 + sequence;
        let request = Request { sequence: Sequence(sequence), digest, ..request };
        let said = bench.send_durable(&Pdu::Request(request));
        assert!(
            matches!(said[..], [Said::Refuse { reason: told, .. }] if told == reason),
            "{said:?}"
        );
        let good = Request { transmission: 2, ..bench.call_of(DURABLE, sequence) };
        assert_eq!(bench.send_durable(&Pdu::Request(good)), said, "refused for good");
    }
    assert!(bench.queue.is_empty());
    assert_eq!(bench.server.stored_bytes(), 0);
}

#[test]
fn durable_slot_request_above_is_refused_under_overload_and_while_draining_but_duplicates_are_not()
{
    let limits = Limits { calls_queued_max: 1, ..Limits::default() };
    let mut bench = Bench::durable_with(limits, Vec::new());
    assert_eq!(bench.d_request(LAST), []);
    let other = Request { slot: SlotIndex(1), ..bench.call_of(DURABLE, 1) };
    let said = bench.send_durable(&Pdu::Request(other));
    assert!(matches!(said[..], [Said::Refuse { reason: RefuseReason::Overload, .. }]), "{said:?}");
    assert_eq!(bench.serve(), [returned(LAST, 1)]);
    bench.server.drain(bench.now, Duration::from_secs(1));
    bench.drain();
    assert_eq!(bench.d_duplicate(LAST), [returned(LAST, 2)], "the slot comes first (C2)");
    let said = bench.d_request(LAST + 1);
    assert!(matches!(said[..], [Said::Refuse { reason: RefuseReason::Draining, .. }]), "{said:?}");
}

#[test]
fn durable_slot_request_of_sequence_zero_or_beyond_the_slots_is_dropped() {
    let limits = Limits { slots_max: 4, ..Limits::default() };
    let mut bench = Bench::durable_with(limits, Vec::new());
    assert_eq!(bench.d_request(0), []);
    let beyond = Request { slot: SlotIndex(4), ..bench.call_of(DURABLE, 1) };
    assert_eq!(bench.send_durable(&Pdu::Request(beyond)), []);
    assert!(bench.queue.is_empty());
    assert_eq!(bench.counters().foreign, 2);
}

#[test]
fn durable_slot_ack_equal_ended_frees_the_bytes_and_tells_the_store_once() {
    for state in [Prepared::Done, Prepared::Failed] {
        let mut bench = Bench::durably(state);
        assert_eq!(bench.d_ack(LAST), []);
        assert_eq!(bench.d_ack(LAST), []);
        let call = CallId {
            session: SessionId(GENERATION.0),
            space: Space::Durable,
            slot: SLOT,
            sequence: Sequence(LAST),
        };
        assert_eq!(bench.acknowledged, [call], "{state:?}");
        assert_eq!(bench.server.stored_bytes(), 0);
    }
}

#[test]
fn durable_slot_ack_of_anything_else_is_dropped() {
    for state in EVERY {
        for sequence in [LAST - 1, LAST + 1] {
            let mut bench = Bench::durably(state);
            bench.acknowledged.clear();
            assert_eq!(bench.d_ack(sequence), [], "{state:?}");
            assert!(bench.acknowledged.is_empty(), "{state:?}");
        }
    }
    for state in [Prepared::Queued, Prepared::Running, Prepared::Refused, Prepared::Sealed] {
        let mut bench = Bench::durably(state);
        let before = bench.d_duplicate(LAST);
        assert_eq!(bench.d_ack(LAST), [], "{state:?}");
        assert_eq!(bench.d_duplicate(LAST), before, "{state:?}");
        assert!(bench.acknowledged.is_empty(), "{state:?}");
    }
}

#[test]
fn durable_slot_dispatch_past_not_after_refuses() {
    let mut bench = Bench::durably(Prepared::Queued);
    bench.pass(Duration::from_secs(11));
    assert_eq!(bench.try_begin(), Begin::Not);
    assert_eq!(bench.said(), [refused(LAST, RefuseReason::Expired)]);
    assert_eq!(bench.d_duplicate(LAST), [refused(LAST, RefuseReason::Expired)]);
    assert_eq!((bench.live(), bench.server.stored_bytes()), (0, 0));
}

#[test]
fn durable_slot_ends_are_told_and_stored() {
    let cases: [(HandlerEnd, ReplyStatus); 5] = [
        (HandlerEnd::Returned, ReplyStatus::Returned),
        (HandlerEnd::Panicked, ReplyStatus::Panicked),
        (HandlerEnd::HandlerFailed, ReplyStatus::HandlerFailed),
        (HandlerEnd::Cancelled { partial: false }, ReplyStatus::Cancelled),
        (HandlerEnd::Cancelled { partial: true }, ReplyStatus::CancelledPartial),
    ];
    for (end, status) in cases {
        let mut bench = Bench::durably(Prepared::Running);
        assert_eq!(bench.finish(end, b"reply"), [failed(LAST, 1, status, b"reply")], "{end:?}");
        assert_eq!(bench.d_duplicate(LAST), [failed(LAST, 2, status, b"reply")], "{end:?}");
        assert_eq!(bench.live(), 0);
    }
    let mut bench = Bench::durably(Prepared::Running);
    let expected = failed(LAST, 1, ReplyStatus::TooLarge, b"65 bytes, 64 fit");
    assert_eq!(bench.finish(HandlerEnd::Returned, &[7; 65]), [expected]);
}

#[test]
fn durable_slot_bad_arguments_are_refused() {
    let mut bench = Bench::durably(Prepared::Running);
    let told = refused(LAST, RefuseReason::BadArguments);
    assert_eq!(bench.finish(HandlerEnd::BadArguments, b""), std::slice::from_ref(&told));
    assert_eq!(bench.d_duplicate(LAST), [told]);
}

#[test]
fn durable_slot_not_committed_says_nothing_and_runs_when_it_is_asked_for_again() {
    for before in [None, Some(Prepared::Done)] {
        let mut bench = before.map_or_else(Bench::durable, Bench::durably);
        let sequence = if before.is_some() { LAST + 1 } else { 1 };
        bench.d_request(sequence);
        bench.begin();
        assert_eq!(bench.finish(HandlerEnd::NotCommitted, b""), []);
        assert_eq!((bench.live(), bench.counters().not_committed), (0, 1));
        assert_eq!(bench.server.stored_bytes(), 0);
        let said = bench.d_ping(sequence);
        assert!(matches!(said[..], [Said::Unseen(Unseen { .. })]), "{said:?}");
        assert_eq!(bench.d_duplicate(sequence), []);
        bench.begin();
        assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(sequence, 2)]);
    }
}

#[test]
fn durable_slot_not_committed_can_be_sealed_then_and_never_runs() {
    let mut bench = Bench::durably(Prepared::Running);
    assert_eq!(bench.finish(HandlerEnd::NotCommitted, b""), []);
    assert_eq!(bench.d_seal(LAST), [promised(LAST)]);
    assert_eq!(bench.d_duplicate(LAST), [promised(LAST)]);
    assert!(bench.queue.is_empty());
}

#[test]
fn durable_slot_not_committed_after_it_was_sealed_or_called_off_promises_and_never_runs() {
    for say in [Bench::d_seal, Bench::d_cancel] {
        let mut bench = Bench::durably(Prepared::Running);
        Bench::assert_working(&say(&mut bench, LAST), LAST, LAST);
        assert_eq!(bench.finish(HandlerEnd::NotCommitted, b""), [promised(LAST)], "at the end");
        assert_eq!(bench.d_duplicate(LAST), [promised(LAST)]);
        assert!(bench.queue.is_empty(), "a copy of it is not run (H5)");
        assert_eq!((bench.counters().not_committed, bench.counters().sealed), (1, 1));
        assert_eq!((bench.live(), bench.server.stored_bytes()), (0, 0));
        assert_eq!(bench.d_request(LAST + 1), []);
        assert_eq!(bench.serve(), [returned(LAST + 1, 1)]);
    }
}

#[test]
fn durable_slot_not_committed_in_a_store_that_a_later_life_has_is_promised_nothing() {
    let mut bench = Bench::durably(Prepared::Running);
    bench.d_cancel(LAST);
    bench.server.fence_durable();
    assert_eq!(bench.finish(HandlerEnd::NotCommitted, b""), [], "that life may run it");
}

#[test]
fn durable_slot_unsettled_says_nothing_until_the_store_is_read_again() {
    let mut bench = Bench::durably(Prepared::Running);
    assert_eq!(bench.finish(HandlerEnd::Unsettled, b""), []);
    for say in [Bench::d_ping, Bench::d_seal, Bench::d_cancel, Bench::d_duplicate] {
        assert_eq!(say(&mut bench, LAST), [], "closed would be taken for the last word");
    }
    assert!(bench.queue.is_empty());
    assert_eq!((bench.live(), bench.server.stored_bytes()), (0, 0));
    let second = bench.claim(GENERATION, GENERATION, Vec::new());
    bench.session = second;
    assert_eq!(bench.d_seal(LAST), [], "it is in memory still");
    bench.pass(Duration::from_secs(61));
    let rows = vec![row(LAST, Some((ReplyStatus::Returned, b"reply")))];
    bench.session = bench.claim(GENERATION, GENERATION, rows);
    assert_eq!(bench.d_seal(LAST), [returned(LAST, 0)], "the money has moved");
}

#[test]
fn durable_slot_at_work_is_reported_once_unasked_and_called_off_at_its_deadline() {
    let mut bench = Bench::durably(Prepared::Running);
    Bench::assert_working(&bench.pass(Duration::from_millis(10)), LAST, LAST);
    assert_eq!(bench.pass(Duration::from_secs(9)), []);
    assert!(bench.cancelled.is_empty());
    assert_eq!(bench.pass(Duration::from_secs(2)), []);
    assert_eq!(bench.cancelled, bench.running);
}
