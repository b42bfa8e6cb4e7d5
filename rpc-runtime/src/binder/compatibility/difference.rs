//! Where two methods of one name differ, in words.
//!
//! Reads both forms, which may come from anywhere, and walks them side by side up to the first part
//! that is not the same: within limits, and without recursion. Does not know whose methods they are.

use std::collections::BTreeSet;

use super::text;
use crate::binder::model::{MethodDescription, cut};
use crate::shape::schema::{Field, Holds, Part, PartId, Schema, Variant};
use crate::shape::{MethodSchema, Output, Parameter};

/// Most pairs of parts that are compared; methods that are alike that far are shown as they are.
const PAIRS_MAX: usize = 4_096;
/// Longest shape that a message shows, in bytes.
const SHAPE_SHOWN_BYTES_MAX: usize = 60;
/// Longest name that a message shows, in bytes.
const NAME_SHOWN_BYTES_MAX: usize = 40;
/// Longest way into a shape that a message shows, in bytes; what lies deeper is `…`.
const PATH_SHOWN_BYTES_MAX: usize = 80;
/// What one of the two has not got.
const MISSING: &str = "missing";

/// The first part in which two methods differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which part: `parameter order.items[].price`.
    part: String,
    one: String,
    other: String,
}

impl Difference {
    /// That of two methods whose fingerprints are not the same.
    #[must_use]
    pub fn between(one: &MethodDescription, other: &MethodDescription) -> Self {
        if one.semantics != other.semantics {
            return Self::new("the semantics", one.semantics.word(), other.semantics.word());
        }
        let schemas = [one, other].map(|method| MethodSchema::parse(&method.form));
        if let [Ok(one_schema), Ok(other_schema)] = &schemas {
            let in_parameters = in_parameters(
                (&one.parameters, &one_schema.parameters),
                (&other.parameters, &other_schema.parameters),
            );
            let in_outputs =
                || in_outputs(one_schema.output.as_ref(), other_schema.output.as_ref());
            if let Some(difference) = in_parameters.or_else(in_outputs) {
                return difference;
            }
        }
        Self::new("the form", &text::form(one, other), &text::form(other, one))
    }

    /// `parameter cents is u64 here and u32 there`, in other words for "here" and "there".
    #[must_use]
    pub fn told(&self, here: &str, there: &str) -> String {
        let Self { part, one, other } = self;
        format!("{part} is {one} {here} and {other} {there}")
    }

    fn new(part: &str, one: &str, other: &str) -> Self {
        Self { part: part.into(), one: one.into(), other: other.into() }
    }
}

type Parameters<'m> = (&'m [String], &'m [Parameter]);

fn in_parameters(one: Parameters<'_>, other: Parameters<'_>) -> Option<Difference> {
    let are_named = one.0.len() == one.1.len() && other.0.len() == other.1.len();
    let misfit = if are_named { misfit(one.0, other.0) } else { None };
    let part = |(names, _): Parameters<'_>, place: usize| match names.get(place) {
        Some(name) => format!("parameter {}", shown(name)),
        None => format!("parameter {}", place + 1),
    };
    if one.1.len() != other.1.len() {
        let counts = [one.1.len(), other.1.len()].map(|count| count.to_string());
        return Some(match misfit {
            Some(Misfit::First(at)) => Difference::new(&part(one, at), &whole(&one.1[at]), MISSING),
            Some(Misfit::Second(at)) => {
                Difference::new(&part(other, at), MISSING, &whole(&other.1[at]))
            }
            Some(Misfit::Renamed(_) | Misfit::Moved(..)) | None => {
                Difference::new("the number of parameters", &counts[0], &counts[1])
            }
        });
    }
    let pairs = || one.1.iter().zip(other.1).enumerate();
    let differing = pairs().find_map(|(at, (a, b))| {
        if a.is_in_out == b.is_in_out {
            return in_schemas(&part(one, at), &a.schema, &b.schema);
        }
        Some(Difference::new(&part(one, at), &whole(a), &whole(b)))
    })?;
    // They are called by place: only where the shapes differ too has a moved name changed anything.
    match misfit {
        Some(Misfit::Moved(at, to)) => {
            let [here, there] = [at, to].map(|place| format!("number {}", place + 1));
            Some(Difference::new(&part(one, at), &here, &there))
        }
        Some(Misfit::First(_) | Misfit::Second(_) | Misfit::Renamed(_)) | None => Some(differing),
    }
}

