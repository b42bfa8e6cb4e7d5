//! A service with its versions, and a server's row.
//!
//! On a narrow screen a row becomes a card, so each cell says what it is about; and because a table that
//! is laid out otherwise is none to a screen reader, its parts say what they are.

use maud::{Markup, html};

use rpc_runtime::binder::{Callee, Entry, Version};

use crate::page::text::{UNKNOWN, count, foreign, latency, rate, seconds};
use crate::page::view::{Instance, Outcomes, Service, Standing};

use super::trend;

/// The weight of a server that says nothing else: not worth a word.
const WEIGHT_DEFAULT: u32 = 100;

/// The columns after the server's own.
const COLUMNS: [(&str, &str); 10] = [
    ("State", "state"),
    ("Lease", "lease"),
    ("Calls/s", ""),
    ("Running", ""),
    ("p50", ""),
    ("p99", ""),
    ("Failed", ""),
    ("Refused", ""),
    ("Duplicates", ""),
    ("Orphans", ""),
];

pub(super) fn service_id(service: &Service) -> String {
    format!("s-{}", service.name)
}

/// The element in which the rows of a version stand.
pub(super) fn container(name: &str, version: Version) -> String {
    format!("v-{name}-{version}")
}

pub(super) fn row_id(instance: &Instance) -> String {
    let Entry { name, version, server, .. } = &instance.entry;
    format!("i-{name}-{version}-{:x}", server.0)
}

/// A service; with its rows where `now` is known, else with room for them.
pub(super) fn service(service: &Service, lease_ms: u64, now: Option<u64>) -> Markup {
    let id = service_id(service);
    let title = format!("t-{}", service.name);
    html! {
        section id=(id) .service aria-labelledby=(title) {
            div.head {
                h3 id=(title) { (service.name) }
                p.figure { strong { (rate(service.rate)) } " calls/s" }
                (trend(&service.trend))
                (seen(&service.seen))
            }
            table.rows role="table" aria-labelledby=(title) {
                thead role="rowgroup" { tr role="row" {
                    th.server role="columnheader" scope="col" { "Server" }
                    @for (name, class) in COLUMNS {
                        th role="columnheader" scope="col" class=[Some(class).filter(|class| !class.is_empty())] {
                            (name)
                        }
                    }
                } }
                @for (version, instances) in &service.versions {
                    tbody.version role="rowgroup" { tr role="row" {
                        th role="rowheader" scope="rowgroup" colspan="11" {
                            "version " (version) small { " · " (servers(instances.len())) }
                        }
                    } }
                    tbody id=(container(&service.name, *version)) role="rowgroup" data-kept {
                        @if now.is_some() {
                            @for instance in instances { (row(instance, lease_ms, now)) }
                        }
                    }
                }
            }
        }
    }
}

fn servers(count: usize) -> String {
    if count == 1 { "1 server".into() } else { format!("{count} servers") }
}

/// How calls to a service went, where any failed.
fn seen(outcomes: &Outcomes) -> Markup {
    let Outcomes { returned: _, not_executed, executed, unknown } = *outcomes;
    html! {
        @if outcomes.failed() > 0 {
            p.figure.seen {
                "callers saw fail: " (count(not_executed)) " not executed · "
                span.warn[executed > 0] { (count(executed)) " executed" } " · "
                span.bad[unknown > 0] { (count(unknown)) " unknown" }
            }
        }
    }
}

/// A server's row; with what is left of its lease where `now` is known.
pub(super) fn row(instance: &Instance, lease_ms: u64, now: Option<u64>) -> Markup {
    let standing = instance.standing;
    html! {
        tr id=(row_id(instance)) role="row" class=(standing.key()) data-find=(found_by(instance)) {
            th.server role="rowheader" scope="row" { (server(instance)) }
            td.state role="cell" data-label="State" {
                span class={ "pill " (standing.key()) } { (standing.word()) }
            }
            td.lease role="cell" data-label="Lease" { (lease(instance, lease_ms, now)) }
            (figures(instance))
        }
    }
}

