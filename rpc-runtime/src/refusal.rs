//! A refusal of an unknown or changed method in words that help: what there is, and what was
//! probably meant.
//!
//! The request carries hashes of names, so the server says what it has and the client, who knows
//! what it called, finds the name nearest to it. Both halves stand here. A detail of another form
//! (another implementation's) is shown as it is.

use crate::interface::{Interface, Method};
use crate::protocol::Explanations;
use crate::wire::REFUSE_DETAIL_BYTES_MAX;

/// Stands where a list or a signature was cut.
const CUT: &str = "…";
/// What a server says to a call of a service that it does not have.
const EXPORTS: &str = "it exports: ";

/// The server's half: the details of its refusals, for a common table of methods in this order.
pub(crate) fn explanations(interfaces: &[&'static Interface]) -> Explanations {
    let methods = |interface: &&'static Interface| {
        let interface = *interface;
        (0..interface.methods().len()).map(move |method| changed(interface, method))
    };
    let unknown = |interface: &&'static Interface| {
        let names = interface.methods().iter().map(Method::name);
        (interface.service_hash(), listed(&has(interface.name()), names))
    };
    let names = interfaces.iter().map(|interface| interface.name());
    Explanations {
        changed: interfaces.iter().flat_map(methods).collect(),
        unknown: interfaces.iter().map(unknown).collect(),
        elsewhere: listed(EXPORTS, names),
    }
}

fn has(service: &str) -> String {
    format!("`{service}` has: ")
}

/// How a method is called here.
fn changed(interface: &Interface, method: usize) -> Box<str> {
    let (service, name) = (interface.name(), interface.methods()[method].name());
    let form = interface.described(method);
    cut(format!("`{service}.{name}` exists there with another signature: {form}")).into()
}

/// `head` and as many of `names` as a detail takes.
fn listed<'n>(head: &str, names: impl Iterator<Item = &'n str>) -> Box<str> {
    let mut text = head.to_owned();
    for (place, name) in names.enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        // What follows may have to be cut, and that is to be seen.
        if text.len() + comma.len() + name.len() + ", ".len() + CUT.len() > REFUSE_DETAIL_BYTES_MAX
        {
            text.push_str(comma);
            text.push_str(CUT);
            break;
        }
        text.push_str(comma);
        text.push_str(name);
    }
    cut(text).into()
}

fn cut(mut text: String) -> String {
    if text.len() > REFUSE_DETAIL_BYTES_MAX {
        text.truncate(text.floor_char_boundary(REFUSE_DETAIL_BYTES_MAX - CUT.len()));
        text.push_str(CUT);
    }
    text
}

/// The client's half, for a method that the server does not know: what its detail means to a
/// caller of `method` (`service.method`).
pub(crate) fn read_unknown(detail: &str, method: &str) -> Box<str> {
    let detail = printable(detail);
    let (service, name) = method.split_once('.').unwrap_or(("", method));
    let text = if let Some(list) = detail.strip_prefix(&has(service)) {
        match nearest(name, list.split(", ")) {
            Some(near) => format!("no method `{name}` in `{service}`, the nearest is `{near}`"),
            None => format!("no method `{name}` in `{service}`, which has: {list}"),
        }
    } else if detail.starts_with(EXPORTS) {
        format!("no service `{service}` at this address; {detail}")
    } else if detail.is_empty() {
        method.to_owned()
    } else {
        format!("{method}: {detail}")
    };
    text.into()
}

/// The client's half, for a method that the server has in another form than `own`.
pub(crate) fn read_changed(detail: &str, method: &str, own: Option<&str>) -> Box<str> {
    let theirs = if detail.is_empty() { method.to_owned() } else { printable(detail) };
    match own {
        Some(own) => format!("{theirs}; here it is {own}").into(),
        None => theirs.into(),
    }
}

/// A peer's words without anything that a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The name nearest to `word`, if one is near (Levenshtein, at most 3 edits and at most half the
/// letters); the first of equals.
fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let edits_max = (word.chars().count() / 2).min(3);
    let near = names.map(|name| (distance(word, name), name)).min()?;
    (1..=edits_max).contains(&near.0).then_some(near.1)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::Semantics;

    const TRANSFER: Method = Method::new("transfer", "(str,u64)->u64", Semantics::AtMostOnce);
    const NOTE: Method = Method::new("note", "(str)->", Semantics::Maybe);
    static BANK: Interface = Interface::new("bank", (1, 0), &[TRANSFER, NOTE]);
    static EMPTY: Interface = Interface::new("empty", (1, 0), &[]);

    #[test]
    fn the_client_finds_in_the_servers_list_what_was_meant() {
        let texts = explanations(&[&BANK, &EMPTY]);
        let bank = &texts.unknown[&BANK.service_hash()];
        assert_eq!(&**bank, "`bank` has: transfer, note");
        let near = read_unknown(bank, "bank.transfr");
        assert_eq!(&*near, "no method `transfr` in `bank`, the nearest is `transfer`");
        let far = read_unknown(bank, "bank.audit");
        assert_eq!(&*far, "no method `audit` in `bank`, which has: transfer, note");
        let elsewhere = read_unknown(&texts.elsewhere, "till.pay");
        assert_eq!(&*elsewhere, "no service `till` at this address; it exports: bank, empty");
        assert_eq!(&*texts.unknown[&EMPTY.service_hash()], "`empty` has: ");
    }

    #[test]
    fn a_changed_method_is_told_in_both_forms() {
        let texts = explanations(&[&BANK]);
        assert_eq!(
            &*texts.changed[0],
            "`bank.transfer` exists there with another signature: at_most_once (str,u64)->u64"
        );
        assert_eq!(
            &*read_changed(&texts.changed[1], "bank.note", Some(&BANK.described(0))),
            "`bank.note` exists there with another signature: maybe (str)->; here it is \
             at_most_once (str,u64)->u64"
        );
        assert_eq!(&*read_changed("", "bank.note", None), "bank.note");
    }

    #[test]
    fn other_words_are_shown_as_they_are_but_for_what_a_terminal_obeys() {
        assert_eq!(&*read_unknown("", "bank.note"), "bank.note");
        assert_eq!(&*read_unknown("gone\u{1b}[2J", "bank.note"), "bank.note: gone?[2J");
        assert_eq!(&*read_unknown("`bank` has: transfer", ""), ": `bank` has: transfer");
    }

    #[test]
    fn no_detail_is_longer_than_a_refusal_takes() {
        let long: &'static str = Box::leak("ä".repeat(200).into_boxed_str());
        let many: Vec<&str> = vec!["transfer"; 100];
        let text = listed(EXPORTS, many.into_iter());
        assert!(text.len() <= REFUSE_DETAIL_BYTES_MAX && text.len() > 180, "{}", text.len());
        assert!(text.ends_with("transfer, …"), "{text}");
        assert_eq!(&*listed(EXPORTS, [long].into_iter()), "it exports: …");
        for text in [cut(long.to_owned()), listed(long, ["x"].into_iter()).into_string()] {
            assert!((198..=200).contains(&text.len()) && text.ends_with('…'), "{text}");
        }
        let methods = Box::leak(Box::new([Method::new(long, long, Semantics::AtMostOnce)]));
        let interface = Interface::new(long, (1, 0), methods);
        assert!(changed(&interface, 0).len() <= REFUSE_DETAIL_BYTES_MAX);
    }
}
