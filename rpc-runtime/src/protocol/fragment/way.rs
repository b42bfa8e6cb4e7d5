//! The way to a peer, as far as large messages share it: how much may be under way, and how fast.
//!
//! All messages to one peer open and close one window, so that many of them are no more of a burden
//! than one. Over datagrams: RFC 5681 (slow start, congestion avoidance), RFC 6928 (the first window),
//! RFC 9002 sections 6.1 (loss by overtaking) and 7.7 (pacing). A few losses without a queue on the way
//! are no sign of congestion, and leave the window as it is (draft-ietf-ccwg-bbr: BBRLossThresh; Mascolo
//! et al., "TCP Westwood", 2001: the round trip tells lossy paths from full ones). Over a stream, which has all that
//! itself, the window only bounds what is queued there. Knows no message.

use super::WINDOW_FRAGMENTS_MAX;
use crate::address::Address;
use crate::protocol::limits::ARGUMENT_BYTES_MAX;
use crate::protocol::path;
use crate::protocol::retransmit::RoundTrip;
use crate::time::{Duration, Instant};

/// Fragments of the first window. One that every path carries counts one, a longer one as many as it
/// takes the place of: so windows bound bytes.
const FIRST_WINDOW_FRAGMENTS: u32 = 10;
/// The smallest threshold between slow start and congestion avoidance.
const THRESHOLD_FRAGMENTS_MIN: u32 = 2;
/// The widest window: an ACK names as many of one message, and buffers on the way hold some such. In
/// bytes it is 300 KB, or four of the longest datagrams, beside which the kernel's own account of a
/// receiver's memory leaves room in what a socket has where nobody raised the limit (`rmem_max` 208 KiB,
/// of which it gives twice as much).
const WIDEST_FRAGMENTS: u32 = 4 * WINDOW_FRAGMENTS_MAX as u32;
/// The window on a stream: one and a half MiB, which keeps both ends at work.
pub(super) const STREAM_WINDOW_FRAGMENTS: u16 = 24;
/// The window is counted in such parts of a fragment.
const UNIT_PARTS: u32 = 256;
/// Later transmissions that overtake a fragment which is then taken to be lost.
const OVERTAKEN_FRAGMENTS: u64 = 3;
/// Fragments that leave at once where bursts are spread.
const BURST_FRAGMENTS: u32 = 16;
/// What may be lost without a queue on the way before that is taken for congestion, too.
const TOLERATED_LOSS_PERCENT: u32 = 3;
/// Fewer losses tell nothing of their share (draft-ietf-ccwg-bbr: BBRStartupFullLossCnt): one in the first window
/// would halve it where one in a hundred is lost.
const TELLING_LOSSES_COUNT: u32 = 6;
/// Of so many transmissions and more, half is forgotten.
const REMEMBERED_FRAGMENTS: u32 = 512;
/// Bursts closer together than this are not spread: a timer is no finer.
const PACE_MIN: Duration = Duration::from_millis(1);

/// A way.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    is_stream: bool,
    window_parts: u32,
    threshold_parts: u32,
    /// What is under way, as it counts.
    flight: u32,
    /// Transmissions so far.
    order: u64,
    highest_acked: u64,
    /// A fragment was acknowledged that had been sent again too early, or else was lost: which of them, the next
    /// round trip tells. Until then nothing is probed.
    is_ambiguous: bool,
    /// Losses of transmissions before this one have been answered by a smaller window.
    recovery: u64,
    /// Transmissions of late, and how many of them were lost.
    sent: u32,
    lost: u32,
    burst_left: u32,
    /// What left in it.
    burst: u32,
    /// When the burst under way began, and when the next may.
    burst_at: Instant,
    pace_at: Instant,
}

impl Way {
    pub(crate) const fn to(address: Address) -> Self {
        let is_stream = path::is_stream(address);
        let window =
            if is_stream { STREAM_WINDOW_FRAGMENTS as u32 } else { FIRST_WINDOW_FRAGMENTS };
        Self {
            is_stream,
            window_parts: window * UNIT_PARTS,
            threshold_parts: u32::MAX,
            flight: 0,
            order: 0,
            highest_acked: 0,
            is_ambiguous: false,
            recovery: 0,
            sent: 0,
            lost: 0,
            burst_left: 0,
            burst: 0,
            burst_at: Instant::START,
            pace_at: Instant::START,
        }
    }

    pub(crate) const fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Fragments under way, of all messages.
    #[cfg(test)]
    pub(crate) const fn flight(&self) -> u32 {
        self.flight
    }

    const fn window(&self) -> u32 {
        self.window_parts / UNIT_PARTS
    }

    /// What a fragment of this length counts.
    pub(super) fn weight_of(&self, each_bytes: usize) -> u32 {
        let weight = if self.is_stream { 1 } else { each_bytes.div_ceil(ARGUMENT_BYTES_MAX) };
        u32::try_from(weight).unwrap_or(u32::MAX)
    }

    /// Whether a message that waits for room finds some.
    #[cfg(test)]
    pub(crate) const fn has_room(&self) -> bool {
        self.takes(if self.is_stream { super::STREAM_ACK_FRAGMENTS as u32 } else { 1 })
    }

    /// Whether so much more may be under way. One fragment may always, however long.
    pub(super) const fn takes(&self, weight: u32) -> bool {
        self.flight == 0 || self.flight + weight <= self.window()
    }