/// The cells after the lease.
fn figures(instance: &Instance) -> Markup {
    let figures = instance.figures();
    let present = instance.present();
    let known = |number: Option<u64>| number.map_or_else(|| UNKNOWN.to_owned(), count);
    let cell = |label: &str, text: String| {
        html! { td role="cell" data-label=(label) { (text) } }
    };
    html! {
        (cell("Calls/s", rate(instance.rate)))
        td role="cell" data-label="Running" {
            (known(present.map(|figures| figures.running.into())))
            @if let Some(figures) = present.filter(|figures| figures.queued > 0) {
                small { " +" (count(figures.queued.into())) " queued" }
            }
        }
        (cell("p50", latency(present.map(|figures| figures.p50_us))))
        (cell("p99", latency(present.map(|figures| figures.p99_us))))
        td role="cell" data-label="Failed" .warn[present.is_some_and(|figures| figures.failed > 0)] {
            (known(figures.map(|figures| figures.failed)))
        }
        (cell("Refused", known(figures.map(|figures| figures.refused))))
        (cell("Duplicates", known(figures.map(|figures| figures.duplicates_suppressed))))
        (cell("Orphans", known(figures.map(|figures| figures.orphans_killed))))
    }
}

/// The script counts down from here: the page alone says what was left when it was made.
fn lease(instance: &Instance, lease_ms: u64, now: Option<u64>) -> Markup {
    let end = instance.lease_end_ms;
    let now = now.unwrap_or(end.saturating_sub(lease_ms));
    let (left, over) = (end.saturating_sub(now), now.saturating_sub(end));
    html! {
        span.lease data-end=(end) {
            @if instance.standing == Standing::Expired {
                span.left { "ended " (seconds(over)) " ago" }
            } @else {
                progress max=(lease_ms) value=(left.min(lease_ms)) aria-label="What is left of the lease" {}
                span.left { (seconds(left)) }
            }
        }
    }
}

/// Where a server is, and on demand who it is.
fn server(instance: &Instance) -> Markup {
    let Entry { server, incarnation, addresses, fingerprint, traits, .. } = &instance.entry;
    let first = addresses.first().map(|address| foreign(address)).unwrap_or_default();
    let callees = instance.report.as_ref().map_or(&[][..], |report| &report.callees);
    html! {
        details {
            summary {
                bdi.address { (first) }
                @if addresses.len() > 1 { small { " +" (addresses.len() - 1) } }
            }
            dl.more {
                dt { "Server" } dd { code { (server) } }
                dt { "Incarnation" } dd { code { (incarnation) } }
                dt { "Interface" } dd { code { (format!("{fingerprint:032x}")) } }
                dt { "Addresses" }
                @for address in addresses { dd { code { bdi { (foreign(address)) } } } }
                dt { "Weight" } dd { (traits.weight) }
                @if !callees.is_empty() {
                    dt { "Its process calls" }
                    @for callee in callees { dd { (called(callee)) } }
                }
            }
        }
        @if !traits.zone.is_empty() || traits.weight != WEIGHT_DEFAULT || !traits.labels.is_empty() {
            p.chips {
                @if !traits.zone.is_empty() { span.chip { "zone " bdi { (foreign(&traits.zone)) } } }
                @if traits.weight != WEIGHT_DEFAULT { span.chip { "weight " (traits.weight) } }
                @for (key, value) in &traits.labels {
                    span.chip { bdi { (foreign(key)) } " = " bdi { (foreign(value)) } }
                }
            }
        }
    }
}

fn called(callee: &Callee) -> Markup {
    let Callee { name, returned, not_executed, executed, unknown } = callee;
    html! {
        (name) ": " (count(*returned)) " returned, " (count(*not_executed)) " not executed, "
        (count(*executed)) " executed, " (count(*unknown)) " unknown"
    }
}

/// What the filter looks at, in small letters.
fn found_by(instance: &Instance) -> String {
    let Entry { name, version, server, addresses, traits, .. } = &instance.entry;
    let mut text = format!("{name} {version} {server} {}", instance.standing.word());
    for word in addresses.iter().chain([&traits.zone]) {
        text.push(' ');
        text.push_str(&foreign(word));
    }
    for (key, value) in &traits.labels {
        text.push_str(&format!(" {}={}", foreign(key), foreign(value)));
    }
    text.to_lowercase()
}
