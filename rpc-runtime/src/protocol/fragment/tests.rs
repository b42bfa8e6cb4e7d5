//! The fragment machines, cell by cell, and against each other over a network that loses, doubles
//! and reorders.

mod probes;

use std::collections::VecDeque;

use super::outgoing::Heard;
use super::*;
use crate::address::{Address, Host};
use crate::protocol::Limits;
use crate::protocol::retransmit::RoundTrip;
use crate::time::{Duration, Instant};

const EACH_BYTES: usize = 10;

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

fn room() -> Room {
    Room {
        each_bytes: EACH_BYTES,
        host: Host::Virtual(0),
        used_bytes: [0, 0],
        bytes_max: 100_000,
        session_bytes_max: 50_000,
        partials_max: 8,
        session_partials_max: 4,
        idle: Duration::from_secs(4),
    }
}

fn name(sequence: u64, fragments: u16) -> Name {
    Name { sequence: Sequence(sequence), attempt: 0, digest: 7, fragments }
}

fn lane(slot: u32) -> Lane {
    Lane::new(SessionId(1), Space::Session, SlotIndex(slot))
}

fn bytes_of(length: usize) -> Vec<u8> {
    (0..length).map(|place| u8::try_from(place * 31 % 251).unwrap()).collect()
}

/// Feeds one fragment of `whole`.
fn feed(partials: &mut Partials, name: Name, whole: &[u8], fragment: u16) -> Taken {
    let part = fragment_at(whole, fragment, EACH_BYTES);
    partials.take(at(0), lane(0), name, (fragment, part), at(9_000), &room())
}

#[test]
fn fragments_in_any_order_make_the_message_and_acks_say_which_have_come() {
    let whole = bytes_of(35);
    let name = name(1, 4);
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let mut partials = Partials::new();
        for (count, &fragment) in order.iter().enumerate() {
            let taken = feed(&mut partials, name, &whole, fragment);
            if count == 3 {
                assert_eq!(taken, Taken::Whole(whole.clone()), "{order:?}");
                continue;
            }
            assert_eq!(taken, Taken::Kept);
            assert_eq!(feed(&mut partials, name, &whole, fragment), Taken::Again);
            let Has { cumulative, bitmap, .. } = partials.received(lane(0), Sequence(1), 4);
            for fragment in 0..4_u16 {
                let has_come = order[..=count].contains(&fragment);
                let said = fragment < cumulative
                    || (fragment > cumulative && bitmap & (1 << (fragment - cumulative - 1)) != 0);
                assert_eq!(said, has_come, "fragment {fragment} of {order:?} after {count}");
            }
        }
        assert_eq!(partials.reserved_bytes(), 0);
    }
}

#[test]
fn a_gap_at_the_edge_of_the_bitmap_is_filled_and_what_is_beyond_is_dropped() {
    let whole = bytes_of(2_000);
    let name = name(1, 200);
    let mut partials = Partials::new();
    for fragment in 1..=WINDOW_FRAGMENTS_MAX {
        assert_eq!(feed(&mut partials, name, &whole, fragment), Taken::Kept);
    }
    assert_eq!(feed(&mut partials, name, &whole, WINDOW_FRAGMENTS_MAX + 1), Taken::Ahead);
    assert_eq!(received(&partials), (0, u64::MAX));
    assert_eq!(feed(&mut partials, name, &whole, 0), Taken::Kept);
    assert_eq!(received(&partials), (65, 0));
    for fragment in 65..199 {
        assert_eq!(feed(&mut partials, name, &whole, fragment), Taken::Kept);
    }
    assert_eq!(feed(&mut partials, name, &whole, 199), Taken::Whole(whole.clone()));
}

