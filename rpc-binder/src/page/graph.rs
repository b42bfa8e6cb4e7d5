//! Who calls whom, as a picture: services in columns, callers before those that they call.
//!
//! The columns come from the longest way of calls that leads to a service; within a column, services
//! stand near those that call them. Coordinates are in CSS pixels; nothing is measured, so names have
//! the width of the widest letters. The same is there as a table for those who do not see it.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::text;
use super::view::{Edge, View};

/// Services in the picture at most, those that are called and call most.
const NODES_MAX: usize = 30;
/// Ways between them at most, the busiest.
const EDGES_MAX: usize = 90;
/// Letters of a name in the picture; the table has all of it.
const NAME_CHARS: usize = 18;

const NODE_WIDTH: u32 = 168;
const NODE_HEIGHT: u32 = 48;
const COLUMN_STEP: u32 = NODE_WIDTH + 84;
const ROW_STEP: u32 = NODE_HEIGHT + 22;
const MARGIN: u32 = 10;

/// What stands where.
#[derive(Debug)]
struct Drawing<'a> {
    nodes: BTreeMap<&'a str, Spot>,
    edges: Vec<(&'a str, &'a str, Edge)>,
    width: u32,
    height: u32,
    /// Ways that are not in the picture.
    left_out: usize,
}

/// The upper left corner of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spot {
    x: u32,
    y: u32,
}

/// The picture, if anybody calls anybody; and how many ways are not in it.
pub(super) fn picture(view: &View) -> Option<(Markup, usize)> {
    let drawing = Drawing::of(view)?;
    let Drawing { nodes, edges, width, height, left_out } = &drawing;
    let busiest = edges.iter().filter_map(|(.., edge)| edge.rate).fold(1.0, f64::max);
    let markup = html! {
        svg #picture viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height)
            role="img" aria-labelledby="picture-title picture-text" {
            title #picture-title { "Who calls whom" }
            desc #picture-text { (described(edges)) }
            defs {
                @for kind in ["calm", "failed", "doubt"] {
                    marker id={ "tip-" (kind) } class={ "tip " (kind) } viewBox="0 0 8 8" refX="7"
                        refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse"
                        orient="auto" { path d="M0 0 L8 4 L0 8 z" {} }
                }
            }
            @for (from, to, edge) in edges {
                path class={ "way " (kind(edge)) } d=(way(nodes[from], nodes[to]))
                    stroke-width=(width_of(edge, busiest)) marker-end={ "url(#tip-" (kind(edge)) ")" } {}
            }
            @for (name, spot) in nodes { (node(view, name, *spot)) }
        }
    };
    Some((markup, *left_out))
}

fn node(view: &View, name: &str, spot: Spot) -> Markup {
    let found = view.services.binary_search_by(|service| (*service.name).cmp(name));
    let service = found.ok().map(|index| &view.services[index]);
    let below = match service {
        None => "not registered".to_owned(),
        Some(service) => format!("{} calls/s", text::rate(service.rate)),
    };
    let class = if service.is_some() { "node" } else { "node absent" };
    let short: String = name.chars().take(NAME_CHARS).collect();
    let cut = if name.chars().count() > NAME_CHARS { "…" } else { "" };
    html! {
        g class=(class) {
            rect x=(spot.x) y=(spot.y) width=(NODE_WIDTH) height=(NODE_HEIGHT) rx="8" {}
            text class="name" x=(spot.x + 12) y=(spot.y + 20) { (short) (cut) }
            text class="rate" x=(spot.x + 12) y=(spot.y + 37) { (below) }
        }
    }
}

/// The worst that its callers saw.
fn kind(edge: &Edge) -> &'static str {
    match edge.outcomes {
        outcomes if outcomes.unknown > 0 => "doubt",
        outcomes if outcomes.failed() > 0 => "failed",
        _ => "calm",
    }
}

/// From 1.5 for what rests to 4 for the busiest.
fn width_of(edge: &Edge, busiest: f64) -> String {
    let share = edge.rate.unwrap_or(0.0).ln_1p() / busiest.ln_1p();
    format!("{:.1}", 1.5 + 2.5 * share.clamp(0.0, 1.0))
}

/// A line from a node's right side to another's left side; back, it runs below both.
fn way(from: Spot, to: Spot) -> String {
    let middle = NODE_HEIGHT / 2;
    let (x1, y1) = (from.x + NODE_WIDTH, from.y + middle);
    let (x2, y2) = (to.x, to.y + middle);
    if x2 > x1 {
        let bend = (x2 - x1) / 2;
        return format!("M{x1} {y1} C{} {y1} {} {y2} {x2} {y2}", x1 + bend, x2 - bend);
    }
    let (x1, x2) = (from.x + NODE_WIDTH - 20, to.x + 20);
    let (y1, y2) = (from.y + NODE_HEIGHT, to.y + NODE_HEIGHT);
    let low = y1.max(y2) + 20;
    format!("M{x1} {y1} C{x1} {low} {x2} {low} {x2} {y2}")
}

