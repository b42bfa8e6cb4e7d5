//! The sending side of a large message: which fragment leaves when. See the module above.
//!
//! RFC 9002 section 6.1 (loss by overtaking and by time), RFC 8985 section 7 (probes). How much may be under way is the way's business, which
//! all messages to a peer share (`way.rs`). Knows no bytes and no PDU.

use super::{AckProtocol, BLACK_HOLE_TRIES, Cut, WINDOW_FRAGMENTS_MAX, Way, stream_group};
use crate::protocol::retransmit::RoundTrip;
use crate::time::{Duration, Instant};

/// When a fragment left last.
#[derive(Clone, Copy, Debug, Default)]
struct Stamp {
    order: u64,
    at: Instant,
    resent: bool,
}

/// What may leave now of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This fragment, which counts as sent, and whether it has left before.
    Fragment(u16, bool),
    /// Nothing, until something is heard or its time has come.
    Nothing,
    /// Nothing, until other messages have made room on the way: it is to be queued there.
    Queue,
}

/// What an ACK was worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Whether anything was acknowledged that was not before.
    pub(crate) progress: bool,
    /// An unambiguous round trip (Karn's rule).
    pub(crate) sample: Option<Duration>,
    /// Whether it names fragments that never left.
    pub(crate) of_the_future: bool,
}

/// What was done before the time-out to hear what is missing: one fragment leaves again, and is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// None since a round trip was measured.
    Unused,
    /// What takes the place of this fragment and its transmission may leave, whatever the window.
    Due(u16, u64),
    /// This fragment left again; nobody knows whether this, its transmission before, was lost.
    Sent(u16, u64),
    /// None is sent until a round trip is measured.
    Used,
}

/// A message under way.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    cut: Cut,
    protocol: AckProtocol,
    /// All below is acknowledged.
    base: u16,
    /// The first that never left.
    next: u16,
    /// Bit n: `base + n` is acknowledged.
    acked: u64,
    /// Bit n: `base + n` is taken to be under way.
    flight: u64,
    /// By fragment, modulo the window.
    stamps: [Stamp; WINDOW_FRAGMENTS_MAX as usize],
    /// Only one fragment leaves before the first ACK.
    gated: bool,
    /// Time-outs since the last progress.
    tries: u32,
    /// Time-outs since the last round trip was measured: until then the time-out stays doubled, or a way
    /// that is longer than the first guess would never be measured (RFC 6298, section 5.7).
    backed_off: u32,
    /// Somebody asked for it since: perhaps another than the one who acknowledged so far.
    asked: bool,
    timeout_at: Instant,
    probe: Probe,
    /// When something should have been heard, if a round trip was measured.
    probe_at: Option<Instant>,
    /// When the first fragment is lost that something later overtook.
    lost_at: Option<Instant>,
    /// On a stream: all that left before this transmission has come, or is lost, once anything is heard.
    asked_order: u64,
    /// Whether it waits in the way's queue.
    is_queued: bool,
    /// Whether a fragment ever left.
    has_left: bool,
    /// Time-outs and questions since the last progress.
    stalled: u32,
}

impl Outgoing {
    /// A message that is cut so; `gated` if only one fragment may leave before the first ACK.
    pub(crate) const fn new(cut: Cut, protocol: AckProtocol, gated: bool) -> Self {
        Self {
            cut,
            protocol,
            base: 0,
            next: 0,
            acked: 0,
            flight: 0,
            stamps: [Stamp { order: 0, at: Instant::START, resent: false }; 64],
            gated,
            tries: 0,
            backed_off: 0,
            asked: false,
            timeout_at: Instant::START,
            probe: Probe::Unused,
            probe_at: None,
            lost_at: None,
            asked_order: 0,
            is_queued: false,
            has_left: false,
            stalled: 0,
        }
    }

    pub(crate) const fn fragments(&self) -> u16 {
        self.cut.fragments
    }

    /// How it is cut.
    pub(crate) const fn cut(&self) -> Cut {
        self.cut
    }

    /// Whether so little is heard of it that its fragments may be too long for the path.
    pub(crate) const fn is_swallowed(&self) -> bool {
        self.stalled >= BLACK_HOLE_TRIES
    }

    /// It is cut anew, and begins from its first fragment.
    pub(crate) fn cut_anew(&mut self, cut: Cut, way: &mut Way) {
        self.start_over(way);
        self.cut = cut;
        self.stalled = 0;
    }

    /// Whether all of it is acknowledged.
    pub(crate) const fn is_done(&self) -> bool {
        self.base >= self.cut.fragments
    }

    /// Time-outs since something was acknowledged last.
    pub(crate) const fn tries(&self) -> u32 {
        self.tries
    }

