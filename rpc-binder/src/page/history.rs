//! What follows from one sample after another: rates, trends, and counts that only grow.
//!
//! Servers say what they have done each time that they renew, so a rate is that of the time between the
//! last two renewals that were seen. Does not know how anything is shown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rpc_runtime::binder::{Callee, Entry, Figures, Place, Report};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::time::{Duration, Instant};

use super::sample::Sample;
use super::view::{Edge, Instance, Outcomes, Service, Standing, Totals, View, sum};

/// How far apart the points of a trend are.
const TREND_STEP: Duration = Duration::from_secs(2);
/// Points of a trend: two minutes.
const TREND_LEN: usize = 60;
/// Names of which counts are remembered although nobody has them any more.
const NAMES_MAX: usize = 1_000;
/// A lease that ends that much later than before, in ms, was renewed; less comes from rounding.
const RENEWED_MS: u64 = 5;

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct History {
    lives: BTreeMap<Place, Life>,
    trends: BTreeMap<String, VecDeque<f64>>,
    trend: VecDeque<f64>,
    trend_at: Option<Instant>,
    pub(super) counts: Counts,
}

/// What grew since the binder began, so that it never goes back while servers come and go.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Calls and failed ones, by the service's name.
    pub(super) services: BTreeMap<String, (u64, u64)>,
    /// As callers say, by the name of the service that they called.
    pub(super) callees: BTreeMap<String, Outcomes>,
    pub(super) refused: u64,
    pub(super) duplicates_suppressed: u64,
    pub(super) orphans_killed: u64,
}

/// A registration as it was seen last.
#[derive(Debug)]
struct Life {
    incarnation: Incarnation,
    /// When its lease ends, in ms: moves with each renewal.
    lease_end_ms: u64,
    report: Option<Report>,
    rate: Option<f64>,
    callee_rates: BTreeMap<String, f64>,
}

impl History {
    /// Takes a sample in, and says what there is to show.
    pub(super) fn take(&mut self, sample: Sample) -> View {
        let Sample { now, lease, rows, left_out, trouble } = sample;
        let mut servers = BTreeSet::new();
        let mut instances = Vec::with_capacity(rows.len());
        let mut edges = BTreeMap::<(String, String), Edge>::new();
        let mut seen = BTreeMap::<String, Outcomes>::new();
        let mut totals = Totals::default();
        let former = std::mem::take(&mut self.lives);
        for (entry, report) in rows {
            // What a report says of the whole server is counted with the first of its services.
            let is_first = servers.insert(entry.server);
            let place = entry.place();
            let life = Life::seen(now, &entry, report, former.get(&place));
            self.counts.grow(&place, former.get(&place), &life, is_first);
            let instance = instance(entry, &life);
            totals.add(&instance, is_first);
            for callee in life.report.iter().flat_map(|report| &report.callees) {
                if is_first {
                    seen.entry(callee.name.clone()).or_default().add(Outcomes::of(callee));
                }
                let edge = edges.entry((place.name.clone(), callee.name.clone())).or_default();
                edge.outcomes.add(Outcomes::of(callee));
                if instance.standing != Standing::Expired {
                    edge.rate = sum(edge.rate, life.callee_rates.get(&callee.name).copied());
                }
            }
            self.lives.insert(place, life);
            instances.push(instance);
        }
        totals.servers = live_servers(&instances);
        let mut services = services(instances, &seen);
        self.draw_on(now, &mut services, &mut totals);
        self.counts.forget(&services);
        let (now_ms, lease_ms) = (now.as_micros() / 1_000, millis(lease));
        View { now_ms, lease_ms, services, edges, totals, left_out, trouble }
    }

    /// Draws the trends on, when it is time to.
    fn draw_on(&mut self, now: Instant, services: &mut [Service], totals: &mut Totals) {
        if self.trend_at.is_none_or(|at| now.since(at) >= TREND_STEP) {
            self.trend_at = Some(now);
            push(&mut self.trend, totals.rate);
            let mut former = std::mem::take(&mut self.trends);
            for service in &*services {
                let mut trend = former.remove(&service.name).unwrap_or_default();
                push(&mut trend, service.rate);
                self.trends.insert(service.name.clone(), trend);
            }
        }
        totals.trend = self.trend.iter().copied().collect();
        for service in services {
            let trend = self.trends.get(&service.name).into_iter().flatten();
            service.trend = trend.copied().collect();
        }
    }
}

fn push(trend: &mut VecDeque<f64>, rate: Option<f64>) {
    if trend.len() >= TREND_LEN {
        trend.pop_front();
    }
    trend.push_back(rate.unwrap_or(0.0));
}

impl Life {
    fn seen(now: Instant, entry: &Entry, report: Option<Report>, before: Option<&Self>) -> Self {
        let left = u64::from(entry.lease_left_ms);
        let before = before.filter(|before| before.incarnation == entry.incarnation);
        let ended = left == 0 && before.is_some();
        let lease_end_ms = match before {
            Some(before) if ended => before.lease_end_ms,
            Some(_) | None => now.as_micros() / 1_000 + left,
        };
        let mut life = Self {
            incarnation: entry.incarnation,
            lease_end_ms,
            report,
            rate: None,
            callee_rates: BTreeMap::new(),
        };
        let Some(before) = before else { return life };
        let passed_ms = lease_end_ms.saturating_sub(before.lease_end_ms);
        if passed_ms < RENEWED_MS {
            life.lease_end_ms = before.lease_end_ms;
            life.rate = before.rate;
            life.callee_rates.clone_from(&before.callee_rates);
        } else if let (Some(then), Some(present)) = (&before.report, &life.report) {
            let grown = present.figures.calls.checked_sub(then.figures.calls);
            life.rate = grown.map(|grown| a_second(grown, passed_ms));
            life.callee_rates = callee_rates(&then.callees, &present.callees, passed_ms);
        }
        life
    }
}

