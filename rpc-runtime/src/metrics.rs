//! What is counted in this process, as text for Prometheus: a helper for whoever serves such a page.
//!
//! Knows names, types and labels; the names stay (docs/metrics.md). Does not know HTTP, and keeps nothing:
//! each text is a snapshot.
//!
//! ```
//! # use rpc_runtime::{CallError, Server, metrics, service};
//! # #[service]
//! # trait Bank {
//! #     fn balance(&self) -> Result<u64, CallError>;
//! # }
//! # struct Ledger;
//! # impl Bank for Ledger {
//! #     fn balance(&self) -> Result<u64, CallError> {
//! #         Ok(7)
//! #     }
//! # }
//! let running = Server::bind("mem://metrics")?.export(BankService::new(Ledger)).spawn()?;
//! BankClient::connect(&running.url())?.balance()?;
//! let page = metrics::text(&running);
//! assert!(page.contains("# TYPE rpc_service_calls_total counter\n"));
//! assert!(page.lines().any(|line| line.starts_with("rpc_service_calls_total{") && line.ends_with(" 1")));
//! # Ok::<(), CallError>(())
//! ```

use std::fmt::{Display, Write as _};

use crate::binder::Binder;
use crate::client::{Channel, ChannelStats};
use crate::protocol::{ClientCounters, ServerCounters};
use crate::server::{Figures, Health, Running};

/// What a server's counters say now. For more than a server: [`Metrics`].
#[must_use]
pub fn text(running: &Running) -> String {
    Metrics::new().server(running).text()
}

/// A page of metrics, put together from what there is in a process.
#[derive(Clone, Debug, Default)]
#[must_use = "`text` gives the page"]
pub struct Metrics {
    families: Vec<Family>,
}

/// All samples of one name.
#[derive(Clone, Debug)]
struct Family {
    name: String,
    kind: Kind,
    help: &'static str,
    samples: String,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    Gauge,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// Labels, in order.
type Labels<'l> = &'l [(&'l str, &'l str)];

impl Metrics {
    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a server and its services.
    pub fn server(mut self, running: &Running) -> Self {
        let server = running.id().to_string();
        let own = [("server", &*server)];
        let counters = running.counters();
        for (name, help, value) in server_counters(&counters) {
            self.counter(&format!("rpc_server_{name}_total"), help, &own, value);
        }
        let killed = "Running calls that were told to stop because nobody waited for them.";
        self.counter("rpc_server_orphans_killed_total", killed, &own, counters.orphans_killed());
        for service in running.services() {
            let figures = running.figures(service).unwrap_or_default();
            let is_serving = running.health(service) == Some(Health::Serving);
            self.service(&[own[0], ("service", service)], &figures, is_serving);
        }
        self
    }

    fn service(&mut self, labels: Labels<'_>, figures: &Figures, is_serving: bool) {
        let calls = "Calls of the service that have begun.";
        self.counter("rpc_service_calls_total", calls, labels, figures.calls);
        let failed = "Calls of the service that have begun and failed.";
        self.counter("rpc_service_failed_total", failed, labels, figures.failed);
        let running = "Handlers of the service that run now.";
        self.gauge("rpc_service_running", running, labels, figures.running);
        let serving = "Whether the service can do what it promises: 1 if it can.";
        self.gauge("rpc_service_serving", serving, labels, u8::from(is_serving));
        let times = "Time within which this part of the service's last handlers were done.";
        for (quantile, micros) in [("0.5", figures.p50_us), ("0.99", figures.p99_us)] {
            let labels = [labels, &[("quantile", quantile)]].concat();
            let seconds = f64::from(micros) / 1e6;
            self.gauge("rpc_service_duration_seconds", times, &labels, seconds);
        }
    }

    /// Adds how the calls ended that were made at services imported by this handle, or a clone.
    pub fn calls(mut self, binder: &Binder) -> Self {
        let help = "Calls that this process made at the service, by what is known of them.";
        for callee in binder.all_callees() {
            for (result, count) in [
                ("returned", callee.returned),
                ("not_executed", callee.not_executed),
                ("executed", callee.executed),
                ("unknown", callee.unknown),
            ] {
                let labels = [("service", &*callee.name), ("result", result)];
                self.counter("rpc_client_calls_total", help, &labels, count);
            }
        }
        self
    }

    /// Adds a channel, under a name of yours: what its present connection has counted.
    pub fn channel(mut self, name: &str, channel: &Channel) -> Self {
        let stats = channel.stats();
        let labels = [("channel", name)];
        for (name, help, value) in
            client_counters(&stats.protocol).into_iter().chain(channel_stats(&stats))
        {
            self.counter(&format!("rpc_channel_{name}_total"), help, &labels, value);
        }
        self
    }

    /// The page, in version 0.0.4 of the text format.
    #[must_use]
    pub fn text(self) -> String {
        let mut text = String::new();
        for Family { name, kind, help, samples } in self.families {
            let kind = kind.word();
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
        }
        text
    }

    fn counter(&mut self, name: &str, help: &'static str, labels: Labels<'_>, value: u64) {
        self.sample(name, Kind::Counter, help, labels, value);
    }

    fn gauge(&mut self, name: &str, help: &'static str, labels: Labels<'_>, value: impl Display) {
        self.sample(name, Kind::Gauge, help, labels, value);
    }

