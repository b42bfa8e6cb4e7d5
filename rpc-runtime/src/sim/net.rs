//! The simulated network: who reaches whom, how fast, and what goes wrong on the way.
//!
//! Responsible for a datagram from the moment it is sent to the moment it is due. Does not know
//! what hosts do with it, nor who moves the time. Buffers are pooled: a delivery allocates nothing
//! once the pool is warm.

mod queue;
mod script;
mod streams;

use std::collections::BTreeMap;

use slab::Slab;

pub(crate) use queue::{Due, Order, Queue, Timers};
pub use script::{Rule, RuleId, Verdict};
pub use streams::StreamFaults;
use streams::{Part, Streams};

use super::hosts::HostId;
use super::random::{Purpose, SimRng};
use super::trace::{Event, Lost, Trace};
use crate::address::Address;
use crate::driver::Sent;
use crate::fault::{Damage, Faults, Injected};
use crate::time::{Duration, Instant};
use crate::wire::{DATAGRAM_BYTES_MAX, HEADER_BYTES, Kind};

/// How long a datagram takes one way when nothing else is said.
pub const LATENCY: Duration = Duration::from_micros(50);

/// How many datagrams wait at an endpoint that nobody reads, when nothing else is said.
pub const INBOUND_DATAGRAMS_MAX: usize = 1_024;

/// How many buffers are kept for the next datagrams.
const POOLED_BUFFERS_MAX: usize = 1_024;

/// What the network did so far, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetCounters {
    /// Handed over by hosts.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Arrived at a host, copies included.
    pub arrived: u64,
    /// Refused: empty, or longer than the network carries.
    pub refused: u64,
    /// Dropped by a partition.
    pub cut: u64,
    /// Dropped because the path carries only shorter ones.
    pub too_long: u64,
    /// Decided by a rule.
    pub scripted: u64,
    /// Found nobody.
    pub nobody: u64,
    /// Found a full queue.
    pub queue_full: u64,
    /// Streams that were opened.
    pub opened: u64,
    /// Streams that were not: nobody was there, or the way is cut, or it was too early to try again.
    pub not_opened: u64,
    /// Streams that broke.
    pub broken: u64,
    /// Writes to a stream that was lost already, and what was under way in one.
    pub lost_with_stream: u64,
    /// What chance did.
    pub injected: Injected,
}

/// A network of hosts that all reach each other until told otherwise.
#[derive(Debug)]
pub struct Net {
    rng: SimRng,
    faults: Faults,
    latency: Duration,
    datagram_bytes_max: usize,
    paths: BTreeMap<(HostId, HostId), Path>,
    /// Who is found at the address of another host: by that other host.
    moved: BTreeMap<HostId, HostId>,
    rules: Vec<Rule>,
    rules_live: bool,
    flights: Slab<Flight>,
    queue: Queue,
    pool: Vec<Vec<u8>>,
    counters: NetCounters,
    kinds: Vec<[u64; Kind::ALL.len()]>,
    streams: Streams,
}

/// One direction between two hosts, where it differs from the rest.
#[derive(Clone, Copy, Debug, Default)]
struct Path {
    faults: Option<Faults>,
    latency: Option<Duration>,
    /// The longest datagram that it carries, in bytes.
    mtu_bytes: Option<usize>,
    is_cut: bool,
}

/// A datagram under way, or a part of a stream.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) datagram: Vec<u8>,
    part: Part,
}