fn callee_rates(then: &[Callee], present: &[Callee], passed_ms: u64) -> BTreeMap<String, f64> {
    let rate = |callee: &Callee| {
        let grown = Outcomes::of(callee).since(former(then, &callee.name)).all();
        (callee.name.clone(), a_second(grown, passed_ms))
    };
    present.iter().map(rate).collect()
}

/// What a report said before of its calls to `name`.
fn former(callees: &[Callee], name: &str) -> Outcomes {
    let found = callees.iter().find(|callee| callee.name == name);
    found.map(Outcomes::of).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn a_second(count: u64, passed_ms: u64) -> f64 {
    count as f64 * 1_000.0 / passed_ms as f64
}

impl Counts {
    /// Adds what a registration says that it did since it was seen last; what it did before it was seen
    /// first counts for nothing.
    fn grow(&mut self, place: &Place, before: Option<&Life>, life: &Life, is_first: bool) {
        let before = before.filter(|before| before.incarnation == life.incarnation);
        let then = before.and_then(|before| before.report.as_ref());
        let (Some(then), Some(present)) = (then, &life.report) else { return };
        let (old, new): (Figures, Figures) = (then.figures, present.figures);
        if self.services.len() < NAMES_MAX || self.services.contains_key(&place.name) {
            let (calls, failed) = self.services.entry(place.name.clone()).or_default();
            *calls = calls.saturating_add(new.calls.saturating_sub(old.calls));
            *failed = failed.saturating_add(new.failed.saturating_sub(old.failed));
        }
        if !is_first {
            return;
        }
        let grow = |sum: &mut u64, old: u64, new: u64| {
            *sum = sum.saturating_add(new.saturating_sub(old));
        };
        grow(&mut self.refused, old.refused, new.refused);
        let duplicates = &mut self.duplicates_suppressed;
        grow(duplicates, old.duplicates_suppressed, new.duplicates_suppressed);
        grow(&mut self.orphans_killed, old.orphans_killed, new.orphans_killed);
        for callee in &present.callees {
            if self.callees.len() < NAMES_MAX || self.callees.contains_key(&callee.name) {
                let sum = self.callees.entry(callee.name.clone()).or_default();
                sum.add(Outcomes::of(callee).since(former(&then.callees, &callee.name)));
            }
        }
    }

    /// Lets go of names that nobody has any more, once there are too many.
    fn forget(&mut self, services: &[Service]) {
        let names: BTreeSet<&str> = services.iter().map(|service| &*service.name).collect();
        if self.services.len() >= NAMES_MAX {
            self.services.retain(|name, _| names.contains(&**name));
        }
        if self.callees.len() >= NAMES_MAX {
            self.callees.retain(|name, _| names.contains(&**name));
        }
    }
}

impl Totals {
    fn add(&mut self, instance: &Instance, is_first: bool) {
        let index = Standing::ALL.iter().position(|standing| *standing == instance.standing);
        self.standings[index.expect("all are listed")] += 1;
        self.rate = sum(self.rate, instance.rate);
        self.running += instance.present().map_or(0, |figures| u64::from(figures.running));
        let (true, Some(report)) = (is_first, &instance.report) else { return };
        let figures = report.figures;
        self.queued += instance.present().map_or(0, |figures| u64::from(figures.queued));
        self.refused = self.refused.saturating_add(figures.refused);
        self.duplicates_suppressed =
            self.duplicates_suppressed.saturating_add(figures.duplicates_suppressed);
        self.orphans_killed = self.orphans_killed.saturating_add(figures.orphans_killed);
        report.callees.iter().for_each(|callee| self.outcomes.add(Outcomes::of(callee)));
    }
}

fn instance(entry: Entry, life: &Life) -> Instance {
    let standing = Standing::of(&entry);
    let rate = life.rate.filter(|_| standing != Standing::Expired);
    Instance { entry, standing, lease_end_ms: life.lease_end_ms, report: life.report.clone(), rate }
}

fn live_servers(instances: &[Instance]) -> usize {
    let live = instances.iter().filter(|instance| instance.standing != Standing::Expired);
    live.map(|instance| instance.entry.server).collect::<BTreeSet<ServerId>>().len()
}

/// Instances by name and version, in the order in which they come.
fn services(instances: Vec<Instance>, seen: &BTreeMap<String, Outcomes>) -> Vec<Service> {
    let mut services: Vec<Service> = Vec::new();
    for instance in instances {
        let Entry { name, version, .. } = &instance.entry;
        if services.last().is_none_or(|last| last.name != *name) {
            services.push(Service {
                name: name.clone(),
                versions: Vec::new(),
                rate: None,
                trend: Vec::new(),
                seen: seen.get(name).copied().unwrap_or_default(),
            });
        }
        let service = services.last_mut().expect("one was pushed");
        service.rate = sum(service.rate, instance.rate);
        match service.versions.last_mut() {
            Some((last, instances)) if last == version => instances.push(instance),
            Some(_) | None => service.versions.push((*version, vec![instance])),
        }
    }
    services
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