fn described(edges: &[(&str, &str, Edge)]) -> String {
    let said = edges.iter().map(|(from, to, edge)| {
        let failed = edge.outcomes.failed();
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        format!("{from} calls {to}: {} calls a second{failed}", text::rate(edge.rate))
    });
    said.collect::<Vec<_>>().join("; ")
}

impl<'a> Drawing<'a> {
    fn of(view: &'a View) -> Option<Self> {
        let all = view.edges.iter().map(|((from, to), edge)| (&**from, &**to, *edge));
        let mut all: Vec<_> = all.collect();
        let total = all.len();
        all.sort_by(|(.., one), (.., other)| {
            let key = |edge: &Edge| (edge.rate.unwrap_or(0.0), edge.outcomes.all());
            key(other).partial_cmp(&key(one)).unwrap_or(std::cmp::Ordering::Equal)
        });
        let mut names = BTreeSet::new();
        let mut edges = Vec::new();
        for (from, to, edge) in all {
            let more = [from, to].iter().filter(|name| !names.contains(*name)).count();
            if edges.len() < EDGES_MAX && names.len() + more <= NODES_MAX {
                names.extend([from, to]);
                edges.push((from, to, edge));
            }
        }
        if edges.is_empty() {
            return None;
        }
        let left_out = total - edges.len();
        edges.sort_by_key(|(from, to, _)| (*from, *to));
        let columns = columns(&names, &edges);
        let rows = columns.iter().map(Vec::len).max().unwrap_or(0);
        let mut nodes = BTreeMap::new();
        for (column, names) in columns.iter().enumerate() {
            let above = number(rows - names.len()) * ROW_STEP / 2;
            for (row, name) in names.iter().enumerate() {
                let x = MARGIN + number(column) * COLUMN_STEP;
                let y = MARGIN + above + number(row) * ROW_STEP;
                nodes.insert(*name, Spot { x, y });
            }
        }
        let width = 2 * MARGIN + number(columns.len() - 1) * COLUMN_STEP + NODE_WIDTH;
        // Below the last row there is room for a way back.
        let height = 2 * MARGIN + number(rows - 1) * ROW_STEP + NODE_HEIGHT + 12;
        Some(Self { nodes, edges, width, height, left_out })
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("the picture is small")
}

/// The names by column, each column in the order of its rows.
fn columns<'a>(names: &BTreeSet<&'a str>, edges: &[(&'a str, &'a str, Edge)]) -> Vec<Vec<&'a str>> {
    let mut after: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut before: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in forward(names, edges) {
        after.entry(from).or_default().push(to);
        before.entry(to).or_default().push(from);
    }
    let mut column_of: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ready: Vec<&str> =
        names.iter().copied().filter(|name| !before.contains_key(name)).collect();
    let mut left: BTreeMap<&str, usize> =
        before.iter().map(|(name, callers)| (*name, callers.len())).collect();
    while let Some(name) = ready.pop() {
        let column = *column_of.entry(name).or_insert(0);
        for to in after.get(name).into_iter().flatten() {
            let furthest = column_of.entry(to).or_insert(0);
            *furthest = (*furthest).max(column + 1);
            let waiting = left.get_mut(to).expect("it is called");
            *waiting -= 1;
            if *waiting == 0 {
                ready.push(to);
            }
        }
    }
    let count = column_of.values().max().map_or(0, |last| last + 1);
    let mut columns = vec![Vec::new(); count];
    for name in names {
        columns[column_of[name]].push(*name);
    }
    settle(&mut columns, &before);
    columns
}

/// The edges without those that lead back to where a walk came from: what is left has no circles.
fn forward<'a>(
    names: &BTreeSet<&'a str>,
    edges: &[(&'a str, &'a str, Edge)],
) -> Vec<(&'a str, &'a str)> {
    let mut kept = Vec::new();
    let mut done = BTreeSet::new();
    // Those first that nobody calls, so that circles are cut where a reader would.
    let called: BTreeSet<&str> = edges.iter().map(|(_, to, _)| *to).collect();
    let (last, first): (Vec<&str>, Vec<&str>) =
        names.iter().copied().partition(|name| called.contains(name));
    for start in first.into_iter().chain(last) {
        walk(start, edges, &mut Vec::new(), &mut done, &mut kept);
    }
    kept
}

