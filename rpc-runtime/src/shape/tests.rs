//! Tests of the recorder: every form, types that contain themselves, types that are picky.

#![expect(dead_code, reason = "only the shapes of these types are wanted")]
#![expect(clippy::disallowed_types, reason = "users send them too")]

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::*;

/// The text of a shape, which is read and written again on the way.
fn text<T: Deserialize<'static>>() -> String {
    let text = of::<T>().unwrap().to_string();
    assert_eq!(Schema::parse(&text).map(|schema| schema.to_string()), Ok(text.clone()));
    text
}

#[derive(Deserialize)]
struct Receipt {
    _number: u64,
    _paid: Paid,
}

#[derive(Deserialize)]
enum Paid {
    Cash,
    Card(String),
    Split(u8, bool),
    Later { days: Option<u16> },
}

#[test]
fn structs_and_enums_show_their_fields_and_all_variants() {
    assert_eq!(
        text::<Receipt>(),
        "{_number:u64,_paid:<Cash|Card(str)|Split(u8,bool)|Later{days:option u16}>}"
    );
    let _ =
        (Paid::Cash, Paid::Card(String::new()), Paid::Split(0, true), Paid::Later { days: None });
}

#[test]
fn what_is_the_same_on_the_wire_has_the_same_shape() {
    #[derive(Deserialize)]
    struct Meters(u64);
    assert_eq!(text::<Meters>(), text::<u64>());
    assert_eq!(text::<&str>(), text::<String>());
    assert_eq!(text::<Cow<'_, str>>(), text::<String>());
    assert_eq!(text::<&[u8]>(), text::<Vec<u8>>());
    assert_eq!(text::<Box<Option<u8>>>(), text::<Option<u8>>());
    assert_eq!(text::<(u8, u8)>(), text::<[u8; 2]>());
    assert_eq!(text::<HashSet<u8>>(), text::<Vec<u8>>());
    assert_eq!(text::<HashMap<u8, i8>>(), text::<BTreeMap<u8, i8>>());

    #[derive(Deserialize)]
    struct Trip<L> {
        _from: L,
        _to: L,
    }
    #[derive(Deserialize)]
    struct Empty {}
    assert_eq!(text::<Trip<Meters>>(), text::<Trip<u64>>());
    assert_eq!(text::<(Meters, u64)>(), text::<(u64, u64)>());
    assert_eq!(text::<Trip<Empty>>(), text::<Trip<()>>());
}

#[test]
fn what_differs_on_the_wire_differs_in_shape() {
    #[derive(Deserialize)]
    enum Swapped {
        _Card(String),
        _Cash,
    }
    let all = [
        text::<u8>(),
        text::<u16>(),
        text::<i8>(),
        text::<Option<u8>>(),
        text::<Vec<u8>>(),
        text::<(u8,)>(),
        text::<(u8, u8)>(),
        text::<[u8; 3]>(),
        text::<BTreeMap<u8, u8>>(),
        text::<Paid>(),
        text::<Swapped>(),
        text::<()>(),
        text::<char>(),
        text::<bool>(),
        text::<f32>(),
        text::<f64>(),
        text::<String>(),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(!all[..index].contains(one), "{one} stands for two");
    }
}

#[derive(Deserialize)]
struct List {
    _value: u8,
    _next: Option<Box<Self>>,
}

#[derive(Deserialize)]
enum Expression {
    _Sum(Box<Self>, Box<Self>),
    _All(Vec<Self>),
    _Named { name: String, body: Box<Self> },
    _Number(i64),
}

#[derive(Deserialize)]
struct Tree(BTreeMap<String, Self>);

#[derive(Deserialize)]
enum Even {
    _Zero,
    _Next(Odd),
}

#[derive(Deserialize)]
struct Odd {
    _next: Box<Even>,
    _weight: u32,
}

#[test]
fn types_that_contain_themselves_come_to_an_end() {
    assert_eq!(text::<List>(), "{_value:u8,_next:option #0}");
    assert_eq!(
        text::<Expression>(),
        "<_Sum(#0,#0)|_All([#0])|_Named{name:str,body:#0}|_Number(i64)>"
    );
    assert_eq!(text::<Tree>(), "[str=>#0]");
    assert_eq!(text::<Even>(), "<_Zero|_Next({_next:#0,_weight:u32})>");
}

#[derive(Deserialize)]
struct Chain(Option<Box<Self>>);

#[derive(Deserialize)]
struct Point(u8, bool);

#[derive(Deserialize)]
struct Id(Point);

#[derive(Deserialize)]
struct Numbered {
    _many: Vec<Option<Id>>,
    _one: Point,
    _none: Chain,
    _again: (Id, List),
    _last: Option<List>,
}

#[test]
fn numbers_count_what_the_reader_sees() {
    assert_eq!(text::<Chain>(), "option #0");
    // 0 is the struct, 1 the list, 2 the option, 3 the point, 4 the chain, 5 the tuple, 6 the list.
    assert_eq!(
        text::<Numbered>(),
        "{_many:[option (u8,bool)],_one:#3,_none:option #4,_again:(#3,{_value:u8,_next:option #6}),\
         _last:option #6}"
    );
}

#[test]
fn a_name_cannot_be_taken_for_punctuation() {
    #[derive(Deserialize)]
    enum Odd {
        #[serde(rename = "a|b?")]
        _A(u8),
        #[serde(rename = "größer als")]
        _B {
            #[serde(rename = "x:y,")]
            _x: u8,
        },
    }
    let shape = text::<Odd>();
    assert_eq!(shape, r"<a\u{7c}b\u{3f}(u8)|größer\u{20}als{x\u{3a}y\u{2c}:u8}>");
    let schema = Schema::parse(&shape).unwrap();
    let schema::Part::Enum(variants) = schema.part(schema.root()) else { panic!("{schema:?}") };
    assert_eq!(variants[0].name, "a|b?");
    assert!(schema.is_complete() && of::<Odd>().unwrap().is_complete());
}

#[test]
fn types_of_one_name_are_told_apart() {
    mod other {
        #[derive(serde::Deserialize)]
        pub(super) struct Item {
            _text: String,
        }
    }
    #[derive(Deserialize)]
    struct Item {
        _number: u8,
    }
    #[derive(Deserialize)]
    struct Wrapper<T> {
        _inner: T,
    }
    assert_eq!(text::<(Item, other::Item)>(), "({_number:u8},{_text:str})");
    assert_eq!(text::<Wrapper<Wrapper<u8>>>(), "{_inner:{_inner:u8}}");
}

/// A text with a dot, checked as it is read.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Dotted;

impl TryFrom<String> for Dotted {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        if text.contains('.') { Ok(Self) } else { Err("no dot") }
    }
}

