//! Streams: what goes between two hosts is one sequence of bytes, of which nothing is lost, doubled or
//! overtaken, until the whole stream breaks.
//!
//! Responsible for bytes from the moment they are written: cut anywhere, late, read slowly, put
//! together again to whole PDUs by [`frames`](crate::wire::frames), as the ends of real streams do it. A stream
//! breaks at any byte of a write, with a host that crashes, and where the way is cut: at once, or after a
//! silence that swallows what is written. What was under way is lost then, and the end that opened it is
//! told; what that end wrote before may still be read when its next stream is there. It is opened again by
//! what is sent next, from another port, and not before a pause that grows while streams come to nothing.
//! Who opened a stream is known by its port: see [`CALLER_PORTS`]. Does not know what PDUs say.

mod reading;

use std::collections::BTreeMap;

use super::super::hosts::HostId;
use super::super::random::{Purpose, SimRng};
use super::super::trace::{Event, Lost};
use super::{Flight, Ledger, Net, Path, Verdict};
use crate::address::Address;
use crate::driver::Sent;
use crate::random::Rng as _;
use crate::time::{Duration, Instant};
use crate::wire::FRAME_BYTES_MAX;

/// The ports that streams are opened from; whoever listens for streams does it below.
const CALLER_PORTS: u16 = 1 << 15;

/// How long to hold up after a stream that came to nothing: at first, and at the most; and for how long a
/// stream must have held to be more than nothing. As the ends of real streams do it.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// No byte of a stream is later than this, however slow its reader is.
const LATE_MAX: Duration = Duration::from_secs(3);

/// How long a way that is cut swallows what is written before its streams break, at the most; half of
/// them break at once. As a TCP peer that acknowledges nothing is given up, which takes longer.
const SILENCE_US_MAX: u64 = 3_000_000;

/// How likely a write is delayed, where writes are: what comes behind it is as late, so that it takes few.
const DELAYED: f64 = 0.1;

/// What goes wrong with streams. The default does nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamFaults {
    /// That a stream breaks in the midst of a write.
    pub breaks: f64,
    /// That a stream's reader is slow.
    pub slow: f64,
    /// That a write comes cut into small pieces, of which no PDU is whole.
    pub crumbs: f64,
    /// How many bytes may be under way in one direction; what finds no room is dropped where it is sent.
    pub queue_bytes_max: usize,
}

impl Default for StreamFaults {
    fn default() -> Self {
        Self { breaks: 0.0, slow: 0.0, crumbs: 0.0, queue_bytes_max: 2 << 20 }
    }
}

/// What a flight is part of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// Nothing: it is a datagram.
    Datagram,
    /// A stream's bytes.
    Piece(StreamId, Way),
    /// A stream's end.
    End(StreamId),
    /// The news that a stream broke.
    Told,
}

/// Never used twice.
type StreamId = u64;

/// From who opened a stream to who listens, or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

/// All streams of a network.
#[derive(Debug)]
pub(super) struct Streams {
    rng: SimRng,
    faults: StreamFaults,
    is_dialled: bool,
    open: BTreeMap<StreamId, Stream>,
    /// Who has opened a stream, or tried to, and where to.
    dials: BTreeMap<(Address, Address), Dial>,
    /// The addresses that callers are seen at.
    callers: BTreeMap<Address, StreamId>,
    last: StreamId,
    port: u16,
}

/// One end's streams to one place, one at a time.
#[derive(Clone, Copy, Debug, Default)]
struct Dial {
    stream: Option<StreamId>,
    not_before: Instant,
    pause: Duration,
}

#[derive(Debug)]
struct Stream {
    /// The endpoint that opened it, and the place that it wanted.
    dial: (Address, Address),
    /// Where that endpoint is seen.
    caller: Address,
    /// Who listened at the place then.
    listener: Address,
    since: Instant,
    /// Whether somebody listened, and whether anything came back.
    is_accepted: bool,
    is_heard: bool,
    /// Whether its end is under way: what is written meanwhile is lost.
    is_ending: bool,
    /// Whether it is gone for who opened it, while what that end wrote is still read.
    is_left: bool,
    up: Half,
    down: Half,
}

/// One direction.
#[derive(Debug)]
struct Half {
    under_way_bytes: usize,
    /// When the last byte written so far comes.
    last: Instant,
    /// How many bytes its reader takes in a millisecond, if it is slow.
    bytes_per_ms: Option<u64>,
    /// The beginning of a PDU.
    partial: Vec<u8>,
    /// Nobody reads any more.
    is_lost: bool,
}

