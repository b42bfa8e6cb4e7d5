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

fn text<T: Deserialize<'static>>() -> String {
    of::<T>().unwrap().to_string()
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