    /// A fragment leaves, unless the next burst is still to come; gives its place among all that did.
    pub(super) fn send(&mut self, now: Instant, weight: u32, trip: &RoundTrip) -> Option<u64> {
        if self.burst_left == 0 {
            if now < self.pace_at {
                return None;
            }
            (self.burst_left, self.burst_at, self.burst) = (BURST_FRAGMENTS, now, 0);
        }
        self.order += 1;
        self.flight += weight;
        self.sent += 1;
        if self.sent >= REMEMBERED_FRAGMENTS {
            (self.sent, self.lost) = (self.sent / 2, self.lost / 2);
        }
        self.burst += weight;
        self.burst_left = self.burst_left.saturating_sub(weight);
        if self.burst_left == 0 {
            self.pace_at = self.burst_at + self.interval(trip);
        }
        Some(self.order)
    }

    /// Between two bursts, so that a window takes four fifths of a round trip.
    fn interval(&self, trip: &RoundTrip) -> Duration {
        let smoothed = trip.estimate().unwrap_or_default();
        let interval = smoothed * 4 / 5 * self.burst / self.window().max(1);
        if self.is_stream || interval < PACE_MIN { Duration::ZERO } else { interval }
    }

    /// When the next burst may leave.
    pub(super) const fn pace_at(&self) -> Instant {
        self.pace_at
    }

    /// One fragment may leave ahead of the next burst.
    pub(super) fn hurry(&mut self) {
        self.burst_left = self.burst_left.max(1);
    }

    /// The last transmission's place.
    pub(super) const fn order(&self) -> u64 {
        self.order
    }

    /// So much is not under way any more.
    pub(super) const fn land(&mut self, weight: u32) {
        self.flight = self.flight.saturating_sub(weight);
    }

    /// A transmission was acknowledged. One that never was on this way says nothing of it.
    pub(super) fn acknowledge(&mut self, order: u64) {
        self.highest_acked = self.highest_acked.max(order.min(self.order));
    }

    /// Whether so many later transmissions were acknowledged that this one is taken to be lost: a stream
    /// keeps the order.
    pub(super) const fn is_overtaken(&self, order: u64) -> bool {
        let ahead = if self.is_stream { 1 } else { OVERTAKEN_FRAGMENTS };
        order + ahead <= self.highest_acked
    }

    /// Whether any later transmission was acknowledged.
    pub(super) const fn is_passed(&self, order: u64) -> bool {
        order < self.highest_acked
    }

    /// Whether it is unknown if the last probe came too early.
    pub(crate) const fn is_ambiguous(&self) -> bool {
        self.is_ambiguous
    }

    /// What an ACK of a probe says: nothing of the round trip; and any other: how long it is.
    pub(super) const fn set_ambiguous(&mut self, is_ambiguous: bool) {
        self.is_ambiguous = is_ambiguous;
    }

    /// So much was acknowledged for the first time.
    pub(super) fn widen(&mut self, weight: u32) {
        if self.is_stream {
            return;
        }
        let more = if self.window_parts < self.threshold_parts {
            weight * UNIT_PARTS
        } else {
            weight * UNIT_PARTS * UNIT_PARTS / self.window_parts
        };
        self.window_parts = (self.window_parts + more).min(WIDEST_FRAGMENTS * UNIT_PARTS);
    }

    /// So many transmissions were lost, this one last: the first such loss of a window halves it where
    /// there is congestion.
    pub(super) fn lose(&mut self, order: u64, fragments: u32, trip: &RoundTrip) {
        self.lost += fragments;
        let is_much = self.lost >= TELLING_LOSSES_COUNT
            && self.lost * 100 > self.sent * TOLERATED_LOSS_PERCENT;
        if order >= self.recovery && (is_much || trip.is_queued()) {
            self.shrink();
        }
    }

    /// Nothing was heard for a time-out: the window begins anew with one.
    pub(super) fn collapse(&mut self, first_lost: u64) {
        if first_lost >= self.recovery {
            self.shrink();
        }
        self.window_parts = UNIT_PARTS;
        self.hurry();
    }

    fn shrink(&mut self) {
        if self.is_stream {
            return;
        }
        self.threshold_parts = (self.window_parts / 2).max(THRESHOLD_FRAGMENTS_MIN * UNIT_PARTS);
        self.window_parts = self.threshold_parts;
        self.recovery = self.order + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Limits;

    fn trip(last_ms: u64) -> RoundTrip {
        let mut trip = RoundTrip::new(&Limits::default());
        trip.sample(Duration::from_millis(1));
        (0..40).for_each(|_| trip.sample(Duration::from_millis(last_ms)));
        trip
    }

    /// A way that so many fragments went, and the last so many of them were lost; gives the part of
    /// its window that is left.
    fn left_after(sent: u64, lost: u32, trip: &RoundTrip) -> f64 {
        let mut way = Way::to(Address::Virtual(1));
        for n in 0..sent {
            let now = Instant::START + Duration::from_millis(10 * n);
            way.send(now, 1, trip).expect("later than any burst");
            way.widen(1);
            way.land(1);
        }
        let before = f64::from(way.window());
        way.lose(way.order(), lost, trip);
        f64::from(way.window()) / before
    }

    #[test]
    fn losses_halve_the_window_where_there_is_a_queue_or_they_are_many() {
        let (empty, full) = (trip(1), trip(9));
        assert!(left_after(400, 1, &empty) > 0.99);
        assert!(left_after(400, 12, &empty) > 0.99);
        assert!(left_after(400, 13, &empty) < 0.51);
        assert!(left_after(400, 1, &full) < 0.51);
        assert!(left_after(20, 5, &empty) > 0.99, "too few to tell");
        assert!(left_after(20, 6, &empty) < 0.51);
        assert!(left_after(20, 1, &full) < 0.51);
    }
}