impl Streams {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: SimRng::new(seed, Purpose::Network, 1),
            faults: StreamFaults::default(),
            is_dialled: false,
            open: BTreeMap::new(),
            dials: BTreeMap::new(),
            callers: BTreeMap::new(),
            last: 0,
            port: CALLER_PORTS,
        }
    }

    fn half(&mut self, now: Instant) -> Half {
        let is_slow = self.faults.slow > 0.0 && self.rng.chance(self.faults.slow);
        let bytes_per_ms = is_slow.then(|| 16 << self.rng.below(10));
        Half { under_way_bytes: 0, last: now, bytes_per_ms, partial: Vec::new(), is_lost: false }
    }

    /// An address of this host that no stream has.
    fn free_address(&mut self, host: HostId) -> Address {
        loop {
            let address = host.stream(self.port);
            self.port = self.port.checked_add(1).unwrap_or(CALLER_PORTS);
            if !self.callers.contains_key(&address) {
                return address;
            }
        }
    }

    /// Cuts a write into pieces.
    fn cut(&mut self, length: usize) -> Vec<usize> {
        let mut cuts = vec![0, length];
        let drawn = |rng: &mut SimRng| usize::try_from(rng.below(length as u64)).unwrap_or(0);
        if self.faults.crumbs > 0.0
            && length <= CRUMBLED_BYTES
            && self.rng.chance(self.faults.crumbs)
        {
            let bytes = 1 + usize::try_from(self.rng.below(40)).unwrap_or(0);
            cuts.extend((0..length).step_by(bytes));
        } else {
            for _ in 0..self.rng.below(3) {
                cuts.push(drawn(&mut self.rng));
            }
        }
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }
}

/// What is longer comes in a few pieces only.
const CRUMBLED_BYTES: usize = 400;

impl Stream {
    const fn half(&mut self, way: Way) -> &mut Half {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    const fn is_lost(&self, way: Way) -> bool {
        match way {
            Way::Up => self.up.is_lost,
            Way::Down => self.down.is_lost,
        }
    }

    /// As its reader sees who writes, and where that reader is.
    const fn ends(&self, way: Way) -> (Address, Address) {
        match way {
            Way::Up => (self.caller, self.listener),
            Way::Down => (self.dial.1, self.dial.0),
        }
    }
}

/// What is done from outside.
impl Net {
    /// Puts faults in force on streams, for what is written from here on.
    pub fn set_stream_faults(&mut self, faults: StreamFaults) {
        self.streams.faults = faults;
    }

    /// Lets links that blocking code dials from here on be streams, or not.
    pub fn dial_streams(&mut self, is_dialled: bool) {
        self.streams.is_dialled = is_dialled;
    }

    /// The address of a place for who dials it.
    pub(in crate::sim) fn dialled(&self, host: HostId, port: u16) -> Address {
        if self.streams.is_dialled { host.stream(port) } else { host.port(port) }
    }

    /// The longest that a link carries at once.
    pub(in crate::sim) fn bytes_max(&self) -> usize {
        if self.streams.is_dialled { FRAME_BYTES_MAX } else { self.datagram_bytes_max() }
    }

    /// A host has crashed, or one of its endpoints is closed: its streams end. What it wrote still comes, or
    /// may be lost with a host that crashed; what is written to it is lost.
    pub(in crate::sim) fn end_streams(
        &mut self,
        ledger: &mut Ledger<'_>,
        host: HostId,
        port: Option<u16>,
    ) {
        let is_there = |address: Address| {
            HostId::of(address)
                .is_some_and(|(at, own)| at == host && port.is_none_or(|it| it == own))
        };
        self.streams.dials.retain(|(from, _), _| !is_there(*from));
        let (latency, mut ends) = (self.latency, Vec::new());
        for (&id, stream) in &mut self.streams.open {
            let (is_caller, is_listener) = (is_there(stream.dial.0), is_there(stream.listener));
            if !is_caller && !is_listener {
                continue;
            }
            stream.is_ending = true;
            let comes = port.is_some() || self.streams.rng.chance(0.5);
            stream.down.is_lost |= is_caller || !comes;
            stream.up.is_lost |= is_listener || !comes;
            let last = if is_caller { stream.up.last } else { stream.down.last };
            ends.push((id, if comes { last } else { ledger.now }.max(ledger.now) + latency));
        }
        for (id, at) in ends {
            self.launch_end(ledger, id, at);
        }
    }

