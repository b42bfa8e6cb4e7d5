//! The sums on top, and who calls whom.

use maud::{Markup, html};

use crate::page::graph;
use crate::page::text::{count, rate};
use crate::page::view::{Edge, Outcomes, Totals, View};

use super::trend;

/// Rows of the table of calls at most, in order of their names.
const EDGES_SHOWN_MAX: usize = 200;

pub(super) fn totals(totals: &Totals, services: usize) -> Markup {
    let Outcomes { returned: _, not_executed, executed, unknown } = totals.outcomes;
    html! {
        dl #totals .totals {
            div { dt { "Servers" } dd { (totals.servers) } }
            div { dt { "Services" } dd { (services) } }
            div.wide { dt { "Calls a second" } dd { (rate(totals.rate)) (trend(&totals.trend)) } }
            div { dt { "Running" } dd {
                (count(totals.running))
                @if totals.queued > 0 { small { " +" (count(totals.queued)) " queued" } }
            } }
            div { dt { "Refused" } dd { (count(totals.refused)) } }
            div.widest { dt { "Failed calls, as their callers saw them" }
                dd.split {
                    span { (count(not_executed)) small { " not executed" } }
                    span.warn[executed > 0] { (count(executed)) small { " executed" } }
                    span.bad[unknown > 0] { (count(unknown)) small { " unknown" } }
                }
            }
            div { dt { "Duplicates suppressed" } dd { (count(totals.duplicates_suppressed)) } }
            div { dt { "Orphans killed" } dd { (count(totals.orphans_killed)) } }
        }
    }
}

/// The picture and the table of who calls whom.
pub(super) fn calls(view: &View) -> Markup {
    let Some((picture, left_out)) = graph::picture(view) else {
        return html! { div #calls .calls { @if !view.services.is_empty() {
            h2 { "Who calls whom" }
            p.quiet { "No server has said that it calls a service of this binder. Those that do \
                appear here, with how their calls went." }
        } } };
    };
    html! {
        div #calls .calls {
            h2 { "Who calls whom" }
            div.split-view {
                div.scroll tabindex="0" role="region" aria-label="Picture of who calls whom" { (picture) }
                div.scroll tabindex="0" role="region" aria-label="Table of who calls whom" {
                    (table(view))
                }
            }
            @if left_out > 0 { p.quiet { (left_out) " more ways are not in the picture." } }
        }
    }
}

fn table(view: &View) -> Markup {
    html! {
        table.edges {
            caption.hidden { "Calls between services, and how they went as their callers saw it" }
            thead { tr {
                th scope="col" { "From → to" }
                th scope="col" { "Calls/s" }
                th scope="col" { "Returned" }
                th scope="col" { "Not executed" }
                th scope="col" { "Executed" }
                th scope="col" { "Unknown" }
            } }
            tbody {
                @for ((from, to), edge) in view.edges.iter().take(EDGES_SHOWN_MAX) {
                    (edge_row(from, to, edge))
                }
            }
        }
    }
}

fn edge_row(from: &str, to: &str, edge: &Edge) -> Markup {
    let Outcomes { returned, not_executed, executed, unknown } = edge.outcomes;
    html! {
        tr {
            th scope="row" { (from) " → " (to) }
            td { (rate(edge.rate)) }
            td { (count(returned)) }
            td { (count(not_executed)) }
            td.warn[executed > 0] { (count(executed)) }
            td.bad[unknown > 0] { (count(unknown)) }
        }
    }
}