#[test]
fn messages_never_mix() {
    let (first, second) = (bytes_of(40), vec![9; 40]);
    let mut partials = Partials::new();
    feed(&mut partials, name(1, 4), &first, 0);
    feed(&mut partials, name(1, 4), &first, 1);
    // Another count, another digest: the one that came first stays.
    assert_eq!(feed(&mut partials, name(1, 3), &second, 2), Taken::Dropped);
    let forged = Name { digest: 8, ..name(1, 4) };
    assert_eq!(feed(&mut partials, forged, &second, 2), Taken::Dropped);
    // A later message drops it; its rest finds nothing.
    assert_eq!(feed(&mut partials, name(2, 4), &second, 3), Taken::Kept);
    assert_eq!(feed(&mut partials, name(1, 4), &first, 2), Taken::Dropped);
    for fragment in [0, 1] {
        feed(&mut partials, name(2, 4), &second, fragment);
    }
    assert_eq!(feed(&mut partials, name(2, 4), &second, 2), Taken::Whole(second.clone()));
    // Two executions of one call: the later one counts.
    let attempt = |attempt| Name { attempt, ..name(3, 4) };
    feed(&mut partials, attempt(1), &first, 0);
    feed(&mut partials, attempt(1), &first, 1);
    for fragment in [3, 2, 1] {
        assert_eq!(feed(&mut partials, attempt(2), &second, fragment), Taken::Kept);
        assert_eq!(feed(&mut partials, attempt(1), &first, fragment), Taken::Dropped);
    }
    assert_eq!(feed(&mut partials, attempt(2), &second, 0), Taken::Whole(second));
}

#[test]
fn a_finer_cut_takes_the_place_of_a_coarser_one_and_never_the_reverse() {
    let mut partials = Partials::new();
    let whole = bytes_of(300);
    let mut take = |fragment: u16, Cut { each_bytes, fragments }: Cut| {
        let part = fragment_at(&whole, fragment, each_bytes);
        partials.take(at(0), lane(0), name(1, fragments), (fragment, part), at(9_000), &room())
    };
    let coarse = Cut::of(300, 100);
    let fine = coarse.finer(300, 70);
    assert_eq!(take(0, coarse), Taken::Kept);
    assert_eq!(take(1, coarse), Taken::Kept);
    assert_eq!(take(4, fine), Taken::Kept);
    for fragment in 0..4 {
        assert_eq!(take(2, coarse), Taken::Dropped, "it would have been the last");
        let taken = take(fragment, fine);
        assert_eq!(taken == Taken::Kept, fragment < 3, "{taken:?}");
        if fragment == 3 {
            assert_eq!(taken, Taken::Whole(bytes_of(300)));
        }
    }
}

#[test]
fn two_cuts_of_a_message_never_have_as_many_fragments() {
    for bytes in (1_143..70_000).step_by(7) {
        for long in [1_362, 8_862, 65_398] {
            let before = Cut::of(bytes, long);
            let after = before.finer(bytes, 1_142);
            assert!(after.fragments > before.fragments && after.each_bytes <= 1_142);
            assert_eq!(fragments_of(bytes, after.each_bytes), after.fragments);
        }
    }
}

#[test]
fn a_message_counts_as_long_as_its_fragments_are() {
    let mut partials = Partials::new();
    let mut take = |number: u32, fragment: u16, length: usize| {
        let part = (fragment, &*bytes_of(length));
        let taken = partials.take(at(0), lane(number), name(1, 3), part, at(9_000), &room());
        (taken, partials.reserved_bytes())
    };
    assert_eq!(take(0, 2, 9), (Taken::Kept, 3 * EACH_BYTES), "the last may be short");
    assert_eq!(take(0, 0, 4 * EACH_BYTES), (Taken::Kept, 12 * EACH_BYTES));
    assert_eq!(take(0, 1, 4 * EACH_BYTES).1, 0, "whole");
    let (taken, reserved_bytes) = take(1, 2, 1);
    assert_eq!((taken, reserved_bytes), (Taken::Kept, 3 * EACH_BYTES));
    let kept = (Taken::SessionFull, 3 * EACH_BYTES);
    assert_eq!(take(1, 0, room().session_bytes_max), kept, "what was acknowledged stays");
    assert_eq!(take(1, 0, EACH_BYTES).0, Taken::Kept);
    assert!(
        matches!(take(1, 1, EACH_BYTES), (Taken::Whole(whole), 0) if whole.len() == 2 * EACH_BYTES + 1)
    );
}