/// Nothing that we would think of.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Password;

impl TryFrom<String> for Password {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        if text == "sesame" { Ok(Self) } else { Err("no") }
    }
}

#[test]
fn picky_types_are_offered_other_samples() {
    #[derive(Deserialize)]
    struct Row {
        _id: NonZeroU64,
        _other: Option<NonZeroU32>,
        _address: IpAddr,
        _socket: SocketAddr,
        _took: Duration,
        _name: Dotted,
    }
    let shape = of::<Row>().unwrap();
    assert!(shape.is_complete(), "{shape}");
    assert_eq!(text::<Row>(), shape.as_str());
    assert!(shape.as_str().starts_with("{_id:u64,_other:option u32,_address:<V4([u8;4])|V6("));
    assert!(shape.as_str().ends_with("_took:{secs:u64,nanos:u32},_name:str}"), "{shape}");
}

#[test]
fn a_type_that_takes_no_sample_hides_only_what_follows_it() {
    #[derive(Deserialize)]
    struct Login {
        _name: String,
        _password: Password,
        _after: u8,
    }
    let shape = of::<Login>().unwrap();
    assert!(!Schema::parse(&text::<Login>()).unwrap().is_complete());
    assert_eq!(shape.as_str(), "{_name:str,_password:str,_after:?}");
    assert!(!shape.is_complete());
}