/// What has come to its place.
#[derive(Debug)]
pub(crate) enum Landed {
    /// A datagram, or whole PDUs of a stream.
    Datagram(Flight),
    /// The end of the stream to `from`, which `to` had opened.
    Break { from: Address, to: Address },
    /// Less than a PDU, or something that is lost.
    Nothing,
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: SimRng::new(seed, Purpose::Network, 0),
            faults: Faults::NONE,
            latency: LATENCY,
            datagram_bytes_max: DATAGRAM_BYTES_MAX,
            paths: BTreeMap::new(),
            moved: BTreeMap::new(),
            rules: Vec::new(),
            rules_live: false,
            flights: Slab::new(),
            queue: Queue::default(),
            pool: Vec::new(),
            counters: NetCounters::default(),
            kinds: Vec::new(),
            streams: Streams::new(seed),
        }
    }

    /// Puts faults in force on every path that has none of its own.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Puts faults in force on one direction; `None` for those of the network.
    pub fn set_path_faults(&mut self, from: HostId, to: HostId, faults: Option<Faults>) {
        self.path(from, to).faults = faults;
    }

    /// Sets how long a datagram takes on every path that has no time of its own.
    pub fn set_latency(&mut self, latency: Duration) {
        self.latency = latency;
    }

    /// Sets how long a datagram takes in one direction; `None` for the network's time.
    pub fn set_path_latency(&mut self, from: HostId, to: HostId, latency: Option<Duration>) {
        self.path(from, to).latency = latency;
    }

    /// Has one direction carry datagrams of at most so many bytes, from here on: longer ones vanish, and
    /// nobody is told. `None` for any that are sent.
    pub fn set_path_mtu(&mut self, from: HostId, to: HostId, bytes: Option<usize>) {
        self.path(from, to).mtu_bytes = bytes;
    }

    /// Cuts one direction: what is sent there from here on never arrives. What is under way does.
    pub fn cut(&mut self, from: HostId, to: HostId) {
        self.path(from, to).is_cut = true;
    }

    /// Mends one direction.
    pub fn mend(&mut self, from: HostId, to: HostId) {
        self.path(from, to).is_cut = false;
    }

    /// Cuts both directions between every host of `here` and every host of `there`.
    pub fn partition(&mut self, here: &[HostId], there: &[HostId]) {
        for a in here {
            for b in there {
                self.cut(*a, *b);
                self.cut(*b, *a);
            }
        }
    }

    /// Mends every direction that is cut.
    pub fn mend_all(&mut self) {
        self.paths.values_mut().for_each(|path| path.is_cut = false);
    }

    /// Lets a host have the address of another from here on, instead of its own: what it sends comes
    /// from there, what is sent there comes to it. A client behind a router changes its address so,
    /// and one process takes the place of another that still runs. Paths and rules go on to name the
    /// hosts themselves.
    pub fn move_to(&mut self, host: HostId, place: HostId) {
        self.moved.retain(|_, moved| *moved != host);
        self.moved.insert(place, host);
    }

    /// Who is found at an address that is a host's own.
    fn resident(&self, place: HostId) -> Option<HostId> {
        let has_left = || self.moved.values().any(|moved| *moved == place);
        self.moved.get(&place).copied().or_else(|| (!has_left()).then_some(place))
    }

    /// The address that a host is seen at.
    fn seen_at(&self, from: Address) -> Address {
        let Some((host, port)) = HostId::of(from).filter(|_| !self.moved.is_empty()) else {
            return from;
        };
        let place = self.moved.iter().find(|(_, moved)| **moved == host);
        place.map_or(from, |(place, _)| place.port(port))
    }

    /// Limits datagrams to `bytes`: a longer one is refused where it is sent.
    pub fn set_datagram_bytes_max(&mut self, bytes: usize) {
        self.datagram_bytes_max = bytes;
    }

    /// The longest datagram that the network carries.
    #[must_use]
    pub fn datagram_bytes_max(&self) -> usize {
        self.datagram_bytes_max
    }

    /// Adds a rule, behind those that are there.
    pub fn script(&mut self, rule: Rule) -> RuleId {
        self.rules.push(rule);
        self.rules_live = true;
        RuleId(self.rules.len() - 1)
    }

    /// Drops the next datagram from `from` to `to` that holds a PDU of this kind.
    pub fn drop_next(&mut self, from: HostId, to: HostId, kind: Kind) -> RuleId {
        self.script(Rule::new(Verdict::Drop).from(from).to(to).kind(kind).times(1))
    }

    /// How many datagrams a rule has decided about.
    #[must_use]
    pub fn hits(&self, rule: RuleId) -> u64 {
        self.rules.get(rule.0).map_or(0, Rule::hits)
    }

    /// Ends a rule.
    pub fn unscript(&mut self, rule: RuleId) {
        if let Some(rule) = self.rules.get_mut(rule.0) {
            rule.retire();
        }
        self.rules_live = self.rules.iter().any(|rule| !rule.is_spent());
    }

    /// What the network did so far.
    #[must_use]
    pub fn counters(&self) -> NetCounters {
        self.counters
    }

    /// How many PDUs of a kind a host has sent, retransmissions included.
    #[must_use]
    pub fn sent(&self, host: HostId, kind: Kind) -> u64 {
        self.kinds.get(host.index()).map_or(0, |kinds| kinds[kind as usize])
    }

    /// How many datagrams are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.flights.len()
    }

    fn path(&mut self, from: HostId, to: HostId) -> &mut Path {
        self.paths.entry((from, to)).or_default()
    }

    /// Takes a datagram from a host.
    pub(crate) fn send(
        &mut self,
        ledger: &mut Ledger<'_>,
        from: Address,
        to: Address,
        datagram: &[u8],
    ) -> Sent {
        let places = HostId::of(from).zip(HostId::of(to));
        let Some(((sender, _), (place, port))) = places else { return self.refuse() };
        if matches!(to, Address::VirtualStream(_)) {
            return self.write(ledger, from, to, datagram);
        }
        if datagram.is_empty() || datagram.len() > self.datagram_bytes_max {
            return self.refuse();
        }
        self.count(sender, datagram);
        ledger.record(&Event::Sent { from, to, datagram });
        let Some(receiver) = self.resident(place) else {
            self.counters.nobody += 1;
            ledger.record(&Event::Lost { from, to, why: Lost::Nobody, datagram });
            return Sent::Yes;
        };
        let to = receiver.port(port);
        let path = match self.paths.is_empty() {
            true => Path::default(),
            false => self.paths.get(&(sender, receiver)).copied().unwrap_or_default(),
        };
        let due = ledger.now + path.latency.unwrap_or(self.latency);
        if self.rules_live
            && let Some(verdict) = self.verdict(sender, receiver, datagram)
        {
            self.obey(verdict, due, ledger, from, to, datagram);
        } else if path.is_cut {
            self.counters.cut += 1;
            ledger.record(&Event::Lost { from, to, why: Lost::Partition, datagram });
        } else if path.mtu_bytes.is_some_and(|most| datagram.len() > most) {
            self.counters.too_long += 1;
            ledger.record(&Event::Lost { from, to, why: Lost::TooLong, datagram });
        } else {
            let faults = path.faults.unwrap_or(self.faults);
            self.chance(&faults, due, ledger, from, to, datagram);
        }
        Sent::Yes
    }

    /// Lets a datagram appear as if `from` had sent it so that it is due at `at`: forged ones, and
    /// late copies.
    pub(crate) fn fly(
        &mut self,
        due: Due,
        from: Address,
        to: Address,
        datagram: &[u8],
        damage: Option<Damage>,
    ) {
        let mut buffer = self.copy(datagram);
        if let Some(damage) = damage {
            damage.apply(&mut buffer);
        }
        let from = self.seen_at(from);
        self.launch(due, Flight { from, to, datagram: buffer, part: Part::Datagram });
    }

    fn launch(&mut self, due: Due, flight: Flight) {
        let key = self.flights.insert(flight);
        self.queue.push(due, key);
    }

    fn copy(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.pool.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(bytes);
        buffer
    }

    /// When the next datagram is due.
    pub(crate) fn next_due(&self) -> Option<Due> {
        self.queue.peek()
    }

    /// Takes the next flight out. A datagram's buffer comes back through [`Net::recycle`]. `is_there`
    /// says whether somebody receives at an address.
    pub(crate) fn land(
        &mut self,
        ledger: &mut Ledger<'_>,
        is_there: impl FnOnce(Address) -> bool,
    ) -> Landed {
        let Some(key) = self.queue.pop() else { return Landed::Nothing };
        let flight = self.flights.remove(key);
        let landed = match flight.part {
            Part::Datagram => Landed::Datagram(flight),
            Part::Piece(stream, way) => self.read(ledger, (stream, way), flight, is_there),
            Part::End(stream) => self.end(ledger, stream, Duration::ZERO),
            Part::Told => Landed::Break { from: flight.from, to: flight.to },
        };
        self.counters.arrived += u64::from(matches!(landed, Landed::Datagram(_)));
        landed
    }

    /// Counts a datagram that came to its place and was lost there.
    pub(crate) fn lose(&mut self, why: Lost) {
        self.counters.arrived -= 1;
        match why {
            Lost::Nobody => self.counters.nobody += 1,
            Lost::QueueFull => self.counters.queue_full += 1,
            Lost::Fault | Lost::Partition | Lost::Script | Lost::Broken | Lost::TooLong => {}
        }
    }

    /// Gives a datagram's buffer back.
    pub(crate) fn recycle(&mut self, buffer: Vec<u8>) {
        if self.pool.len() < POOLED_BUFFERS_MAX {
            self.pool.push(buffer);
        }
    }

    #[cfg(test)]
    pub(crate) fn pooled(&self) -> usize {
        self.pool.len()
    }

    fn refuse(&mut self) -> Sent {
        self.counters.refused += 1;
        Sent::Failed
    }

    fn count(&mut self, sender: HostId, datagram: &[u8]) {
        self.counters.sent += 1;
        self.counters.sent_bytes += datagram.len() as u64;
        if self.kinds.len() <= sender.index() {
            self.kinds.resize(sender.index() + 1, [0; Kind::ALL.len()]);
        }
        for kind in pdu_kinds(datagram) {
            self.kinds[sender.index()][kind as usize] += 1;
        }
    }

    fn verdict(&mut self, from: HostId, to: HostId, datagram: &[u8]) -> Option<Verdict> {
        let rule = self.rules.iter_mut().find_map(|rule| {
            rule.applies(from, to, datagram).then_some((rule.verdict, rule.is_spent()))
        });
        let (verdict, is_spent) = rule?;
        if is_spent {
            self.rules_live = self.rules.iter().any(|rule| !rule.is_spent());
        }
        self.counters.scripted += 1;
        Some(verdict)
    }

    fn obey(
        &mut self,
        verdict: Verdict,
        due: Instant,
        ledger: &mut Ledger<'_>,
        from: Address,
        to: Address,
        datagram: &[u8],
    ) {
        match verdict {
            Verdict::Drop => ledger.record(&Event::Lost { from, to, why: Lost::Script, datagram }),
            Verdict::Pass => self.fly(ledger.order.due(due), from, to, datagram, None),
            Verdict::Delay(delay) => {
                self.fly(ledger.order.due(due + delay), from, to, datagram, None);
            }
            Verdict::Repeat(later) => {
                self.fly(ledger.order.due(due), from, to, datagram, None);
                self.fly(ledger.order.due(due + later), from, to, datagram, None);
            }
            Verdict::Corrupt => {
                let damage = Damage::draw(datagram.len(), &mut self.rng);
                self.fly(ledger.order.due(due), from, to, datagram, damage);
            }
        }
    }

    fn chance(
        &mut self,
        faults: &Faults,
        due: Instant,
        ledger: &mut Ledger<'_>,
        from: Address,
        to: Address,
        datagram: &[u8],
    ) {
        let plan = faults.plan(due, datagram, &mut self.rng, &mut self.counters.injected);
        if plan.is_lost() {
            ledger.record(&Event::Lost { from, to, why: Lost::Fault, datagram });
        }
        for passage in plan.passages() {
            self.fly(ledger.order.due(passage.at), from, to, datagram, passage.damage);
        }
    }
}

/// What the network writes to while it works: the time, the order of things, the record.
pub(crate) struct Ledger<'a> {
    pub(crate) now: Instant,
    pub(crate) order: &'a mut Order,
    pub(crate) trace: &'a mut Trace,
}

impl Ledger<'_> {
    fn record(&mut self, event: &Event<'_>) {
        self.trace.record(self.now, event);
    }
}

/// The kinds of the PDUs in a datagram, as their headers say, up to the first that is none.
pub(crate) fn pdu_kinds(datagram: &[u8]) -> impl Iterator<Item = Kind> + '_ {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let kind = Kind::peek(rest)?;
        let length = rest.get(4..8)?.try_into().ok().map(u32::from_le_bytes)?;
        let whole = usize::try_from(length).ok()?.checked_add(HEADER_BYTES)?;
        rest = rest.get(whole..).unwrap_or_default();
        Some(kind)
    })
}