#[test]
fn fragments_that_are_heard_of_no_more_are_found_too_long() {
    let mut sender = Sender::new(9, AckProtocol::Blast, false);
    let trip = trip();
    let mut now = at(0);
    for timeouts in 0..BLACK_HOLE_TRIES {
        assert!(!sender.outgoing.is_swallowed(), "after {timeouts}");
        while sender.poll(now, &trip).is_some() {}
        now = sender.outgoing.due(&sender.way).expect("something is under way");
        assert!(sender.outgoing.expire(now, &mut sender.way, &trip));
    }
    assert!(sender.outgoing.is_swallowed());
    sender.outgoing.cut_anew(cut(30), &mut sender.way);
    assert!(!sender.outgoing.is_swallowed() && !sender.outgoing.is_unsent());
    assert_eq!(sender.poll(now, &trip), Some(0));
    // Questions after a reply count, too: they would put off the time-outs for ever.
    sender.on_ack(now, (1, 0), &trip);
    for _ in 0..BLACK_HOLE_TRIES {
        assert!(!sender.outgoing.is_swallowed());
        sender.outgoing.nudge(&mut sender.way);
    }
    assert!(sender.outgoing.is_swallowed());
}

#[test]
fn long_fragments_take_the_room_of_as_many_short_ones() {
    let long = Cut { each_bytes: 65_398, fragments: 40 };
    let mut way = Way::to(Address::Virtual(1));
    let mut outgoing = Outgoing::new(long, AckProtocol::Blast, false);
    let mut most = 0;
    for now in (0..10).map(|round| at(1_000 * round)) {
        let mut sent = 0;
        while let Next::Fragment(..) = outgoing.poll(now, &mut way, &trip()) {
            sent += 1;
        }
        most = most.max(sent);
        assert!(sent > 0, "one may always leave");
        let base = outgoing.next_unsent();
        outgoing.on_ack(now, (base, 0), &mut way, &trip());
    }
    assert_eq!(most, 4);
    assert_eq!(way.flight(), 0);
}

#[test]
fn fragments_of_other_lengths_than_the_rest_are_dropped() {
    let mut partials = Partials::new();
    let mut take = |fragment, length: usize| {
        let bytes = bytes_of(length);
        partials.take(at(0), lane(0), name(1, 3), (fragment, &bytes), at(9_000), &room())
    };
    assert_eq!(take(0, 0), Taken::Dropped);
    assert_eq!(take(2, 9), Taken::Kept);
    assert_eq!(take(0, 8), Taken::Dropped, "shorter than the last");
    assert_eq!(take(0, 10), Taken::Kept);
    assert_eq!(take(1, 9), Taken::Dropped);
    assert!(matches!(take(1, 10), Taken::Whole(whole) if whole.len() == 29));
}

#[test]
fn memory_is_bounded_by_session_and_in_all_and_what_is_idle_or_late_goes() {
    let whole = bytes_of(1_000);
    let mut partials = Partials::new();
    let take = |partials: &mut Partials, now, session, slot| {
        let lane = Lane::new(SessionId(session), Space::Session, SlotIndex(slot));
        let part = (0, fragment_at(&whole, 0, EACH_BYTES));
        let host = Host::Virtual(u32::try_from(session).unwrap());
        let room = Room { host, ..room() };
        partials.take(at(now), lane, name(1, 100), part, at(5_000), &room)
    };
    for slot in 0..1_000_000 {
        let taken = take(&mut partials, 0, 1, slot % 65_536);
        assert!(slot < 4 || matches!(taken, Taken::SessionFull | Taken::Again));
    }
    for session in 2..1_000 {
        take(&mut partials, 1_000, session, 0);
    }
    assert_eq!(partials.len(), 8);
    assert_eq!(partials.reserved_bytes(), 8 * 1_000);
    assert_eq!(take(&mut partials, 1_000, 5_000, 0), Taken::Full);
    // The session's own idle ones give way; so do all when they are looked after.
    assert_eq!(take(&mut partials, 4_100, 1, 9), Taken::Kept);
    assert_eq!(partials.len(), 5);
    let idle = room().idle;
    assert_eq!(partials.sweep(at(4_900), idle), (0, Some(at(5_000))), "the deadline");
    assert_eq!(partials.sweep(at(5_000), idle), (5, None));
    assert_eq!(partials.reserved_bytes(), 0);
    // Too many bytes in one message.
    let part = (0, fragment_at(&whole, 0, EACH_BYTES));
    let taken = partials.take(at(0), lane(0), name(1, 6_000), part, at(9_000), &room());
    assert_eq!((taken, partials.is_empty()), (Taken::SessionFull, true));
}

