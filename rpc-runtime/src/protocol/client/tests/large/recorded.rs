//! Large replies of recorded calls: not acknowledged as a whole before their end is on the disk.

use super::*;
use crate::protocol::{FormerCall, OnDisk};

fn recording() -> Pair {
    let mut pair = Pair::new(AckProtocol::Blast, (0, 0, 0));
    pair.client.keep_journal();
    pair.records = Some(Vec::new());
    pair
}

impl Pair {
    /// What waits for the disk is there.
    fn write(&mut self) {
        for (key, call, record) in self.records.replace(Vec::new()).expect("a journal") {
            match record {
                Record::Started(_) => {
                    self.client.started_recorded(self.now, key, call, OnDisk::Yes);
                }
                Record::Ended(_) => self.client.ended_recorded(self.now, key, call, true),
                Record::Withdrawn | Record::Forgotten => {}
            }
        }
        self.drain();
    }
}

#[test]
fn a_large_reply_is_kept_until_its_end_is_written_down_and_then_acknowledged_at_once() {
    for semantics in [Semantics::AtMostOnce, Semantics::ExactlyOnce] {
        let mut pair = recording();
        let arguments = bytes_of(30_000);
        pair.call(semantics, arguments.clone(), LONG);
        pair.pass(Duration::from_millis(50));
        pair.write();
        pair.pass(Duration::from_secs(1));
        assert!(pair.ended.is_empty(), "the end is not on the disk");
        assert!(pair.server.stored_bytes() >= 30_000, "and may be asked for by another life");
        pair.write();
        pair.check_returned(&arguments);
        pair.pass(Duration::from_millis(10));
        assert_eq!(pair.server.stored_bytes(), 0);
        assert_eq!(pair.ran.len(), 1);
    }
}

/// The client's life ends here; the next one comes and asks.
fn live_again_and_ask(pair: &mut Pair, call: CallId) {
    let incarnation = Incarnation::new(4, 1);
    let identity = ClientIdentity { incarnation, ..ME };
    let rng = Box::new(Counting(3));
    pair.client = Client::new(identity, ANYBODY, Limits::default(), rng, pair.now);
    pair.client.keep_journal();
    pair.records = Some(Vec::new());
    pair.network.clear();
    let incarnation = LIFE_OF_SERVER;
    let former = FormerCall { call, server: SERVER, incarnation, in_doubt: false };
    pair.client.resolve_former(pair.now, former, pair.now + LONG, false);
    pair.drain();
}

#[test]
fn a_later_life_is_told_the_large_reply_of_a_call_in_a_former_session() {
    let mut pair = recording();
    pair.holds = true;
    let arguments = bytes_of(30_000);
    let key = pair.call(Semantics::AtMostOnce, arguments.clone(), LONG);
    pair.pass(Duration::from_millis(50));
    pair.write();
    pair.pass(Duration::from_millis(100));
    let call = pair.client.call_id(key).unwrap();
    live_again_and_ask(&mut pair, call);
    pair.pass(Duration::from_millis(50));
    pair.finish();
    pair.drain();
    pair.pass(Duration::from_secs(5));
    pair.write();
    pair.check_returned(&arguments);
    assert_eq!(pair.ran.len(), 1);
}

/// All but the whole was acknowledged to the life before.
#[test]
fn a_later_life_is_told_a_large_reply_that_the_life_before_had_not_written_down() {
    let mut pair = recording();
    let arguments = bytes_of(200_000);
    let key = pair.call(Semantics::AtMostOnce, arguments.clone(), LONG);
    pair.pass(Duration::from_millis(50));
    pair.write();
    let call = pair.client.call_id(key).unwrap();
    pair.pass(Duration::from_secs(2));
    let is_end = |(_, _, record): &(CallKey, CallId, Record)| matches!(record, Record::Ended(_));
    assert!(pair.records.as_ref().unwrap().iter().any(is_end), "all of it is there");
    live_again_and_ask(&mut pair, call);
    pair.pass(Duration::from_secs(9));
    pair.write();
    pair.check_returned(&arguments);
    assert_eq!(pair.ran.len(), 1);
}

#[test]
fn a_large_reply_whose_end_is_not_written_down_is_kept_for_a_later_life() {
    for semantics in [Semantics::AtMostOnce, Semantics::ExactlyOnce] {
        let mut pair = recording();
        // A copy of its last fragment comes once the call has ended here.
        pair.passes =
            |to_server, pdu| !(to_server && matches!(pdu, Pdu::Ack(ack) if ack.cumulative > 25));
        let arguments = bytes_of(30_000);
        pair.call(semantics, arguments.clone(), LONG);
        pair.pass(Duration::from_millis(50));
        pair.write();
        pair.pass(Duration::from_millis(100));
        for (key, call, record) in pair.records.replace(Vec::new()).expect("a journal") {
            assert!(matches!(record, Record::Ended(_)), "{record:?}");
            pair.client.ended_recorded(pair.now, key, call, false);
        }
        pair.drain();
        pair.check_returned(&arguments);
        pair.passes = |_, _| true;
        pair.pass(Duration::from_secs(1));
        assert!(pair.server.stored_bytes() >= 30_000, "{semantics:?}");
    }
}