#[test]
fn self_describing_types_are_found_before_they_are_sent() {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        _A(u8),
    }
    #[derive(Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        _A { x: u8 },
    }
    #[derive(Deserialize)]
    struct Flat {
        #[serde(flatten)]
        _rest: BTreeMap<String, u8>,
    }
    assert_eq!(of::<Untagged>(), Err(SelfDescribing));
    assert_eq!(of::<Vec<Option<Tagged>>>(), Err(SelfDescribing));
    assert_eq!(of::<Flat>(), Err(SelfDescribing));
}

#[test]
fn a_large_enum_is_seen_in_full() {
    #[derive(Serialize, Deserialize)]
    enum Op {
        A0,
        A1,
        A2,
        A3,
        A4,
        A5(u8),
        A6(Vec<Self>),
        A7 { a: Box<Self>, b: u8 },
        A8(Option<Box<Self>>),
        A9,
    }
    assert_eq!(text::<Op>(), "<A0|A1|A2|A3|A4|A5(u8)|A6([#0])|A7{a:#0,b:u8}|A8(option #0)|A9>");
}

#[test]
fn what_is_no_shape_is_refused_where_it_goes_wrong() {
    use ShapeError::{Cut, Dangling, Unexpected};
    for (text, why) in [
        ("", Cut),
        ("{a:u8", Cut),
        ("[u8;", Cut),
        ("<A|", Cut),
        ("(u8,", Cut),
        ("opt", Unexpected { at: 0 }),
        ("u9", Unexpected { at: 0 }),
        ("u88", Unexpected { at: 0 }),
        ("{}", Unexpected { at: 1 }),
        ("{a:u8}}", Unexpected { at: 6 }),
        ("[u8;x]", Unexpected { at: 4 }),
        ("[u8;99999999999999999999]", Unexpected { at: 4 }),
        (r"{a\u{110000}:u8}", Unexpected { at: 5 }),
        ("#0", Dangling { at: 1 }),
        ("(u8,#1)", Dangling { at: 5 }),
    ] {
        assert_eq!(Schema::parse(text), Err(why), "{text}");
    }
}

#[test]
fn a_hostile_shape_meets_a_limit() {
    let limit = |of, max| Err(ShapeError::Limit { of, max });
    assert_eq!(Schema::parse(&"[".repeat(10_000)), limit("levels", DEPTH_MAX));
    assert_eq!(Schema::parse(&"option ".repeat(5_000)), limit("levels", DEPTH_MAX));
    let wide = format!("({})", vec!["u8"; PARTS_MAX].join(","));
    assert_eq!(Schema::parse(&wide), limit("parts", PARTS_MAX));
    assert_eq!(Schema::parse(&"u".repeat(TEXT_BYTES_MAX + 1)), limit("bytes", TEXT_BYTES_MAX));
    // These are shapes; that their values have no end is for those to notice who encode them.
    for text in ["(#0)", "(#0,#0)", "[();18446744073709551615]", "<A(#0)>"] {
        assert_eq!(Schema::parse(text).map(|schema| schema.to_string()), Ok(text.to_owned()));
    }
}

#[test]
fn a_methods_form_is_read_part_by_part() {
    let form = MethodSchema::parse("({a:u8})->#0!<>");
    assert_eq!(form, Err(ShapeError::Dangling { at: 11 }), "each part counts for itself");
    let form = MethodSchema::parse("(str,inout:[str],{a:u8,b:[#0]})->()!<>").unwrap();
    let shapes: Vec<_> = form.parameters.iter().map(|one| one.schema.to_string()).collect();
    assert_eq!(shapes, ["str", "[str]", "{a:u8,b:[#0]}"]);
    assert_eq!(form.in_outs().map(|(place, _)| place).collect::<Vec<_>>(), [1]);
    assert!(form.is_complete() && form.output.unwrap().error.is_never());
    let note = MethodSchema::parse("()->").unwrap();
    assert!(note.parameters.is_empty() && note.output.is_none());
    assert_eq!(MethodSchema::parse("(str)->u64"), Err(ShapeError::Cut));
    assert!(!MethodSchema::parse("(large array)->()!<>").unwrap().is_complete());
}
