//! What machines count, in the text format of Prometheus. The names are stable: `docs/metrics.md` lists
//! them, and a test holds that list against what is written here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::guests::{Guests, TurnedAway};
use super::history::Counts;
use super::view::{Outcomes, Service, Standing, View};

/// Names of services in labels at most, the first in order; the others are summed up as [`OTHERS`].
const NAMES_MAX: usize = 200;
/// What no service can be called.
const OTHERS: &str = "~others";

/// Text with one line for each figure.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _infallible = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        let _infallible = writeln!(self.0, "{name} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        let _infallible = writeln!(self.0, "{name} {value}");
    }

    /// Values of labels are words of ours, and names of services, in which nothing needs escaping.
    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let mut said = String::new();
        for (label, text) in labels {
            let comma = if said.is_empty() { "" } else { "," };
            let _infallible = write!(said, "{comma}{label}=\"{text}\"");
        }
        let _infallible = writeln!(self.0, "{name}{{{said}}} {value}");
    }
}

/// All figures. `registrations`: how many there are, shown or not.
pub(super) fn text(view: &View, counts: &Counts, registrations: usize, guests: &Guests) -> String {
    let mut text = Text::default();
    binder(&mut text, view, registrations);
    http(&mut text, guests);
    services(&mut text, view);
    calls(&mut text, counts);
    whole_servers(&mut text, view, counts);
    text.0
}

fn binder(text: &mut Text, view: &View, registrations: usize) {
    let all = "Registrations, expired ones that are still shown among them.";
    text.gauge("rpc_binder_registrations", all, registrations);
    let left_out =
        "Of these, those that are in no figure with a label, and in no rpc_binder_servers_ one.";
    text.gauge("rpc_binder_registrations_left_out", left_out, view.left_out);
    let lease = "How long a registration is believed without a renewal.";
    text.gauge("rpc_binder_lease_seconds", lease, seconds(view.lease_ms.saturating_mul(1_000)));
    let failing = "1 while the store fails or the binder ends, else 0.";
    text.gauge("rpc_binder_failing", failing, u8::from(view.trouble.is_some()));
}

fn http(text: &mut Text, guests: &Guests) {
    let (connections, viewers) = guests.numbers();
    text.gauge("rpc_binder_http_connections", "Connections to the page.", connections);
    text.gauge("rpc_binder_http_viewers", "Of these, those that look on.", viewers);
    let name = "rpc_binder_http_turned_away_total";
    text.family(name, "counter", "Connections and requests that were not served.");
    let TurnedAway { crowded, viewers, host, slow } = &guests.turned_away;
    for (reason, count) in
        [("crowded", crowded), ("viewers", viewers), ("host", host), ("slow", slow)]
    {
        text.line(name, &[("reason", reason)], count.load(Ordering::Relaxed));
    }
}

/// What is so at this moment, by service.
#[derive(Clone, Copy, Debug, Default)]
struct Present {
    servers: [u64; Standing::ALL.len()],
    running: u64,
    p50_us: u32,
    p99_us: u32,
}

impl Present {
    fn add(&mut self, service: &Service) {
        for instance in service.instances() {
            for (count, standing) in self.servers.iter_mut().zip(Standing::ALL) {
                *count += u64::from(standing == instance.standing);
            }
            if let Some(figures) = instance.present() {
                self.running += u64::from(figures.running);
                self.p50_us = self.p50_us.max(figures.p50_us);
                self.p99_us = self.p99_us.max(figures.p99_us);
            }
        }
    }
}

fn services(text: &mut Text, view: &View) {
    let mut present = BTreeMap::<&str, Present>::new();
    for (index, service) in view.services.iter().enumerate() {
        let name = if index < NAMES_MAX { &service.name } else { OTHERS };
        present.entry(name).or_default().add(service);
    }
    let name = "rpc_binder_service_servers";
    text.family(name, "gauge", "Registrations of a service by how they stand with clients.");
    for (service, present) in &present {
        for (standing, count) in Standing::ALL.into_iter().zip(present.servers) {
            text.line(name, &[("service", service), ("state", standing.key())], count);
        }
    }
    let name = "rpc_binder_service_running";
    text.family(name, "gauge", "Handlers that run.");
    for (service, present) in &present {
        text.line(name, &[("service", service)], present.running);
    }
    let name = "rpc_binder_service_duration_seconds";
    text.family(name, "gauge", "Of the last handlers, at the slowest server of the service.");
    for (service, present) in &present {
        for (quantile, us) in [("0.5", present.p50_us), ("0.99", present.p99_us)] {
            let labels = [("service", *service), ("quantile", quantile)];
            text.line(name, &labels, seconds(us.into()));
        }
    }
}