    /// What came by a stream found no room: nobody reads there, and the stream is given up.
    pub(in crate::sim) fn overrun(&mut self, ledger: &mut Ledger<'_>, from: Address, to: Address) {
        let dialled = || self.streams.dials.get(&(to, from)).and_then(|dial| dial.stream);
        if let Some(id) = self.streams.callers.get(&from).copied().or_else(dialled) {
            let _ = self.end(ledger, id, self.latency);
        }
    }
}

/// Writing.
impl Net {
    /// Takes what a host writes to a stream, whole PDUs; opens the stream if there is none.
    pub(super) fn write(
        &mut self,
        ledger: &mut Ledger<'_>,
        from: Address,
        to: Address,
        bytes: &[u8],
    ) -> Sent {
        let ends = HostId::of(from).zip(HostId::of(to));
        let Some(((sender, own), (place, port))) = ends else { return self.refuse() };
        if bytes.is_empty() || bytes.len() > FRAME_BYTES_MAX {
            return self.refuse();
        }
        self.count(sender, bytes);
        ledger.record(&Event::Sent { from, to, datagram: bytes });
        let endpoint = sender.port(own);
        let found = if port >= CALLER_PORTS {
            let stream = self.streams.callers.get(&to).copied();
            stream.filter(|id| self.listener(*id) == Some(endpoint)).map(|id| (id, Way::Down))
        } else {
            self.dial(ledger, endpoint, (place, port)).map(|id| (id, Way::Up))
        };
        let Some((id, way)) = found else {
            return self.lost(ledger, (from, to), Lost::Broken, bytes);
        };
        self.write_to(ledger, (id, way), (from, to), bytes)
    }

    fn listener(&self, id: StreamId) -> Option<Address> {
        self.streams.open.get(&id).map(|stream| stream.listener)
    }

    fn lost(
        &mut self,
        ledger: &mut Ledger<'_>,
        (from, to): (Address, Address),
        why: Lost,
        bytes: &[u8],
    ) -> Sent {
        match why {
            Lost::QueueFull => self.counters.queue_full += 1,
            Lost::Broken => self.counters.lost_with_stream += 1,
            Lost::Fault | Lost::Partition | Lost::Script | Lost::Nobody | Lost::TooLong => {}
        }
        ledger.record(&Event::Lost { from, to, why, datagram: bytes });
        if why == Lost::QueueFull { Sent::Full } else { Sent::Failed }
    }

    /// The stream of an endpoint to a place, which is opened if it is time.
    fn dial(
        &mut self,
        ledger: &Ledger<'_>,
        endpoint: Address,
        (place, port): (HostId, u16),
    ) -> Option<StreamId> {
        let key = (endpoint, place.stream(port));
        let dial = self.streams.dials.entry(key).or_default();
        if dial.stream.is_some() {
            return dial.stream;
        }
        if ledger.now < dial.not_before {
            return None;
        }
        let Some(resident) = self.resident(place) else {
            self.counters.nobody += 1;
            return None;
        };
        let seen = HostId::of(self.seen_at(endpoint)).map_or(place, |(host, _)| host);
        let caller = self.streams.free_address(seen);
        self.streams.last += 1;
        let id = self.streams.last;
        let stream = Stream {
            dial: key,
            caller,
            listener: resident.port(port),
            since: ledger.now,
            is_accepted: false,
            is_heard: false,
            is_ending: false,
            is_left: false,
            up: self.streams.half(ledger.now),
            down: self.streams.half(ledger.now),
        };
        self.streams.open.insert(id, stream);
        self.streams.callers.insert(caller, id);
        self.streams.dials.entry(key).or_default().stream = Some(id);
        self.counters.opened += 1;
        Some(id)
    }