    /// Fragments of this message that may be under way, as far as it goes by itself. A stream has its own
    /// acknowledgements, and proves where its other end is.
    const fn own_window(&self, way: &Way) -> u32 {
        match self.protocol {
            AckProtocol::Blast if !self.gated => WINDOW_FRAGMENTS_MAX as u32,
            AckProtocol::Blast | AckProtocol::StopAndWait if way.is_stream() => {
                WINDOW_FRAGMENTS_MAX as u32
            }
            AckProtocol::Blast | AckProtocol::StopAndWait => 1,
        }
    }

    const fn bit(&self, fragment: u16) -> u64 {
        1 << (fragment - self.base)
    }

    fn stamp(&mut self, fragment: u16) -> &mut Stamp {
        &mut self.stamps[usize::from(fragment % WINDOW_FRAGMENTS_MAX)]
    }

    /// The fragment that would leave next, whatever the way says: a lost one first.
    fn candidate(&self, way: &Way) -> Option<u16> {
        if self.flight.count_ones() >= self.own_window(way) {
            return None;
        }
        let idle = (!(self.acked | self.flight)).trailing_zeros();
        let ahead = u16::try_from(idle).unwrap_or(WINDOW_FRAGMENTS_MAX);
        let fragment = self.base.saturating_add(ahead);
        (ahead < WINDOW_FRAGMENTS_MAX && fragment <= self.next && fragment < self.cut.fragments)
            .then_some(fragment)
    }

    /// What a fragment counts on the way.
    fn weight(&self, way: &Way) -> u32 {
        way.weight_of(self.cut.each_bytes)
    }

    /// Whether it has something to send, and waits for other messages to make room.
    pub(crate) fn waits_for_room(&self, way: &Way) -> bool {
        self.candidate(way).is_some_and(|fragment| !self.finds_room(way, fragment))
    }

    /// Whether there is room for a fragment on the way. Over a stream they go in such groups as are
    /// acknowledged, so that none waits for an ACK that never comes, whatever is under way of others; of
    /// a group that has begun each finds room.
    fn finds_room(&self, way: &Way, fragment: u16) -> bool {
        if !way.is_stream() {
            return matches!(self.probe, Probe::Due(..)) || way.takes(self.weight(way));
        }
        let group = stream_group(fragment, self.cut.fragments).filter(|_| fragment >= self.next);
        group.is_none_or(|group| way.takes(u32::from(group)))
    }

    /// What leaves now.
    pub(crate) fn poll(&mut self, now: Instant, way: &mut Way, trip: &RoundTrip) -> Next {
        let Some(fragment) = self.candidate(way) else { return Next::Nothing };
        if !self.finds_room(way, fragment) {
            return if self.enter_queue() { Next::Queue } else { Next::Nothing };
        }
        let Some(order) = way.send(now, self.weight(way), trip) else { return Next::Nothing };
        self.has_left = true;
        let resent = fragment < self.next;
        self.next = self.next.max(fragment + 1);
        *self.stamp(fragment) = Stamp { order, at: now, resent };
        if self.flight == 0 {
            self.timeout_at = now + trip.backed_off(self.backed_off);
        }
        self.flight |= self.bit(fragment);
        self.probe = match self.probe {
            Probe::Due(probed, before) if probed == fragment => Probe::Sent(probed, before),
            Probe::Sent(probed, _) if probed == fragment => Probe::Used,
            Probe::Due(..) => Probe::Used,
            Probe::Unused | Probe::Sent(..) | Probe::Used => self.probe,
        };
        self.put_off_probe(now, trip);
        Next::Fragment(fragment, resent)
    }

    /// Something has left or was heard. After a time-out the round trip is in doubt until it is measured.
    fn put_off_probe(&mut self, now: Instant, trip: &RoundTrip) {
        let after = trip.probe_after().filter(|_| self.backed_off == 0);
        self.probe_at = after.map(|after| (now + after).min(self.timeout_at));
    }

    /// When it is to be asked what has come: something is under way, and nothing else may leave.
    fn probe_due(&self, way: &Way) -> Option<Instant> {
        let may_probe = self.probe == Probe::Unused && !self.gated && !way.is_ambiguous();
        let may_probe = may_probe && self.flight != 0 && !way.is_stream();
        self.probe_at.filter(|_| may_probe && !self.may_leave(way))
    }

    /// Whether something may leave as soon as the next burst does.
    fn may_leave(&self, way: &Way) -> bool {
        self.candidate(way).is_some_and(|fragment| self.finds_room(way, fragment))
    }

    /// It is to be put into the way's queue, unless it is there already.
    pub(crate) const fn enter_queue(&mut self) -> bool {
        !std::mem::replace(&mut self.is_queued, true)
    }

    /// Whether nothing of it ever left: not even before it was begun anew.
    pub(crate) const fn is_unsent(&self) -> bool {
        !self.has_left
    }