/// A parameter's shape, and whether it comes back.
fn whole(parameter: &Parameter) -> String {
    let comes_back = if parameter.is_in_out { "inout " } else { "" };
    format!("{comes_back}{}", shape(&parameter.schema, parameter.schema.root()))
}

fn in_outputs(one: Option<&Output>, other: Option<&Output>) -> Option<Difference> {
    match (one, other) {
        (Some(one), Some(other)) => in_schemas("the result", &one.value, &other.value)
            .or_else(|| in_schemas("the error", &one.error, &other.error)),
        (None, None) => None,
        (one, other) => {
            let [one, other] =
                [one, other].map(|output| if output.is_some() { "one" } else { "none" });
            Some(Difference::new("the reply", one, other))
        }
    }
}

/// Two schemas, walked side by side.
struct Walk<'s> {
    root: &'s str,
    one: &'s Schema,
    other: &'s Schema,
    /// Pairs to be compared, the next one last.
    left: Vec<Pair>,
}

/// Two parts at the same place, and the way there.
struct Pair {
    path: String,
    parts: (PartId, PartId),
}

fn in_schemas(root: &str, one: &Schema, other: &Schema) -> Option<Difference> {
    let first = Pair { path: String::new(), parts: (one.root(), other.root()) };
    let mut walk = Walk { root, one, other, left: vec![first] };
    // Types contain themselves.
    let mut seen = BTreeSet::new();
    while let Some(pair) = walk.left.pop() {
        if seen.len() == PAIRS_MAX {
            return None;
        }
        if seen.insert(pair.parts)
            && let Some(difference) = walk.step(&pair)
        {
            return Some(difference);
        }
    }
    None
}

