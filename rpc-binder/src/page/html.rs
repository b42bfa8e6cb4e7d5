//! The page as HTML: all of it for whoever comes, and in blocks for whoever looks on.
//!
//! A *block* is what is sent again when it changes: the sums, the picture, the head of a service, the
//! row of a server. It stands in a *container*, whose other content is left alone. Nothing in a block
//! moves with time alone: what is left of a lease is counted down by the script.

mod rows;
mod sums;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::text;
use super::view::{Standing, View};

/// A part of the page that changes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The id of its one element.
    pub(super) id: String,
    /// The id of the element in which it stands.
    pub(super) within: String,
    pub(super) html: String,
}

impl Block {
    fn new(id: impl Into<String>, within: &str, markup: Markup) -> Self {
        Self { id: id.into(), within: within.to_owned(), html: markup.into_string() }
    }
}

/// What the page says of its binder.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// Where it listens.
    pub(super) url: String,
}

/// All blocks, each after the one in which its container stands.
pub(super) fn blocks(about: &About, view: &View) -> Vec<Block> {
    let mut blocks = vec![
        Block::new("headline", "summary", headline(view)),
        Block::new("notices", "summary", notices(view)),
        Block::new("totals", "summary", sums::totals(&view.totals, view.services.len())),
        Block::new("calls", "graph", sums::calls(view)),
    ];
    if view.services.is_empty() {
        blocks.push(Block::new("empty", "services", empty(about)));
    }
    for service in &view.services {
        blocks.push(Block::new(
            rows::service_id(service),
            "services",
            rows::service(service, view.lease_ms, None),
        ));
        for (version, instances) in &service.versions {
            let within = rows::container(&service.name, *version);
            for instance in instances {
                let row = rows::row(instance, view.lease_ms, None);
                blocks.push(Block::new(rows::row_id(instance), &within, row));
            }
        }
    }
    blocks
}

/// The whole page, as of a frame.
pub(super) fn page(about: &About, view: &View, frame: &str) -> String {
    let now = Some(view.now_ms);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Binder " (text::foreign(&about.url)) }
                link rel="icon" type="image/svg+xml" href="/favicon.svg";
                link rel="stylesheet" href="/page.css";
                script src="/page.js" defer {}
            }
            body data-frame=(frame) data-now=(view.now_ms) {
                a.skip href="#services-title" { "Skip to the services" }
                header.top {
                    div {
                        h1 { "Binder" }
                        p.place { code { (text::foreign(&about.url)) }
                            " · leases of " (text::seconds(view.lease_ms)) }
                    }
                    p #link .link role="status" { "As of when it was loaded" }
                }
                p #lost .lost role="alert" hidden {
                    strong { "Connection to the binder lost" } ", showing what was known "
                    span #lost-for aria-hidden="true" {} ". Trying to reach it again."
                }
                main {
                    section #summary aria-label="Overview" data-kept {
                        (headline(view)) (notices(view)) (sums::totals(&view.totals, view.services.len()))
                    }
                    section #graph aria-label="Who calls whom" data-kept { (sums::calls(view)) }
                    section aria-labelledby="services-title" {
                        div.bar {
                            h2 #services-title tabindex="-1" { "Services" }
                            p #found .found role="status" {}
                            label.filter for="filter" { "Filter" }
                            input #filter type="search" autocomplete="off" spellcheck="false"
                                maxlength="100" placeholder="name, address, zone, label, state";
                        }
                        div #services data-kept {
                            @if view.services.is_empty() { (empty(about)) }
                            @for service in &view.services { (rows::service(service, view.lease_ms, now)) }
                        }
                    }
                }
                footer {
                    p { "Figures are what servers say when they renew. "
                        a href="/metrics" { "Metrics" } " · " a href="/healthz" { "Health" } }
                }
            }
        }
    };
    markup.into_string()
}

/// One sentence, which a screen reader hears again whenever it changes.
fn headline(view: &View) -> Markup {
    let [live, others @ ..] = view.totals.standings;
    let others = Standing::ALL[1..].iter().zip(others).filter(|(_, count)| *count > 0);
    let others: Vec<String> =
        others.map(|(standing, count)| format!("{count} {}", standing.word())).collect();
    html! {
        p #headline .headline role="status" {
            @if view.services.is_empty() { "Nobody is registered." } @else {
                (plural(live, "registration")) " live"
                @for other in others { ", " (other) }
                ", in " (plural(view.services.len(), "service")) "."
            }
        }
    }
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

/// What whoever looks must know of what is shown.
fn notices(view: &View) -> Markup {
    html! {
        div #notices {
            @if let Some(trouble) = &view.trouble {
                p.notice.bad role="alert" {
                    strong { "Nothing is registered now: " } (text::foreign(trouble))
                }
            }
            @if view.left_out > 0 {
                p.notice {
                    strong { (plural(view.left_out, "registration")) " not shown: " }
                    "this page shows and counts the first " (super::sample::SHOWN_MAX)
                    " in order of their names; "
                    code { "rpc-binder lookup NAME" } " finds the others."
                }
            }
        }
    }
}

/// How to register a first server.
fn empty(about: &About) -> Markup {
    let url = text::foreign(&about.url);
    html! {
        div #empty .empty {
            h3 { "Register a first server" }
            p { "This binder knows nobody yet. A server registers when it starts, and appears here at once:" }
            pre tabindex="0" role="region" aria-label="Example in Rust" { code {
                "let binder = Binder::at(\"" (url) "\")?;\n"
                "let server = Server::bind(\"udp://127.0.0.1:0\")?\n"
                "    .export(BankService::new(MyBank::default()))\n"
                "    .register(&binder)\n"
                "    .spawn()?;"
            } }
            p { "Or run the example of this project:" }
            pre tabindex="0" role="region" aria-label="Example command" { code {
                "cargo run --release --bin bank_server -- --binder " (url)
            } }
        }
    }
}

/// A line that goes up and down with `points`; for the eye only, the number stands beside it.
fn trend(points: &[f64]) -> Markup {
    let highest = points.iter().copied().fold(0.0, f64::max);
    if points.len() < 2 || highest <= 0.0 {
        return PreEscaped(String::new());
    }
    let step = 120.0 / 59.0;
    let start = 120.0 - step * f64::from(u32::try_from(points.len() - 1).unwrap_or(u32::MAX));
    let mut line = String::new();
    let mut x = start;
    for point in points {
        line.push_str(&format!("{x:.1},{:.1} ", 26.0 - 24.0 * point / highest));
        x += step;
    }
    let area = format!("{start:.1},28 {line}120,28");
    html! {
        svg.trend viewBox="0 0 120 28" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            polygon points=(area) {}
            polyline points=(line.trim_end()) {}
        }
    }
}

#[cfg(test)]
mod tests;