/// Nothing was measured, and a time-out takes 20 ms.
fn trip() -> RoundTrip {
    let retransmit_initial = Duration::from_millis(20);
    RoundTrip::new(&Limits { retransmit_initial, ..Limits::default() })
}

/// Every round trip took 1 ms: a probe leaves after 2 ms of silence.
fn measured() -> RoundTrip {
    let mut trip = trip();
    (0..40).for_each(|_| trip.sample(Duration::from_millis(1)));
    trip
}

/// A message in so many fragments that every path carries.
const fn cut(fragments: u16) -> Cut {
    Cut { each_bytes: 1_000, fragments }
}

fn received(partials: &Partials) -> (u16, u64) {
    let Has { cumulative, bitmap, .. } = partials.received(lane(0), Sequence(1), 0);
    (cumulative, bitmap)
}

/// A message, and a way of its own.
#[derive(Clone)]
struct Sender {
    outgoing: Outgoing,
    way: Way,
}

impl Sender {
    fn new(fragments: u16, protocol: AckProtocol, gated: bool) -> Self {
        let way = Way::to(Address::Virtual(1));
        Self { outgoing: Outgoing::new(cut(fragments), protocol, gated), way }
    }

    fn by_stream(fragments: u16) -> Self {
        let way = Way::to(Address::Local(1));
        Self { outgoing: Outgoing::new(cut(fragments), AckProtocol::Blast, false), way }
    }

    fn poll(&mut self, now: Instant, trip: &RoundTrip) -> Option<u16> {
        match self.outgoing.poll(now, &mut self.way, trip) {
            Next::Fragment(fragment, _) => Some(fragment),
            Next::Nothing => None,
            Next::Queue => {
                self.outgoing.leave_queue();
                None
            }
        }
    }

    fn on_ack(&mut self, now: Instant, ack: (u16, u64), trip: &RoundTrip) -> Heard {
        let heard = self.outgoing.on_ack(now, ack, &mut self.way, trip);
        assert_eq!(self.outgoing.in_flight(), self.way.flight(), "none is counted twice or lost");
        heard
    }

    fn expire(&mut self, now: Instant) -> bool {
        self.expire_by(now, &trip())
    }

    fn expire_by(&mut self, now: Instant, trip: &RoundTrip) -> bool {
        self.outgoing.expire(now, &mut self.way, trip)
    }

    fn due(&self) -> Option<Instant> {
        self.outgoing.due(&self.way)
    }
}

/// All that may leave now.
fn leaving(sender: &mut Sender, now: Instant) -> Vec<u16> {
    leaving_by(sender, now, &trip())
}

fn leaving_by(sender: &mut Sender, now: Instant, trip: &RoundTrip) -> Vec<u16> {
    std::iter::from_fn(|| sender.poll(now, trip)).collect()
}