impl Walk<'_> {
    /// What differs between two parts themselves; pairs of what they hold are left to be compared.
    fn step(&mut self, Pair { path, parts: (one, other) }: &Pair) -> Option<Difference> {
        let held = self.left.len();
        let difference = match (self.one.part(*one), self.other.part(*other)) {
            (Part::Unknown, Part::Unknown) => None,
            (Part::Leaf(a), Part::Leaf(b)) if a == b => None,
            (Part::Option(a), Part::Option(b)) => self.leave(path, "?", (*a, *b)),
            (Part::List(a), Part::List(b)) => self.leave(path, "[]", (*a, *b)),
            (Part::Array(a, n), Part::Array(b, m)) if n == m => self.leave(path, "[]", (*a, *b)),
            (Part::Map(key, value), Part::Map(other_key, other_value)) => {
                self.leave(path, "[key]", (*key, *other_key));
                self.leave(path, "[value]", (*value, *other_value))
            }
            (Part::Tuple(a), Part::Tuple(b)) if a.len() == b.len() => self.unnamed(path, a, b),
            (Part::Struct(a), Part::Struct(b)) => self.fields(path, a, b),
            (Part::Enum(a), Part::Enum(b)) => self.variants(path, a, b),
            _ => {
                let shapes = (shape(self.one, *one), shape(self.other, *other));
                Some(Difference::new(&self.part(path), &shapes.0, &shapes.1))
            }
        };
        self.left[held..].reverse();
        difference
    }

    fn leave(&mut self, path: &str, step: &str, parts: (PartId, PartId)) -> Option<Difference> {
        self.left.push(Pair { path: join(path, step), parts });
        None
    }

    fn unnamed(&mut self, path: &str, one: &[PartId], other: &[PartId]) -> Option<Difference> {
        for (place, (a, b)) in one.iter().zip(other).enumerate() {
            self.leave(path, &format!(".{place}"), (*a, *b));
        }
        None
    }

    fn fields(&mut self, path: &str, one: &[Field], other: &[Field]) -> Option<Difference> {
        let named = |field: &Field| self.part(&join(path, &format!(".{}", shown(&field.name))));
        let names = [one, other].map(|fields| fields.iter().map(|field| &*field.name).collect());
        let [ours, theirs]: [Vec<&str>; 2] = names;
        Some(match misfit(&ours, &theirs) {
            None => {
                for (a, b) in one.iter().zip(other) {
                    self.leave(path, &format!(".{}", shown(&a.name)), (a.part, b.part));
                }
                return None;
            }
            Some(Misfit::First(at)) => {
                Difference::new(&named(&one[at]), &shape(self.one, one[at].part), MISSING)
            }
            Some(Misfit::Second(at)) => {
                Difference::new(&named(&other[at]), MISSING, &shape(self.other, other[at].part))
            }
            Some(Misfit::Renamed(at)) => {
                let part = format!("field {} of {}", at + 1, self.part(path));
                Difference::new(&part, &shown(&one[at].name), &shown(&other[at].name))
            }
            Some(Misfit::Moved(at, to)) => {
                let [here, there] = [at, to].map(|place| format!("field {}", place + 1));
                Difference::new(&named(&one[at]), &here, &there)
            }
        })
    }

    fn variants(&mut self, path: &str, one: &[Variant], other: &[Variant]) -> Option<Difference> {
        let inside = |variant: &Variant| join(path, &format!("::{}", shown(&variant.name)));
        if one.is_empty() != other.is_empty() {
            let [ours, theirs] =
                [one, other].map(|variants| if variants.is_empty() { "none" } else { "one" });
            return Some(Difference::new(&self.part(path), ours, theirs));
        }
        let names = [one, other].map(|variants| variants.iter().map(|one| &*one.name).collect());
        let [ours, theirs]: [Vec<&str>; 2] = names;
        Some(match misfit(&ours, &theirs) {
            None => {
                for (a, b) in one.iter().zip(other) {
                    let difference = self.holds(&inside(a), &a.holds, &b.holds);
                    if difference.is_some() {
                        return difference;
                    }
                }
                return None;
            }
            Some(Misfit::First(at)) => {
                Difference::new(&self.part(&inside(&one[at])), "a variant", MISSING)
            }
            Some(Misfit::Second(at)) => {
                Difference::new(&self.part(&inside(&other[at])), MISSING, "a variant")
            }
            Some(Misfit::Renamed(at)) => {
                let part = format!("variant {} of {}", at + 1, self.part(path));
                Difference::new(&part, &shown(&one[at].name), &shown(&other[at].name))
            }
            Some(Misfit::Moved(at, to)) => {
                let [here, there] = [at, to].map(|place| format!("variant {}", place + 1));
                Difference::new(&self.part(&inside(&one[at])), &here, &there)
            }
        })
    }

    fn holds(&mut self, path: &str, one: &Holds, other: &Holds) -> Option<Difference> {
        match (one, other) {
            (Holds::Unknown, Holds::Unknown) | (Holds::Nothing, Holds::Nothing) => None,
            (Holds::Unnamed(a), Holds::Unnamed(b)) if a.len() == b.len() => {
                self.unnamed(path, a, b)
            }
            (Holds::Named(a), Holds::Named(b)) => self.fields(path, a, b),
            (one, other) => {
                let shapes = (held(self.one, one), held(self.other, other));
                Some(Difference::new(&self.part(path), &shapes.0, &shapes.1))
            }
        }
    }

    /// The name of what lies there: `the result`, `result.total`.
    fn part(&self, path: &str) -> String {
        match self.root.strip_prefix("the ") {
            Some(root) if !path.is_empty() => format!("{root}{path}"),
            Some(_) | None => format!("{}{path}", self.root),
        }
    }
}

/// How two lists of names differ first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misfit {
    /// The first has one more, at this place.
    First(usize),
    /// The second has.
    Second(usize),
    /// At this place stands another name.
    Renamed(usize),
    /// What stands here stands there in the second.
    Moved(usize, usize),
}

fn misfit<S: AsRef<str>>(one: &[S], other: &[S]) -> Option<Misfit> {
    let names = |list: &[S]| list.iter().map(|name| name.as_ref().to_owned()).collect();
    let (ours, theirs): (BTreeSet<String>, BTreeSet<String>) = (names(one), names(other));
    let odd_in = |list: &[S], set: &BTreeSet<String>| {
        list.iter().position(|name| !set.contains(name.as_ref()))
    };
    match (odd_in(one, &theirs), odd_in(other, &ours)) {
        (Some(at), Some(to)) if at == to && one.len() == other.len() => Some(Misfit::Renamed(at)),
        (Some(at), _) => Some(Misfit::First(at)),
        (None, Some(at)) => Some(Misfit::Second(at)),
        (None, None) => {
            let at = one.iter().zip(other).position(|(a, b)| a.as_ref() != b.as_ref())?;
            let to = other.iter().position(|name| name.as_ref() == one[at].as_ref())?;
            Some(Misfit::Moved(at, to))
        }
    }
}