    fn sample(
        &mut self,
        name: &str,
        kind: Kind,
        help: &'static str,
        labels: Labels<'_>,
        value: impl Display,
    ) {
        let place = self.families.iter().position(|family| family.name == name);
        let place = place.unwrap_or_else(|| {
            let samples = String::new();
            self.families.push(Family { name: name.to_owned(), kind, help, samples });
            self.families.len() - 1
        });
        let samples = &mut self.families[place].samples;
        samples.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let opens = if index == 0 { '{' } else { ',' };
            let _ = write!(samples, "{opens}{label}=\"{}\"", escaped(value));
        }
        let closes = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(samples, "{closes} {value}");
    }
}

/// A label's value, as it stands between quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The counters of a struct, each with its name and what it counts. A new one breaks the build until it
/// has both.
macro_rules! counters {
    ($type:ident $counters:ident { $($field:ident: $help:literal,)* } $(but $($left_out:ident)*)?) => {{
        let $type { $($field,)* $($($left_out: _,)*)? } = $counters;
        vec![$((stringify!($field), $help, *$field)),*]
    }};
}

/// A counter's name, what it counts, and how often that was.
type Counted = (&'static str, &'static str, u64);

fn server_counters(counters: &ServerCounters) -> Vec<Counted> {
    counters!(ServerCounters counters {
        datagrams_in: "Datagrams received.",
        datagrams_out: "Datagrams sent.",
        malformed: "Datagrams, or rests of them, that were no PDU.",
        foreign: "PDUs that a server never receives, or for another incarnation or client.",
        stale: "Answers to questions that were answered already, or never asked.",
        sessionless: "PDUs for sessions that are not known.",
        accepted: "Calls accepted.",
        begun: "Executions begun.",
        duplicates_suppressed: "Duplicates that did not run again.",
        reruns: "Further executions of at_least_once calls.",
        refused: "Calls refused.",
        not_committed: "Durable executions whose transaction was not committed.",
        mismatches: "Requests that differ from another one under the same sequence.",
        sealed: "Calls sealed before they ran.",
        cancelled: "Running calls told to stop.",
        quanta_granted: "Quanta granted by callers that still waited.",
        quanta_refused: "Calls told to stop because their callers said that they wait no longer.",
        quanta_unanswered: "Calls told to stop because nobody answered at the end of a quantum.",
        reincarnated: "Calls told to stop because a later life of their client was welcomed.",
        owners_found: "Owners asked for that live and wait.",
        owners_missing: "Calls told to stop because their owner said no, or nothing.",
        stubborn:
            "Calls that ran on although they were told to stop, for longer than the grace period.",
        not_cancellable:
            "Calls that nobody wanted any more and that may not be stopped (no_cancel).",
        rejected: "HELLOs that opened no session.",
        sessions_opened: "Sessions opened.",
        sessions_closed: "Sessions closed.",
        maybe_dropped: "maybe calls dropped as duplicates or too old.",
        fragments_in: "Fragments of large messages received.",
        fragments_out: "Fragments sent, again or for the first time.",
        fragments_resent: "Fragments sent again.",
        fragments_dropped:
            "Fragments dropped: of an earlier message, too far ahead, not fitting the others, without room.",
        messages_dropped: "Half-received messages dropped.",
        acks_ahead: "ACKs of fragments that had not been sent.",
        probes_answered: "Probes of the path that were answered.",
        sizes_told: "Sessions told how long a datagram comes through.",
        black_holes:
            "Messages begun anew in shorter datagrams, because the longer ones were heard of no more.",
    })
}

fn client_counters(counters: &ClientCounters) -> Vec<Counted> {
    counters!(ClientCounters counters {
        datagrams_in: "Datagrams received.",
        datagrams_out: "Datagrams sent.",
        malformed: "Datagrams, or rests of them, that were no PDU.",
        foreign: "PDUs that a client never receives, or from another sender than was meant.",
        stale: "Answers to calls that had ended, or to none.",
        calls: "Calls started.",
        retransmissions: "Requests sent again.",
        probes: "Probes sent.",
        sessions_opened: "Sessions opened.",
        sessions_lost: "Sessions lost.",
        quanta_granted: "Quanta granted to calls that are waited for.",
        quanta_refused: "Quanta refused, for calls that nobody waits for.",
        owners_asked: "Times that a server asked whether the owner of a call lives.",
        maybe_dropped: "maybe calls that never left.",
        fragments_in: "Fragments of large messages received.",
        fragments_out: "Fragments sent, again or for the first time.",
        fragments_resent: "Fragments sent again.",
        fragments_dropped:
            "Fragments dropped: of an earlier message, too far ahead, not fitting the others, without room.",
        messages_dropped: "Half-received messages dropped.",
        acks_ahead: "ACKs of fragments that had not been sent.",
        path_probes: "Probes of the path that were sent.",
        sizes_found: "Answers that made datagrams longer.",
        black_holes:
            "Messages begun anew in shorter datagrams, because the longer ones were heard of no more.",
    })
}

fn channel_stats(counters: &ChannelStats) -> Vec<Counted> {
    counters!(ChannelStats counters {
        retries: "Calls made again at this server, each after it certainly did not run.",
        retries_denied: "Calls that were not made again because the budget was spent.",
        kept_back:
            "Calls that were not made here because this server keeps failing and is left alone.",
        hedges: "Calls made at a second server too, because the first took long.",
        hedges_won: "Of the calls made at a second server too, those that this one answered first.",
        hedges_denied: "Calls that were not made at a second server because its budget was spent.",
        hedges_called_off:
            "Of the calls made at a second server too, those called off at one because the other had answered.",
    } but protocol streams)
}

#[cfg(test)]
mod tests;