#[test]
fn blast_opens_its_window_as_acks_come_and_stop_and_wait_does_not() {
    let mut blast = Sender::new(500, AckProtocol::Blast, false);
    assert_eq!(leaving(&mut blast, at(0)), (0..10).collect::<Vec<_>>());
    blast.on_ack(at(1), (10, 0), &trip());
    assert_eq!(leaving(&mut blast, at(1)).len(), 20);
    blast.on_ack(at(2), (30, 0), &trip());
    blast.on_ack(at(3), (70, 0), &trip());
    assert!(leaving(&mut blast, at(3)).len() <= usize::from(WINDOW_FRAGMENTS_MAX));
    let mut patient = Sender::new(500, AckProtocol::StopAndWait, false);
    for fragment in 0..500 {
        let now = at(u64::from(fragment));
        assert_eq!(leaving(&mut patient, now), [fragment]);
        assert!(patient.on_ack(now, (fragment + 1, 0), &trip()).progress);
    }
    assert!(patient.outgoing.is_done());
}

#[test]
fn bursts_are_spread_over_the_round_trip() {
    let mut trip = RoundTrip::new(&Limits::default());
    trip.sample(Duration::from_millis(100));
    let mut outgoing = Sender::new(500, AckProtocol::Blast, false);
    let leaving =
        |outgoing: &mut Sender, now| std::iter::from_fn(|| outgoing.poll(now, &trip)).count();
    assert_eq!(leaving(&mut outgoing, at(0)), 10);
    outgoing.on_ack(at(100), (10, 0), &trip);
    assert_eq!(leaving(&mut outgoing, at(100)), 20);
    outgoing.on_ack(at(200), (30, 0), &trip);
    assert_eq!(leaving(&mut outgoing, at(200)), 18, "the rest of a burst, and one more");
    assert_eq!(outgoing.due(), Some(at(232)));
    assert_eq!(leaving(&mut outgoing, at(231)), 0);
    assert_eq!(leaving(&mut outgoing, at(232)), 16);
    assert_eq!(outgoing.due(), Some(at(264)));
}

#[test]
fn one_fragment_leaves_before_the_first_ack_where_the_address_is_not_proved() {
    let mut gated = Sender::new(50, AckProtocol::Blast, true);
    assert_eq!(leaving(&mut gated, at(0)), [0]);
    assert!(!gated.on_ack(at(1), (0, 0), &trip()).progress);
    assert_eq!(leaving(&mut gated, at(1)), Vec::<u16>::new());
    gated.on_ack(at(2), (1, 0), &trip());
    assert!(leaving(&mut gated, at(2)).len() >= 10);
}

#[test]
fn what_is_overtaken_is_sent_again_and_nothing_else_and_the_window_is_halved_once() {
    let mut outgoing = Sender::new(40, AckProtocol::Blast, false);
    let mut queued = measured();
    (0..40).for_each(|_| queued.sample(Duration::from_millis(9)));
    leaving(&mut outgoing, at(0));
    // 2 and 5 are missing, and 9 may still come.
    outgoing.on_ack(at(1), (2, 0b11_1011), &queued);
    let left = leaving(&mut outgoing, at(1));
    assert_eq!(left[..3], [2, 5, 10]);
    assert!(left.len() <= 8, "half of seventeen: {left:?}");
    let heard = outgoing.on_ack(at(2), (9, 0), &queued);
    assert_eq!(heard.sample, None, "Karn: 2 and 5 were sent twice");
    let more = leaving(&mut outgoing, at(2));
    assert!(more.len() <= 3, "{more:?}");
}

#[test]
fn a_time_out_sends_the_first_missing_one_alone_and_backs_off() {
    let mut outgoing = Sender::new(40, AckProtocol::Blast, false);
    leaving(&mut outgoing, at(0));
    assert!(!outgoing.expire(at(19)));
    assert_eq!(outgoing.due(), Some(at(20)));
    assert!(outgoing.expire(at(20)));
    assert_eq!(leaving(&mut outgoing, at(20)), [0]);
    assert_eq!(outgoing.due(), Some(at(60)));
    assert_eq!(outgoing.outgoing.tries(), 1);
    outgoing.on_ack(at(30), (0, 1), &trip());
    assert_eq!(outgoing.outgoing.tries(), 0, "something was heard");
}