/// Goes on from `name`; as deep as there are services in the picture, at most.
fn walk<'a>(
    name: &'a str,
    edges: &[(&'a str, &'a str, Edge)],
    way: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
    kept: &mut Vec<(&'a str, &'a str)>,
) {
    if !done.insert(name) {
        return;
    }
    way.push(name);
    for (from, to, _) in edges.iter().filter(|(from, ..)| *from == name) {
        if !way.contains(to) {
            kept.push((from, to));
            walk(to, edges, way, done, kept);
        }
    }
    way.pop();
}

/// Sorts each column by where the callers of its services stand, on average.
fn settle<'a>(columns: &mut [Vec<&'a str>], before: &BTreeMap<&'a str, Vec<&'a str>>) {
    let mut rows: BTreeMap<&str, f64> = BTreeMap::new();
    for column in columns {
        let average = |name: &str| {
            let callers = before.get(name).map_or(&[][..], Vec::as_slice);
            let known: Vec<f64> =
                callers.iter().filter_map(|name| rows.get(name).copied()).collect();
            let total: f64 = known.iter().sum();
            if known.is_empty() { 0.0 } else { total / f64::from(number(known.len())) }
        };
        let mut placed: Vec<_> = column.iter().map(|name| (average(name), *name)).collect();
        placed.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let middle = f64::from(number(placed.len())) / 2.0;
        for (row, (_, name)) in placed.iter().enumerate() {
            column[row] = name;
            rows.insert(name, f64::from(number(row)) - middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(edges: &[(&str, &str)]) -> View {
        let edge = |(from, to): &(&str, &str)| {
            (((*from).to_owned(), (*to).to_owned()), Edge { rate: Some(1.0), ..Edge::default() })
        };
        View { edges: edges.iter().map(edge).collect(), ..View::default() }
    }

    fn columns_of(edges: &[(&str, &str)]) -> Vec<Vec<String>> {
        let view = view(edges);
        let mut columns = BTreeMap::<u32, Vec<(u32, String)>>::new();
        for (name, spot) in Drawing::of(&view).unwrap().nodes {
            columns.entry(spot.x).or_default().push((spot.y, name.to_owned()));
        }
        let sorted = |mut column: Vec<(u32, String)>| {
            column.sort();
            column.into_iter().map(|(_, name)| name).collect()
        };
        columns.into_values().map(sorted).collect()
    }

    #[test]
    fn callers_stand_before_those_that_they_call() {
        let columns = columns_of(&[("shop", "bank"), ("bank", "ledger"), ("shop", "ledger")]);
        assert_eq!(columns, [["shop"], ["bank"], ["ledger"]]);
    }

    #[test]
    fn circles_and_calls_of_oneself_are_drawn_too() {
        assert_eq!(columns_of(&[("a", "b"), ("b", "c"), ("c", "a")]), [["a"], ["b"], ["c"]]);
        assert_eq!(columns_of(&[("x", "x")]), [["x"]]);
        // Who is called from outside the circle is where it begins.
        assert_eq!(columns_of(&[("a", "b"), ("b", "a"), ("z", "b")]), [["z"], ["b"], ["a"]]);
    }

    #[test]
    fn rows_follow_the_callers() {
        let columns = columns_of(&[("a", "z"), ("b", "y"), ("c", "x")]);
        assert_eq!(columns, [["a", "b", "c"], ["z", "y", "x"]]);
    }

    #[test]
    fn the_picture_is_bounded_and_says_so() {
        let names: Vec<(String, String)> =
            (0..200).map(|index| (format!("a{index}"), format!("b{}", index % 7))).collect();
        let edges: Vec<_> = names.iter().map(|(from, to)| (&**from, &**to)).collect();
        let view = view(&edges);
        let drawing = Drawing::of(&view).unwrap();
        assert!(drawing.nodes.len() <= NODES_MAX);
        assert_eq!(drawing.edges.len() + drawing.left_out, 200);
        assert!(picture(&View::default()).is_none());
    }

    #[test]
    fn every_pair_of_a_crowd_is_drawn_without_end() {
        let names: Vec<String> = (0..NODES_MAX).map(|index| format!("s{index:02}")).collect();
        let pairs = names.iter().flat_map(|from| names.iter().map(move |to| (&**from, &**to)));
        let pairs: Vec<_> = pairs.collect();
        let view = view(&pairs);
        assert_eq!(Drawing::of(&view).unwrap().edges.len(), EDGES_MAX);
    }
}