fn join(path: &str, step: &str) -> String {
    if path.len() + step.len() > PATH_SHOWN_BYTES_MAX {
        return format!("{}…", path.trim_end_matches('…'));
    }
    format!("{path}{step}")
}

/// A name without anything that a terminal would obey.
fn shown(name: &str) -> String {
    cut(&name.escape_debug().to_string(), NAME_SHOWN_BYTES_MAX).to_owned()
}

fn shape(schema: &Schema, part: PartId) -> String {
    shortened(&schema.text(part))
}

fn held(schema: &Schema, holds: &Holds) -> String {
    let text = |part: &PartId| schema.text(*part);
    shortened(&match holds {
        Holds::Unknown => "?".to_owned(),
        Holds::Nothing => "without parts".to_owned(),
        Holds::Unnamed(parts) => {
            format!("({})", parts.iter().map(text).collect::<Vec<_>>().join(","))
        }
        Holds::Named(fields) => {
            let field = |field: &Field| format!("{}:{}", shown(&field.name), text(&field.part));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
        }
    })
}

fn shortened(text: &str) -> String {
    if text.len() <= SHAPE_SHOWN_BYTES_MAX {
        return text.to_owned();
    }
    format!("{}…", cut(text, SHAPE_SHOWN_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::MethodFingerprint;
    use crate::semantics::Semantics;

    fn method(form: &str, names: &[&str]) -> MethodDescription {
        MethodDescription {
            name: "buy".into(),
            signature: "(Order)->R".into(),
            parameters: names.iter().map(|&name| name.to_owned()).collect(),
            form: form.into(),
            semantics: Semantics::AtMostOnce,
            fingerprint: MethodFingerprint(1),
            is_exterminated: false,
        }
    }

    /// How `here` differs from `there`, of methods with one parameter `order` and a result.
    fn told(here: &str, there: &str) -> String {
        let of = |form: &str| method(&format!("({form})->()!<>"), &["order"]);
        Difference::between(&of(here), &of(there)).told("here", "there")
    }

    #[test]
    fn the_first_part_that_differs_is_named_with_the_way_to_it() {
        for (here, there, words) in [
            ("u64", "u32", "parameter order is u64 here and u32 there"),
            ("{a:u8,b:[u64]}", "{a:u8,b:[u32]}", "parameter order.b[] is u64 here and u32 there"),
            ("option str", "str", "parameter order is option str here and str there"),
            ("{a:u8,b:str}", "{a:u8}", "parameter order.b is str here and missing there"),
            ("{a:u8}", "{b:str,a:u8}", "parameter order.b is missing here and str there"),
            ("{a:u8,b:u8}", "{a:u8,c:u8}", "field 2 of parameter order is b here and c there"),
            ("{a:u8,b:u8}", "{b:u8,a:u8}", "parameter order.a is field 1 here and field 2 there"),
            ("<A|B>", "<A>", "parameter order::B is a variant here and missing there"),
            ("<A|B>", "<A|C>", "variant 2 of parameter order is B here and C there"),
            ("<A|B>", "<B|A>", "parameter order::A is variant 1 here and variant 2 there"),
            ("<A(u8)|B>", "<A|B>", "parameter order::A is (u8) here and without parts there"),
            ("<A|B(u8)>", "<A|B(u16)>", "parameter order::B.0 is u8 here and u16 there"),
            ("<A{x:u8}>", "<A{x:i8}>", "parameter order::A.x is u8 here and i8 there"),
            ("[str=>u8]", "[str=>u16]", "parameter order[value] is u8 here and u16 there"),
            ("([u8],str)", "([u8],u8)", "parameter order.1 is str here and u8 there"),
            ("[u8;2]", "{a:u8,b:u8}", "parameter order is [u8;2] here and {a:u8,b:u8} there"),
            (
                "{value:u8,next:option #0}",
                "{value:u16,next:option #0}",
                "parameter order.value is u8 here and u16 there",
            ),
            (
                "{next:option #0,value:<A(u8)|B(u8)>}",
                "{next:option #0,value:<A(u8)|B(i8)>}",
                "parameter order.value::B.0 is u8 here and i8 there",
            ),
        ] {
            assert_eq!(told(here, there), words);
        }
    }

    #[test]
    fn parameters_are_told_by_name_and_results_after_them() {
        let told = |here: (&str, &[&str]), there: (&str, &[&str])| {
            let [one, other] = [here, there].map(|(form, names)| method(form, names));
            Difference::between(&one, &other).told("here", "there")
        };
        let old: (&str, &[&str]) = ("(str,u64)->u64!<NoFunds>", &["to", "cents"]);
        for (form, names, words) in [
            ("(str)->u64!<NoFunds>", &["to"][..], "parameter cents is missing here and u64 there"),
            (
                "(str,u64,str)->u64!<NoFunds>",
                &["to", "cents", "memo"],
                "parameter memo is str here and missing there",
            ),
            (
                "(u64,str)->u64!<NoFunds>",
                &["cents", "to"],
                "parameter cents is number 1 here and number 2 there",
            ),
            (
                "(str,u32)->u64!<NoFunds>",
                &["whom", "many"],
                "parameter many is u32 here and u64 there",
            ),
            ("(str,u32)->u64!<NoFunds>", &[], "parameter 2 is u32 here and u64 there"),
            ("(str)->u64!<NoFunds>", &[], "the number of parameters is 1 here and 2 there"),
            (
                "(inout:str,u64)->u64!<NoFunds>",
                &["to", "cents"],
                "parameter to is inout str here and str there",
            ),
            ("(str,u64)->u32!<NoFunds>", &["to", "cents"], "the result is u32 here and u64 there"),
            (
                "(str,u64)->{left:u64}!<NoFunds>",
                &["to", "cents"],
                "the result is {left:u64} here and u64 there",
            ),
            (
                "(str,u64)->u64!<NoFunds|Frozen>",
                &["to", "cents"],
                "error::Frozen is a variant here and missing there",
            ),
            ("(str,u64)->u64!<>", &["to", "cents"], "the error is none here and one there"),
            ("(str,u64)->", &["to", "cents"], "the reply is none here and one there"),
        ] {
            assert_eq!(told((form, names), old), words);
        }
    }

    #[test]
    fn the_semantics_comes_first_and_what_cannot_be_read_is_shown_as_it_is() {
        let old = method("(u8)->()!<>", &["order"]);
        let again = MethodDescription {
            semantics: Semantics::AtLeastOnce,
            ..method("(u16)->()!<>", &["order"])
        };
        assert_eq!(
            Difference::between(&again, &old).told("here", "there"),
            "the semantics is at_least_once here and at_most_once there"
        );
        let other = MethodDescription { signature: "(u16)->R".into(), ..method("(u16)-", &[]) };
        assert_eq!(
            Difference::between(&old, &other).told("here", "there"),
            "the form is (Order)->R here and (u16)->R there"
        );
    }

    #[test]
    fn hostile_forms_end_and_make_no_long_texts() {
        let names: String =
            (0..300).map(|n| format!("\\u{{1b}}{}{n}:u8,", "x".repeat(50))).collect();
        let long = format!("{{{}z:u8}}", names);
        let words = told(&long, &format!("{{{}z:u16}}", names));
        assert_eq!(words, "parameter order.z is u8 here and u16 there");
        let words = told(&format!("{{\\u{{1b}}{}:u8}}", "x".repeat(5_000)), "u8");
        assert!(words.len() < 200 && !words.contains('\u{1b}'), "{words}");
        // Two rings of different lengths: as many pairs as their product.
        let ring = |length: usize, last: &str| {
            format!("{}{last}{}", "{a:option ".repeat(length), "}".repeat(length))
        };
        let words = told(&ring(101, "#0"), &ring(103, "#0"));
        assert!(words.starts_with("the form is "), "{words}");
        let deep = told(&ring(100, "u8"), &ring(100, "u16"));
        assert!(deep.contains('…') && deep.ends_with("is u8 here and u16 there"), "{deep}");
        assert!(deep.len() < 200, "{deep}");
    }
}