#[test]
fn an_ack_of_the_future_counts_for_what_has_left_and_an_old_one_for_nothing() {
    let mut outgoing = Sender::new(400, AckProtocol::Blast, false);
    leaving(&mut outgoing, at(0));
    for future in [(11, 0), (400, 0), (u16::MAX, u64::MAX), (9, 1), (0, 1 << 63)] {
        let heard = outgoing.clone().on_ack(at(1), future, &trip());
        assert!(heard.of_the_future, "{future:?}");
    }
    let heard = outgoing.on_ack(at(1), (400, 0), &trip());
    assert!(heard.of_the_future && heard.progress && !outgoing.outgoing.is_done());
    assert_eq!(leaving(&mut outgoing, at(1)).first(), Some(&10));
    assert!(!outgoing.on_ack(at(1), (3, 0), &trip()).progress, "overtaken");
    // Nothing but old ones for a time-out: the receiver has lost what it had.
    outgoing.expire(at(500));
    leaving(&mut outgoing, at(500));
    outgoing.on_ack(at(501), (3, 0), &trip());
    assert_eq!(leaving(&mut outgoing, at(501)).first(), Some(&3));
}

#[test]
fn any_ack_at_all_leaves_the_sender_in_order() {
    let mut state = 11_u64;
    let mut draw = move |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % bound
    };
    for _ in 0..300 {
        let fragments = u16::try_from(draw(300) + 2).unwrap();
        let mut outgoing = Sender::new(fragments, AckProtocol::Blast, draw(2) == 0);
        let trip = if draw(2) == 0 { trip() } else { measured() };
        let mut now = at(0);
        for _ in 0..200 {
            now = now + Duration::from_micros(draw(10_000));
            outgoing.expire_by(now, &trip);
            for fragment in leaving_by(&mut outgoing, now, &trip) {
                assert!(fragment < fragments);
            }
            assert!(outgoing.due().is_none_or(|due| due > now), "due again at once, for ever");
            let cumulative = u16::try_from(draw(u64::from(fragments) + 9)).unwrap();
            outgoing.on_ack(now, (cumulative, draw(u64::MAX) << draw(40)), &trip);
            if draw(20) == 0 {
                outgoing.outgoing.nudge(&mut outgoing.way);
            }
        }
    }
}

/// A sender and a receiver, and a network between them that loses, doubles and reorders in both
/// directions: gives the message that came out, and how many fragments left.
fn exchange(protocol: AckProtocol, whole: &[u8], loss: u64, seed: u64) -> (Vec<u8>, usize) {
    let fragments = fragments_of(whole.len(), EACH_BYTES);
    let mut state = seed;
    let mut draw = move |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % bound
    };
    let mut trip = RoundTrip::new(&Limits::default());
    let mut outgoing = Sender::new(fragments, protocol, false);
    let mut partials = Partials::new();
    let mut network: Vec<(Instant, Option<u16>, (u16, u64))> = Vec::new();
    let (mut now, mut sent, mut result) = (at(0), 0, None);
    let wide = Room { bytes_max: usize::MAX, session_bytes_max: usize::MAX, ..room() };
    while !outgoing.outgoing.is_done() {
        assert!(sent < 100_000, "it ends");
        while let Some(fragment) = outgoing.poll(now, &trip) {
            sent += 1;
            for _ in 0..=u64::from(draw(100) < loss) {
                if draw(100) >= loss {
                    let late = if loss > 0 { draw(2_000) } else { 0 };
                    let arrives = now + Duration::from_micros(5_000 + late);
                    network.push((arrives, Some(fragment), (0, 0)));
                }
            }
        }
        let arrives = network.iter().map(|one| one.0).min();
        now = arrives.into_iter().chain(outgoing.due()).min().unwrap().max(now);
        outgoing.expire_by(now, &trip);
        let Some(place) = network.iter().position(|one| one.0 <= now) else { continue };
        let (_, fragment, ack) = network.remove(place);
        let Some(fragment) = fragment else {
            if let Some(sample) = outgoing.on_ack(now, ack, &trip).sample {
                trip.sample(sample);
            }
            continue;
        };
        if result.is_none() {
            let part = (fragment, fragment_at(whole, fragment, EACH_BYTES));
            let name = name(1, fragments);
            let far = Instant::from_micros(u64::MAX);
            if let Taken::Whole(bytes) = partials.take(now, lane(0), name, part, far, &wide) {
                result = Some(bytes);
            }
        }
        let all = (fragments, 0);
        let ack = if result.is_some() { all } else { received(&partials) };
        if draw(100) >= loss {
            network.push((now + Duration::from_micros(5_000 + draw(2_000)), None, ack));
        }
    }
    (result.unwrap(), sent)
}

