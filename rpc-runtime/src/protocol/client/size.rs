//! How long a datagram may be: the client finds out, and tells the server.
//!
//! ```text
//!   a large message begins ─► PROBE 1,452  PROBE 8,952  PROBE 65,488     each alone, as long as it says
//!   the longest PROBED     ─► messages begun from now on; PROBE(carried, token): the server's too
//!   a message is swallowed ─► as before any probe, and asked again after a while
//! ```
//!
//! RFC 8899 (datagram packetization layer path MTU discovery), RFC 9000 section 14.3: probes are PDUs of
//! their own, nothing waits for them, and that one is lost says nothing of congestion. An answer is as
//! long as its question, so it proves both directions, and its token, which the client repeats, that the
//! client has got it. Small calls cause no probe. What is too long for a small message is not asked.
//!
//! Knows neither sockets nor what an interface carries: a datagram that the system refuses is one that
//! was lost.

use super::session::{Link, Session};
use super::{Client, TimerKey};
use crate::ids::Space;
use crate::protocol::fragment::Cut;
use crate::protocol::path::{self, PROBED_BYTES};
use crate::protocol::timers::TimerId;
use crate::time::{Duration, Instant};
use crate::wire::{DATAGRAM_BYTES_MAX, HEADER_BYTES, Pdu, Probe, Probed, Request};

/// How long an answer holds before longer datagrams are asked about again: RFC 8899, section 5.1.1.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// How long after datagrams were swallowed.
const ASK_SWALLOWED_AFTER: Duration = Duration::from_secs(60);

/// How often a probe is sent: RFC 8899, section 5.1.2.
const PROBES_MAX: u32 = 3;

/// What a client knows of the way to its server.
#[derive(Clone, Debug)]
pub(super) struct Discovery {
    /// The longest datagram that the link carries.
    link_bytes: usize,
    /// The longest that the server takes.
    peer_bytes: usize,
    /// The longest datagram that came back; 0 before any has.
    carried: u32,
    /// What the server said in it.
    token: u64,
    /// Whether the server goes by it too.
    is_told: bool,
    /// Names what is asked.
    stamp: u64,
    /// So many of the lengths are asked about.
    asked: usize,
    /// Times that they were.
    tries: u32,
    /// When all is asked anew.
    again_at: Instant,
    /// Before this, nothing is: datagrams were swallowed.
    not_before: Instant,
    timer: Option<TimerId>,
}

impl Discovery {
    pub(super) const fn new() -> Self {
        Self {
            link_bytes: DATAGRAM_BYTES_MAX,
            peer_bytes: DATAGRAM_BYTES_MAX,
            carried: 0,
            token: 0,
            is_told: false,
            stamp: 0,
            asked: 0,
            tries: 0,
            again_at: Instant::START,
            not_before: Instant::START,
            timer: None,
        }
    }

    /// Lengths that are asked about and have not come back.
    fn missing(&self) -> impl Iterator<Item = u32> + use<> {
        let carried = self.carried;
        let lengths = PROBED_BYTES.iter().take(self.asked);
        let lengths = lengths.map(|&bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        lengths.filter(move |&bytes| bytes > carried)
    }

    const fn must_tell(&self) -> bool {
        self.carried > 0 && !self.is_told
    }

    /// Whether anything is to be asked, or told, once more.
    fn is_open(&self) -> bool {
        self.tries < PROBES_MAX && (self.must_tell() || self.missing().next().is_some())
    }
}

impl Client {
    /// Its link carries datagrams of so many bytes, in one piece or not at all. Until it is told so, none
    /// is longer than every path carries.
    pub fn link_carries(&mut self, bytes: usize) {
        self.discovery.link_bytes = bytes.min(self.limits.datagram_bytes_max);
    }

    /// What WELCOME says of the server.
    pub(super) fn hear_datagram_bytes(&mut self, bytes: u32) {
        self.discovery.peer_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }

    /// The longest datagram that is taken here.
    pub(super) fn datagram_bytes_max(&self) -> usize {
        path::probed_bytes_max(self.target.address, self.discovery.link_bytes)
    }

    /// The longest datagram of a message that begins now.
    fn datagram_bytes(&self) -> usize {
        let carried = usize::try_from(self.discovery.carried).unwrap_or(0);
        path::datagram_bytes(self.target.address).max(carried)
    }

    /// How a call's arguments are cut now: as before, unless that is too long by now.
    pub(super) fn cut(&mut self, index: usize) -> Cut {
        let each_bytes = path::argument_bytes_in(self.datagram_bytes());
        let call = &mut self.calls[index];
        let (bytes, each_bytes) = (call.message_bytes(), each_bytes - call.extension_bytes());
        let cut = match usize::try_from(call.each_bytes).unwrap_or(0) {
            0 => Cut::of(bytes, each_bytes),
            before if before > each_bytes => Cut::of(bytes, before).finer(bytes, each_bytes),
            before => Cut::of(bytes, before),
        };
        call.each_bytes = u32::try_from(cut.each_bytes).unwrap_or(u32::MAX);
        cut
    }

