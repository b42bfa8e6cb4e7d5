//! The page: its form, and that the names in it are those of the document.

use std::collections::BTreeSet;

use super::*;

#[test]
fn each_name_has_its_type_once_and_all_its_samples_behind_it() {
    let mut page = Metrics::new();
    page.counter("b_total", "Bees.", &[("of", "x")], 1);
    page.gauge("a", "Ants.", &[], 0.25);
    page.counter("b_total", "Bees.", &[("of", "y"), ("at", "z")], u64::MAX);
    let expected = "# HELP b_total Bees.\n# TYPE b_total counter\nb_total{of=\"x\"} 1\n\
         b_total{of=\"y\",at=\"z\"} 18446744073709551615\n# HELP a Ants.\n# TYPE a gauge\na 0.25\n";
    assert_eq!(page.text(), expected);
}

#[test]
fn what_a_label_says_cannot_break_out_of_it() {
    let mut page = Metrics::new();
    page.counter("n_total", "N.", &[("of", "a\"} 7\nforged_total{x=\"\\")], 1);
    let text = page.text();
    assert_eq!(text.lines().count(), 3);
    assert!(text.ends_with("n_total{of=\"a\\\"} 7\\nforged_total{x=\\\"\\\\\"} 1\n"), "{text}");
}

/// The names in the first column of the document's tables but the binder's own, each with its type.
fn documented() -> BTreeSet<(String, String)> {
    let document = include_str!("../../../docs/metrics.md");
    let (ours, _binders) = document.split_once("\n## Binder\n").expect("it has a chapter for each");
    let rows = ours.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (name, rest) = row.split_once('`').expect("a name ends");
        let kind = rest.split('|').nth(1).expect("a type follows");
        (name.to_owned(), kind.trim().to_owned())
    })
    .collect()
}

#[cfg(feature = "reactor")]
#[test]
fn the_page_has_the_names_of_the_document_and_no_others() {
    use crate::binder::Binder;
    use crate::server::Server;

    let running = Server::bind("mem://metrics-names").unwrap().spawn().unwrap();
    let channel = Channel::connect(&running.url()).unwrap();
    let binder = Binder::at("mem://metrics-nobody").unwrap();
    let mut page = Metrics::new().server(&running).channel("c", &channel).calls(&binder);
    page.service(&[("service", "s")], &Figures::default(), true);
    page.counter("rpc_client_calls_total", "", &[], 0);
    let text = page.text();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let types = types.map(|line| line.split_once(' ').expect("a name and a type"));
    let shown: Vec<_> = types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    assert_eq!(shown.iter().cloned().collect::<BTreeSet<_>>(), documented());
    assert_eq!(shown.len(), documented().len(), "each once");
    assert!(shown.iter().all(|(name, kind)| (kind == "counter") == name.ends_with("_total")));
}