/// What has happened since the binder began.
fn calls(text: &mut Text, counts: &Counts) {
    let mut sums = BTreeMap::<&str, (u64, u64)>::new();
    for (index, (service, (calls, failed))) in counts.services.iter().enumerate() {
        let sum = sums.entry(if index < NAMES_MAX { service } else { OTHERS }).or_default();
        *sum = (sum.0.saturating_add(*calls), sum.1.saturating_add(*failed));
    }
    let name = "rpc_binder_service_calls_total";
    text.family(name, "counter", "Calls whose handlers have begun.");
    for (service, (calls, _)) in &sums {
        text.line(name, &[("service", service)], calls);
    }
    let name = "rpc_binder_service_failed_total";
    text.family(name, "counter", "Of these, those that failed.");
    for (service, (_, failed)) in &sums {
        text.line(name, &[("service", service)], failed);
    }
    let mut seen = BTreeMap::<&str, Outcomes>::new();
    for (index, (service, outcomes)) in counts.callees.iter().enumerate() {
        seen.entry(if index < NAMES_MAX { service } else { OTHERS }).or_default().add(*outcomes);
    }
    let name = "rpc_binder_service_ends_total";
    text.family(name, "counter", "Calls to a service, as the servers that made them say.");
    for (service, outcomes) in &seen {
        let Outcomes { returned, not_executed, executed, unknown } = outcomes;
        for (outcome, count) in [
            ("returned", returned),
            ("not_executed", not_executed),
            ("executed", executed),
            ("unknown", unknown),
        ] {
            text.line(name, &[("service", service), ("result", outcome)], count);
        }
    }
}

/// What servers say of themselves as a whole, whichever services they offer.
fn whole_servers(text: &mut Text, view: &View, counts: &Counts) {
    let totals = &view.totals;
    text.gauge("rpc_binder_servers_live", "Servers that renew their leases.", totals.servers);
    text.gauge("rpc_binder_servers_queued", "Calls that wait for a worker.", totals.queued);
    let refused = "Calls that were refused, and so did not run.";
    text.counter("rpc_binder_servers_refused_total", refused, counts.refused);
    let name = "rpc_binder_servers_duplicates_suppressed_total";
    text.counter(name, "Duplicates that did not run again.", counts.duplicates_suppressed);
    let orphans = "Calls that were killed because nobody waited for them any more.";
    text.counter("rpc_binder_servers_orphans_killed_total", orphans, counts.orphans_killed);
}

fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn written(view: &View, counts: &Counts) -> String {
        text(view, counts, 3, &Guests::default())
    }

    #[test]
    fn every_figure_is_in_the_documentation_and_the_reverse() {
        let document = include_str!("../../../docs/metrics.md");
        let document = document.split("\n## ").find(|part| part.starts_with("Binder")).unwrap();
        let documented: BTreeSet<&str> =
            document.split('`').filter(|word| word.starts_with("rpc_")).collect();
        let documented: BTreeSet<&str> =
            documented.iter().map(|word| word.split('{').next().unwrap()).collect();
        let text = written(&View::default(), &Counts::default());
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let named: BTreeSet<&str> = types.map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(named, documented);
    }

    #[test]
    fn the_number_of_labels_is_bounded_and_nothing_is_lost_in_the_sums() {
        let mut counts = Counts::default();
        for index in 0..1_000 {
            counts.services.insert(format!("s{index:04}"), (2, 1));
        }
        let text = written(&View::default(), &counts);
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("rpc_binder_service_calls_total"))
            .collect();
        assert_eq!(lines.len(), NAMES_MAX + 1);
        assert_eq!(lines[0], "rpc_binder_service_calls_total{service=\"s0000\"} 2");
        assert_eq!(lines[NAMES_MAX], "rpc_binder_service_calls_total{service=\"~others\"} 1600");
    }

    #[test]
    fn times_are_seconds() {
        assert_eq!(seconds(1_234_567), "1.234567");
        assert_eq!(seconds(250), "0.000250");
    }
}