    fn write_to(
        &mut self,
        ledger: &mut Ledger<'_>,
        (id, way): (StreamId, Way),
        (from, to): (Address, Address),
        bytes: &[u8],
    ) -> Sent {
        let queue_bytes_max = self.streams.faults.queue_bytes_max;
        let Some(stream) = self.streams.open.get_mut(&id) else { return Sent::Failed };
        let (reader, _) = HostId::of(stream.ends(way).1).expect("an endpoint is simulated");
        let (writer, _) = HostId::of(from).expect("checked where it was sent");
        if stream.is_ending {
            self.lost(ledger, (from, to), Lost::Broken, bytes);
            return Sent::Yes; // who writes does not know yet
        }
        if stream.half(way).under_way_bytes + bytes.len() > queue_bytes_max {
            return self.lost(ledger, (from, to), Lost::QueueFull, bytes);
        }
        let path = |from, to| self.paths.get(&(from, to)).copied().unwrap_or_default();
        let (there, back) = (path(writer, reader), path(reader, writer));
        let verdict = if self.rules_live { self.verdict(writer, reader, bytes) } else { None };
        let is_cut = there.is_cut || back.is_cut;
        // A datagram that is lost is a stream that broke.
        let (late, whole) = match verdict {
            Some(Verdict::Drop | Verdict::Corrupt) => (Duration::ZERO, 0),
            Some(Verdict::Delay(late)) => (late, bytes.len()),
            Some(Verdict::Repeat(_) | Verdict::Pass) => (Duration::ZERO, bytes.len()),
            None if is_cut => {
                self.counters.cut += 1;
                (self.silence(), 0)
            }
            None => (self.delay(&there), self.breaks_at(bytes.len())),
        };
        let due = ledger.now + there.latency.unwrap_or(self.latency) + late;
        if whole > 0 {
            self.cut_up(ledger, (id, way), due, &bytes[..whole]);
        }
        if whole < bytes.len() {
            self.break_off(ledger, (id, way), due);
        }
        Sent::Yes
    }

    /// How much later than others a write comes.
    fn delay(&mut self, path: &Path) -> Duration {
        let delay = path.faults.unwrap_or(self.faults).delay;
        if delay == crate::fault::Delay::NONE || !self.streams.rng.chance(DELAYED) {
            return Duration::ZERO;
        }
        self.counters.injected.delayed += 1;
        delay.sample(&mut self.streams.rng)
    }

    /// How long nobody is told that a way is cut.
    fn silence(&mut self) -> Duration {
        let rng = &mut self.streams.rng;
        let micros = if rng.chance(0.5) { rng.below(SILENCE_US_MAX) } else { 0 };
        Duration::from_micros(micros)
    }

    /// Which byte of a write is the first that does not come: most often none.
    fn breaks_at(&mut self, length: usize) -> usize {
        let Streams { rng, faults, .. } = &mut self.streams;
        if faults.breaks > 0.0 && rng.chance(faults.breaks) {
            return usize::try_from(rng.below(length as u64)).unwrap_or(0);
        }
        length
    }

    fn cut_up(
        &mut self,
        ledger: &mut Ledger<'_>,
        (id, way): (StreamId, Way),
        due: Instant,
        bytes: &[u8],
    ) {
        let cuts = self.streams.cut(bytes.len());
        for (start, end) in cuts.iter().zip(cuts.get(1..).unwrap_or_default()) {
            let piece = self.copy(&bytes[*start..*end]);
            let Some(stream) = self.streams.open.get_mut(&id) else { return };
            let (from, to) = stream.ends(way);
            let half = stream.half(way);
            half.under_way_bytes += piece.len();
            let at = half.arrival(due, piece.len()).min(ledger.now + LATE_MAX).max(half.last);
            half.last = at;
            let part = Part::Piece(id, way);
            self.launch(ledger.order.due(at), Flight { from, to, datagram: piece, part });
        }
    }

    /// The stream breaks behind what was written in this direction so far.
    fn break_off(&mut self, ledger: &mut Ledger<'_>, (id, way): (StreamId, Way), due: Instant) {
        let Some(stream) = self.streams.open.get_mut(&id) else { return };
        stream.is_ending = true;
        let at = stream.half(way).last.max(due);
        self.launch_end(ledger, id, at);
    }

    fn launch_end(&mut self, ledger: &mut Ledger<'_>, id: StreamId, at: Instant) {
        let Some(stream) = self.streams.open.get(&id) else { return };
        let (from, to) = stream.ends(Way::Up);
        let flight = Flight { from, to, datagram: Vec::new(), part: Part::End(id) };
        self.launch(ledger.order.due(at), flight);
    }
}

impl Half {
    /// When a piece comes that could be there at `due`.
    fn arrival(&self, due: Instant, bytes: usize) -> Instant {
        let due = due.max(self.last);
        match self.bytes_per_ms {
            Some(pace) => due + Duration::from_micros(bytes as u64 * 1_000 / pace),
            None => due,
        }
    }
}

#[cfg(test)]
mod tests;