    /// A large message begins: asks what the path carries, unless that is known.
    pub(super) fn discover(&mut self, now: Instant, session: &Session, message_bytes: usize) {
        if path::is_stream(self.target.address) || now < self.discovery.not_before {
            return;
        }
        let most = self.datagram_bytes_max().min(self.discovery.peer_bytes);
        let whole = message_bytes.saturating_add(HEADER_BYTES + Request::LEN);
        let enough = PROBED_BYTES.iter().take_while(|&&bytes| bytes < whole).count() + 1;
        let allowed = PROBED_BYTES.iter().take_while(|&&bytes| bytes <= most).count();
        let wanted = enough.min(allowed);
        let discovery = &mut self.discovery;
        if now >= discovery.again_at {
            discovery.again_at = now + ASK_AGAIN_AFTER;
            (discovery.asked, discovery.is_told) = (0, false);
        }
        if wanted > discovery.asked {
            (discovery.asked, discovery.tries) = (wanted, 0);
            discovery.stamp = self.rng.next_nonzero();
            return self.send_probes(now, session);
        }
        // What was begun while an earlier message was under way goes on.
        let is_asking = discovery.timer.is_some_and(|timer| self.timers.is_set(timer));
        if !is_asking && discovery.is_open() {
            self.send_probes(now, session);
        }
    }

    /// Asks about the lengths that have not come back, and says which has.
    fn send_probes(&mut self, now: Instant, session: &Session) {
        for bytes in self.discovery.missing() {
            self.send_probe(session, bytes);
            self.counters.path_probes += 1;
        }
        if self.discovery.must_tell() {
            self.tell_size(session);
        }
        let wait = self.trip.wait(self.discovery.tries, &mut *self.rng);
        self.discovery.tries += 1;
        let add = || self.timers.add(TimerKey::Size);
        let timer = *self.discovery.timer.get_or_insert_with(add);
        self.timers.set(timer, now + wait);
    }

    fn tell_size(&mut self, session: &Session) {
        self.send_probe(session, TOLD_BYTES);
    }

    fn send_probe(&mut self, session: &Session, bytes: u32) {
        let Discovery { stamp, carried, token, .. } = self.discovery;
        let envelope = self.envelope(session, Space::Session);
        let probe = Pdu::Probe(Probe { stamp, bytes, carried, token });
        self.outbox.send(self.target.address, &envelope, &probe);
    }

    /// Nobody has answered.
    pub(super) fn on_size_timer(&mut self, now: Instant) {
        let Link::Live(session) = self.link else { return };
        if self.discovery.is_open() && !self.calls.is_empty() {
            self.send_probes(now, &session);
        }
    }

    /// A datagram of this length came, and came back; or the server says what it goes by.
    pub(super) fn on_probed(&mut self, now: Instant, probed: &Probed) {
        let discovery = &mut self.discovery;
        if discovery.stamp == 0 || probed.stamp != discovery.stamp {
            self.counters.stale += 1;
            return;
        }
        if probed.bytes == TOLD_BYTES && probed.carried == discovery.carried {
            discovery.is_told = true;
        } else if discovery.missing().any(|bytes| bytes == probed.bytes) {
            (discovery.carried, discovery.token) = (probed.bytes, probed.token);
            discovery.is_told = false;
            self.counters.sizes_found += 1;
        } else {
            self.counters.stale += 1;
            return;
        }
        if self.discovery.missing().next().is_some() {
            return; // the timer tells what has come by then
        }
        match self.link {
            Link::Live(session) if self.discovery.must_tell() && !self.calls.is_empty() => {
                self.discovery.tries = 0;
                self.send_probes(now, &session);
            }
            Link::None | Link::Opening(_) | Link::Live(_) => self.stop_probing(),
        }
    }

    /// A message's time-out is over: whether the path has swallowed it, or another one of its length.
    pub(super) fn leave_black_hole(&mut self, now: Instant, index: usize) {
        let safe_bytes = self.request_bytes();
        let Some(outgoing) = &self.calls[index].outgoing else { return };
        let before = outgoing.cut();
        if before.each_bytes <= safe_bytes {
            return;
        }
        if outgoing.is_swallowed() {
            self.forget_size();
            self.discovery.not_before = now + ASK_SWALLOWED_AFTER;
        }
        let cut = self.cut(index);
        if let Some(outgoing) = &mut self.calls[index].outgoing
            && cut != before
        {
            outgoing.cut_anew(cut, &mut self.way);
            self.counters.black_holes += 1;
        }
    }

    /// Nothing is known of the way any more.
    pub(super) fn forget_size(&mut self) {
        self.stop_probing();
        let Discovery { link_bytes, peer_bytes, timer, .. } = self.discovery;
        self.discovery = Discovery { link_bytes, peer_bytes, timer, ..Discovery::new() };
    }

    /// Nothing is asked until the next large message.
    pub(super) fn stop_probing(&mut self) {
        if let Some(timer) = self.discovery.timer {
            self.timers.clear(timer);
        }
    }
}

/// The PROBE that says what came back: not padded.
const TOLD_BYTES: u32 = 56;
const _: () = assert!(HEADER_BYTES + Probe::LEN == TOLD_BYTES as usize);