    /// It was taken out of the way's queue.
    pub(crate) const fn leave_queue(&mut self) {
        self.is_queued = false;
    }

    /// It is not sent any more: what is under way of it is nobody's.
    pub(crate) fn leave(&mut self, way: &mut Way) {
        self.lose(way, u64::MAX);
    }

    /// These are not under way any more.
    fn lose(&mut self, way: &mut Way, bits: u64) {
        way.land((self.flight & bits).count_ones() * self.weight(way));
        self.flight &= !bits;
    }

    /// When to ask again: the next burst, unless it waits in the way's queue, a fragment that is lost by then, a
    /// probe, or the time-out.
    pub(crate) fn due(&self, way: &Way) -> Option<Instant> {
        let burst = (!self.is_queued && self.may_leave(way)).then(|| way.pace_at());
        let timeout = (self.flight != 0).then_some(self.timeout_at);
        let lost = self.lost_at.filter(|_| self.flight != 0);
        [burst, lost, self.probe_due(way), timeout].into_iter().flatten().min()
    }

    /// Whether the time-out is over: then all that was under way is taken to be lost. A stream loses only
    /// what found no room, so there only the first leaves again, to hear what has come, and the others go on
    /// to wait. Before that it finds what is lost by now, and lets a probe leave.
    pub(crate) fn expire(&mut self, now: Instant, way: &mut Way, trip: &RoundTrip) -> bool {
        if self.lost_at.is_some_and(|lost_at| now >= lost_at) {
            self.find_lost(now, None, way, trip);
        }
        if self.probe_due(way).is_some_and(|probe_at| now >= probe_at) {
            self.begin_probe(now, way, trip);
            return false;
        }
        if self.flight == 0 || now < self.timeout_at {
            return false;
        }
        if self.probe != Probe::Unused {
            self.probe = Probe::Used;
        }
        self.lost_at = None;
        self.tries += 1;
        self.stalled += 1;
        self.backed_off += 1;
        self.timeout_at = now + trip.backed_off(self.backed_off);
        if way.is_stream() {
            self.asked_order = way.order();
            self.lose(way, 1);
        } else {
            let lost =
                (self.base..self.next).filter(|&fragment| self.flight & self.bit(fragment) != 0);
            let newest = lost.map(|fragment| self.stamps[usize::from(fragment % 64)].order).max();
            self.lose(way, u64::MAX);
            way.collapse(newest.unwrap_or(0));
        }
        true
    }

    /// The last fragment under way, which is answered even by who has all, makes room for itself, or for one that
    /// waits before it. Whichever leaves is later than all others: its ACK tells which of them are lost.
    fn begin_probe(&mut self, now: Instant, way: &mut Way, trip: &RoundTrip) {
        let ahead = u64::BITS - 1 - self.flight.leading_zeros();
        let fragment = self.base + u16::try_from(ahead).unwrap_or(0);
        self.probe = Probe::Due(fragment, self.stamp(fragment).order);
        self.lose(way, self.bit(fragment));
        self.timeout_at = now + trip.backed_off(self.backed_off);
        way.hurry();
    }

    /// Takes the first fragment that is missing to be lost: somebody asks for it. Who asks for what is
    /// acknowledged to the end has it no more.
    pub(crate) fn nudge(&mut self, way: &mut Way) {
        if self.is_done() {
            self.start_over(way);
        }
        self.lose(way, 1);
        self.tries = 0;
        self.stalled += 1;
        self.asked = true;
        way.hurry();
    }

    /// The way that it took is gone, with all that was under way.
    pub(crate) fn lose_flight(&mut self, way: &mut Way) {
        self.lose(way, u64::MAX);
        self.tries = 0;
        way.hurry();
    }

    /// The receiver has nothing: all is sent again.
    pub(crate) fn start_over(&mut self, way: &mut Way) {
        self.fall_back(way, 0);
    }

    fn fall_back(&mut self, way: &mut Way, base: u16) {
        self.lose(way, u64::MAX);
        self.base = base;
        self.next = base;
        self.acked = 0;
        self.asked_order = 0;
        self.probe = Probe::Unused;
        self.lost_at = None;
    }

