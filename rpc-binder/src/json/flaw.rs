//! What is wrong with a JSON value, and where.

use std::fmt;

use super::near::near;
use super::value::{Json, quoted};

/// Most names that an error lists.
const NAMES_SHOWN_MAX: usize = 12;

/// Why a value is none of the wanted form: `items[2].price: expected u64, found "ten"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// From the innermost out.
    steps: Vec<Step>,
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Item(usize),
}

impl Flaw {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { steps: Vec::new(), text: text.into() }
    }

    pub(super) fn expected(what: impl fmt::Display, found: &Json) -> Self {
        Self::new(format!("expected {what}, found {}", found.shown()))
    }

    /// `what`: a field, an argument, a variant. The near name is told, else those that exist.
    pub(super) fn unknown<'n>(
        what: &str,
        given: &str,
        known: impl Iterator<Item = &'n str> + Clone,
    ) -> Self {
        let hint = match near(given, known.clone()) {
            Some(near) => format!("did you mean {}?", quoted(near)),
            None => match listed(known, "or") {
                names if names.is_empty() => "there is none".into(),
                names => format!("expected {names}"),
            },
        };
        Self::new(format!("unknown {what} {}; {hint}", quoted(given)))
    }

    pub(super) fn missing(what: &str, name: &str) -> Self {
        Self::new(format!("missing {what} {}", quoted(name)))
    }

    /// The same, seen from outside: in this field.
    pub(super) fn in_field(mut self, name: &str) -> Self {
        self.steps.push(Step::Field(name.to_owned()));
        self
    }

    /// In this item of a list.
    pub(super) fn in_item(mut self, index: usize) -> Self {
        self.steps.push(Step::Item(index));
        self
    }
}

/// Names for people, not too many.
pub(super) fn listed<'n>(
    names: impl Iterator<Item = &'n str> + Clone,
    before_last: &str,
) -> String {
    let rest = names.clone().count().saturating_sub(NAMES_SHOWN_MAX);
    let mut shown: Vec<_> = names.take(NAMES_SHOWN_MAX).map(quoted).collect();
    if rest > 0 {
        shown.push(format!("{rest} others"));
    }
    match shown.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {before_last} {last}", others.join(", ")),
        None => String::new(),
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().rev().enumerate() {
            match step {
                Step::Field(name) => {
                    f.write_str(if index == 0 { "" } else { "." })?;
                    fmt::Display::fmt(&name.escape_debug(), f)?;
                }
                Step::Item(item) => write!(f, "[{item}]")?,
            }
        }
        f.write_str(if self.steps.is_empty() { "" } else { ": " })?;
        f.write_str(&self.text)
    }
}

impl std::error::Error for Flaw {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flaw_says_where_it_is() {
        let flaw = Flaw::expected("u64", &Json::Text("ten".into()));
        assert_eq!(flaw.to_string(), "expected u64, found \"ten\"");
        let flaw = flaw.in_field("price").in_item(2).in_field("items");
        assert_eq!(flaw.to_string(), "items[2].price: expected u64, found \"ten\"");
    }

    #[test]
    fn an_unknown_name_is_told_the_near_one_or_all() {
        let unknown = |given: &str, known: &[&'static str]| {
            Flaw::unknown("field", given, known.iter().copied()).to_string()
        };
        assert_eq!(
            unknown("amuont", &["amount", "to"]),
            "unknown field \"amuont\"; did you mean \"amount\"?"
        );
        assert_eq!(
            unknown("x", &["amount", "to"]),
            "unknown field \"x\"; expected \"amount\" or \"to\""
        );
        assert_eq!(unknown("x\u{1b}", &[]), "unknown field \"x\\u{1b}\"; there is none");
        assert!(unknown("?", &["long"; 100]).ends_with(" or 88 others"));
    }
}