#[test]
fn messages_share_a_way_and_each_gets_on() {
    let mut way = Way::to(Address::Virtual(1));
    let trip = trip();
    let mut messages: Vec<Outgoing> =
        (0..5).map(|_| Outgoing::new(cut(30), AckProtocol::Blast, false)).collect();
    let mut queue: VecDeque<usize> = (0..5).collect();
    let mut come = [0_u16; 5];
    let mut network = VecDeque::new();
    for round in 0..1_000 {
        let now = at(round);
        for _ in 0..queue.len() {
            let Some(index) = queue.pop_front() else { break };
            messages[index].leave_queue();
            loop {
                match messages[index].poll(now, &mut way, &trip) {
                    Next::Fragment(fragment, _) => network.push_back((index, fragment)),
                    Next::Nothing => break,
                    Next::Queue => {
                        queue.push_back(index);
                        break;
                    }
                }
            }
        }
        assert!(way.flight() <= 256 && (round > 0 || way.flight() == 10), "{}", way.flight());
        for (index, fragment) in network.drain(..) {
            assert_eq!(fragment, come[index], "nothing is lost, and nothing sent twice");
            come[index] += 1;
            messages[index].on_ack(now, (come[index], 0), &mut way, &trip);
            if !queue.contains(&index) {
                queue.push_back(index);
            }
        }
        if messages.iter().all(Outgoing::is_done) {
            assert_eq!((way.flight(), come), (0, [30; 5]));
            return;
        }
    }
    panic!("{come:?} of 30 each");
}

#[test]
fn what_leaves_a_message_makes_room_for_others() {
    let mut sender = Sender::by_stream(100);
    assert_eq!(leaving(&mut sender, at(0)).len(), 24);
    assert!(!sender.way.has_room());
    sender.outgoing.leave(&mut sender.way);
    assert_eq!(sender.way.flight(), 0);
}

#[test]
fn a_stream_is_asked_after_a_time_out_what_found_no_room_in_it() {
    let mut sender = Sender::by_stream(100);
    leaving(&mut sender, at(0));
    sender.on_ack(at(1), (8, 0), &trip());
    assert_eq!(leaving(&mut sender, at(1)), (24..32).collect::<Vec<_>>());
    assert!(sender.expire(at(21)));
    assert_eq!(leaving(&mut sender, at(21)), [8], "it may only be slow");
    // Found by `campaign --semantics large --transport tcp`: it was due again at once, for ever.
    let due = sender.due().expect("the rest is under way");
    assert!(due >= at(21) + Duration::from_millis(20), "due again at {due}");
    assert!(!sender.expire(at(22)));
    sender.on_ack(at(22), (16, 0), &trip());
    let left = leaving(&mut sender, at(22));
    assert!(left.iter().copied().eq(16..40), "so it was not: {left:?}");
    let mut gap = Sender::by_stream(100);
    leaving(&mut gap, at(0));
    gap.on_ack(at(1), (2, 1), &trip());
    assert_eq!(leaving(&mut gap, at(1))[0], 2, "a stream keeps the order");
}