    /// An ACK: `cumulative` fragments have come without a gap, and `cumulative + 1 + n` for bit n.
    pub(crate) fn on_ack(
        &mut self,
        now: Instant,
        (cumulative, bitmap): (u16, u64),
        way: &mut Way,
        trip: &RoundTrip,
    ) -> Heard {
        let mut heard = Heard::default();
        let highest = u16::try_from(u64::BITS - bitmap.leading_zeros()).unwrap_or(0);
        heard.of_the_future = u32::from(cumulative) + u32::from(highest) + u32::from(bitmap != 0)
            > u32::from(self.next);
        if cumulative < self.base {
            // An ACK that was overtaken; or, when nothing else is heard, the receiver has lost it.
            if self.tries > 0 || self.asked {
                self.fall_back(way, cumulative);
                self.tries = 0;
            }
            return heard;
        }
        let before = u32::from(self.base) + self.acked.count_ones();
        let (mut newest, mut repaired) = (0, None);
        for fragment in self.base..self.next {
            let ahead = i32::from(fragment) - i32::from(cumulative);
            let has_come = ahead < 0 || (ahead > 0 && bitmap & (1 << (ahead - 1).min(63)) != 0);
            if !has_come || ahead > i32::from(WINDOW_FRAGMENTS_MAX) {
                continue;
            }
            let bit = self.bit(fragment);
            if self.acked & bit == 0 {
                self.acked |= bit;
                self.lose(way, bit);
                let Stamp { order, at, resent } = *self.stamp(fragment);
                // Sooner than any answer comes: of an earlier transmission, which has overtaken less.
                let is_early = resent && now.since(at) < trip.least();
                if !is_early {
                    way.acknowledge(order);
                }
                if let Probe::Sent(probed, before) = self.probe
                    && probed == fragment
                {
                    self.probe = Probe::Used;
                    if !is_early {
                        repaired = Some(before);
                    }
                }
                if order > newest && !resent {
                    (newest, heard.sample) = (order, Some(now.since(at)));
                }
            }
        }
        let run = self.acked.trailing_ones();
        self.base += u16::try_from(run).unwrap_or(0);
        self.acked = self.acked.checked_shr(run).unwrap_or(0);
        self.flight = self.flight.checked_shr(run).unwrap_or(0);
        let after = u32::from(self.base) + self.acked.count_ones();
        heard.progress = after > before;
        if heard.progress {
            self.gated = false;
            self.tries = 0;
            self.stalled = 0;
            self.asked = false;
            self.measure(heard.sample.is_some(), way);
            self.timeout_at = now + trip.backed_off(self.backed_off);
            self.put_off_probe(now, trip);
            way.widen((after - before) * self.weight(way));
        }
        if let Some(order) = repaired {
            // The probe itself has mended a loss, which counts as any other.
            way.lose(order, 1, trip);
        }
        if heard.progress || self.asked_order > 0 {
            self.find_lost(now, heard.sample, way, trip);
        }
        heard
    }

    /// Progress, with a round trip measured or not. Where a probe has hidden how long it was, no message probes
    /// until one is measured: on a path that has become slow, each fragment would be sent twice for ever.
    const fn measure(&mut self, is_measured: bool, way: &mut Way) {
        if is_measured {
            self.backed_off = 0;
            self.probe = Probe::Unused;
            way.set_ambiguous(false);
        } else if !matches!(self.probe, Probe::Unused) {
            way.set_ambiguous(true);
        }
    }

    /// What later transmissions have overtaken is lost, and the way hears of it: three of them, or any after
    /// some time. On a stream nothing is overtaken.
    fn find_lost(
        &mut self,
        now: Instant,
        latest: Option<Duration>,
        way: &mut Way,
        trip: &RoundTrip,
    ) {
        let (mut lost, mut first) = (0_u64, None);
        let after = trip.lost_after(latest).filter(|_| !way.is_stream());
        self.lost_at = None;
        for fragment in self.base..self.next {
            let bit = self.bit(fragment);
            let Stamp { order, at, .. } = *self.stamp(fragment);
            if self.flight & bit == 0 {
                continue;
            }
            let lost_at = after.filter(|_| way.is_passed(order)).map(|after| at + after);
            let is_late = lost_at.is_some_and(|lost_at| now >= lost_at);
            if is_late || way.is_overtaken(order) || order <= self.asked_order {
                lost |= bit;
                first = first.max(Some(order));
            } else if lost_at.is_some() {
                self.lost_at = self.lost_at.into_iter().chain(lost_at).min();
            }
        }
        self.asked_order = 0;
        self.lose(way, lost);
        if let Some(order) = first {
            way.lose(order, lost.count_ones(), trip);
        }
    }

    /// The first fragment that never left.
    #[cfg(test)]
    pub(crate) const fn next_unsent(&self) -> u16 {
        self.next
    }

    /// Its fragments under way.
    #[cfg(test)]
    pub(crate) const fn in_flight(&self) -> u32 {
        self.flight.count_ones()
    }

    /// What decides about its next steps, for a model checker.
    #[cfg(feature = "model")]
    pub(crate) const fn position(&self) -> (u16, u16, u64, u64, u32, (u8, u16)) {
        let probe = match self.probe {
            Probe::Unused => (0, 0),
            Probe::Due(fragment, _) => (1, fragment),
            Probe::Sent(fragment, _) => (2, fragment),
            Probe::Used => (3, 0),
        };
        (self.base, self.next, self.acked, self.flight, self.tries, probe)
    }
}