#[test]
fn messages_arrive_whole_by_both_protocols_whatever_the_network_does() {
    for protocol in [AckProtocol::Blast, AckProtocol::StopAndWait] {
        for (seed, loss) in (0..60).zip([0, 5, 20, 40].into_iter().cycle()) {
            let whole = bytes_of(usize::try_from(seed * 173 % 5_000).unwrap() + 11);
            let (got, sent) = exchange(protocol, &whole, loss, seed);
            assert!(got == whole, "{protocol:?}, seed {seed}");
            let needed = usize::from(fragments_of(whole.len(), EACH_BYTES));
            assert!(loss > 0 || sent == needed, "{protocol:?}: {sent} of {needed} without loss");
            assert!(sent < 6 * needed + 20, "{protocol:?}: {sent} of {needed} at {loss} %");
        }
    }
}

/// So many messages of so many fragments over one stream, to a receiver that acknowledges as little as it
/// may, in as many round trips as it takes.
fn share_a_stream(messages: usize, fragments: u16, protocol: AckProtocol, gated: bool) -> u64 {
    let mut way = Way::to(Address::Local(1));
    let trip = trip();
    let mut sending: Vec<Outgoing> =
        (0..messages).map(|_| Outgoing::new(cut(fragments), protocol, gated)).collect();
    let mut come = vec![0_u16; messages];
    let mut queue = VecDeque::new();
    let mut wanting: VecDeque<usize> = (0..messages).collect();
    for round in 0..10_000 {
        let now = at(0); // no time-out is ever over
        let mut stream = VecDeque::new();
        loop {
            let next = wanting.pop_front().or_else(|| {
                let finds_room = |&index: &usize| !sending[index].waits_for_room(&way);
                let next = queue.front().is_some_and(finds_room).then(|| queue.pop_front())?;
                next.inspect(|&index| sending[index].leave_queue())
            });
            let Some(index) = next else { break };
            loop {
                match sending[index].poll(now, &mut way, &trip) {
                    Next::Fragment(fragment, _) => stream.push_back((index, fragment)),
                    Next::Nothing => break,
                    Next::Queue => {
                        queue.push_back(index);
                        break;
                    }
                }
            }
        }
        if sending.iter().all(Outgoing::is_done) {
            assert_eq!(way.flight(), 0);
            return round;
        }
        assert!(!stream.is_empty(), "both sides wait: {come:?} of {fragments}");
        for (index, fragment) in stream {
            assert_eq!(fragment, come[index], "in order, and nothing twice");
            come[index] += 1;
            let received = (come[index], 0);
            let (cumulative, bitmap) = received;
            let has = Has { cumulative, bitmap, fragments };
            if come[index] == fragments || !is_quiet(&Taken::Kept, fragment, has) {
                sending[index].on_ack(now, received, &mut way, &trip);
                wanting.push_back(index);
            }
        }
    }
    panic!("{come:?} of {fragments}");
}

#[test]
fn on_a_stream_a_message_that_fits_the_window_is_acknowledged_once_and_others_in_groups() {
    for fragments in 1..=300 {
        let begun = |fragment| stream_group(fragment, fragments).map(|group| (fragment, group));
        let groups: Vec<(u16, u16)> = (0..fragments).filter_map(begun).collect();
        let ends = groups.iter().map(|(first, group)| first + group);
        let next = groups.iter().skip(1).map(|(first, _)| *first).chain([fragments]);
        assert!(ends.eq(next), "{groups:?} of {fragments}");
        assert!(groups.iter().all(|(_, group)| *group <= STREAM_WHOLE_FRAGMENTS), "{groups:?}");
        assert_eq!(groups.len() == 1, fragments <= STREAM_WHOLE_FRAGMENTS, "{groups:?}");
    }
}

#[test]
fn on_a_stream_nobody_waits_for_an_ack_that_never_comes() {
    for messages in [1, 2, 6, 8, 64] {
        for fragments in [2, 7, 8, 9, 15, 16, 17, 23, 24, 25, 257] {
            share_a_stream(messages, fragments, AckProtocol::Blast, false);
        }
    }
    let patient = share_a_stream(1, 257, AckProtocol::StopAndWait, true);
    assert!(patient <= 257_u64.div_ceil(8) + 2, "a stream has its own window: {patient}");
}
