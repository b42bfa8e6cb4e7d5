//! JSON and postcard against serde's own: the same bytes, the same values, for real types.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;
use rpc_runtime::shape::{self, MethodSchema, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Paid {
    Cash,
    Card(String),
    Split(u8, bool),
    Later { days: Option<u16>, from: Meters },
    Pair((i8, i8)),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Meters(u32);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Point(i16, f32);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tree {
    name: String,
    leaves: Vec<Self>,
    next: Option<Box<Self>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    customer: String,
    items: Vec<(String, u32)>,
    paid: Paid,
    all: Vec<Paid>,
    where_to: Option<Point>,
    length: (Meters, Meters),
    letters: [char; 3],
    notes: BTreeMap<String, Option<i64>>,
    small: (i8, u16, i32, f64),
    unit: (),
    yes: bool,
    tree: Tree,
}

fn schema_of<T: DeserializeOwned>() -> Schema {
    Schema::parse(shape::of::<T>().unwrap().as_str()).unwrap()
}

fn encoded(schema: &Schema, text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let json = Json::parse(text)?;
    encode(schema, &json, &mut bytes).map(|()| bytes).map_err(|flaw| flaw.to_string())
}

fn decoded(schema: &Schema, bytes: &[u8]) -> Result<String, String> {
    let mut decoder = Decoder::of(bytes);
    let mut text = String::new();
    let read = decoder.value(schema, &mut text).and_then(|()| decoder.end());
    read.map(|()| text).map_err(|error| error.to_string())
}

/// Both ways, as serde does it.
fn agrees<T: Serialize + DeserializeOwned + Debug>(value: &T) {
    let schema = schema_of::<T>();
    let bytes = postcard::to_allocvec(value).unwrap();
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(encoded(&schema, &json), Ok(bytes.clone()), "{json}");
    let text = decoded(&schema, &bytes).unwrap();
    let (ours, theirs): (Value, Value) =
        (serde_json::from_str(&text).unwrap(), serde_json::from_str(&json).unwrap());
    assert_eq!(ours, theirs, "{text}");
    assert_eq!(encoded(&schema, &text), Ok(bytes), "{text}");
}

/// Integers that JSON holds exactly; the others are written as text.
fn exact() -> impl Strategy<Value = i64> {
    -(1_i64 << 53)..=1 << 53
}

fn paid() -> impl Strategy<Value = Paid> {
    prop_oneof![
        Just(Paid::Cash),
        any::<String>().prop_map(Paid::Card),
        any::<(u8, bool)>().prop_map(|(part, all)| Paid::Split(part, all)),
        any::<(Option<u16>, u32)>()
            .prop_map(|(days, from)| Paid::Later { days, from: Meters(from) }),
        any::<(i8, i8)>().prop_map(Paid::Pair),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = any::<String>().prop_map(|name| Tree { name, leaves: vec![], next: None });
    leaf.prop_recursive(4, 16, 3, |inner| {
        let next = prop::option::of(inner.clone().prop_map(Box::new));
        (any::<String>(), prop::collection::vec(inner, 0..3), next)
            .prop_map(|(name, leaves, next)| Tree { name, leaves, next })
    })
}

fn order() -> impl Strategy<Value = Order> {
    let finite = prop::num::f32::NORMAL | prop::num::f32::ZERO;
    let double = prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL;
    let first = (
        any::<String>(),
        any::<Vec<(String, u32)>>(),
        paid(),
        prop::collection::vec(paid(), 0..4),
        prop::option::of((any::<i16>(), finite).prop_map(|(x, y)| Point(x, y))),
        any::<(u32, u32)>(),
    );
    let second = (
        any::<[char; 3]>(),
        prop::collection::btree_map(any::<String>(), prop::option::of(exact()), 0..4),
        (any::<i8>(), any::<u16>(), any::<i32>(), double),
        any::<bool>(),
        tree(),
    );
    (first, second).prop_map(|(first, second)| {
        let (customer, items, paid, all, where_to, (here, there)) = first;
        let (letters, notes, small, yes, tree) = second;
        let length = (Meters(here), Meters(there));
        Order {
            customer,
            items,
            paid,
            all,
            where_to,
            length,
            letters,
            notes,
            small,
            unit: (),
            yes,
            tree,
        }
    })
}

proptest! {
    #[test]
    fn values_are_what_serde_makes_of_them(order in order()) {
        agrees(&order);
        agrees(&Some(order.paid));
        agrees(&(order.tree,));
    }

    #[test]
    fn integers_of_every_size_come_back(
        all in any::<(u8, u16, u32, u64, u128)>(),
        signed in any::<(i8, i16, i32, i64, i128)>(),
    ) {
        let value = (all, signed);
        let schema = schema_of::<((u8, u16, u32, u64, u128), (i8, i16, i32, i64, i128))>();
        let bytes = postcard::to_allocvec(&value).unwrap();
        let text = decoded(&schema, &bytes).unwrap();
        prop_assert_eq!(encoded(&schema, &text), Ok(bytes.clone()));
        let ((a, b, c, d, e), (f, g, h, i, j)) = value;
        let words = format!(
            r#"[["{a}","{b}","{c}","{d}","{e}"],["{f}","{g}","{h}","{i}","{j}"]]"#
        );
        prop_assert_eq!(encoded(&schema, &words), Ok(bytes));
    }

    #[test]
    fn bytes_from_anywhere_are_values_or_refused(bytes in any::<Vec<u8>>()) {
        let schema = schema_of::<Order>();
        if let Ok(text) = decoded(&schema, &bytes) {
            prop_assert!(encoded(&schema, &text).is_ok(), "{}", text);
        }
        let schema = schema_of::<Vec<Paid>>();
        let ours = decoded(&schema, &bytes);
        let theirs = postcard::take_from_bytes::<Vec<Paid>>(&bytes);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok_and(|(_, rest)| rest.is_empty()));
    }
}

#[test]
fn bytes_are_hexadecimal_and_a_list_is_read_too() {
    let schema = schema_of::<Vec<u8>>();
    let bytes = postcard::to_allocvec(&vec![0_u8, 0xff]).unwrap();
    assert_eq!(decoded(&schema, &bytes).unwrap(), "\"00ff\"");
    for text in ["\"00ff\"", "\"00FF\"", "[0,255]"] {
        assert_eq!(encoded(&schema, text).as_ref(), Ok(&bytes));
    }
    let wrong = |text| encoded(&schema, text).unwrap_err();
    assert_eq!(wrong("\"0\""), "expected bytes in hexadecimal, found \"0\"");
    assert_eq!(wrong("\"0g\""), "expected bytes in hexadecimal, found \"0g\"");
    assert_eq!(wrong("\"+1\""), "expected bytes in hexadecimal, found \"+1\"");
    assert_eq!(wrong("[0,256]"), "[1]: expected u8 (0 to 255), found 256");
}

#[test]
fn numbers_that_json_cannot_hold_are_text() {
    let schema = schema_of::<(u64, i64, f64, f32)>();
    let value = ((1_u64 << 53) + 1, i64::MIN, f64::NAN, f32::NEG_INFINITY);
    let bytes = postcard::to_allocvec(&value).unwrap();
    let text = decoded(&schema, &bytes).unwrap();
    assert_eq!(text, r#"["9007199254740993","-9223372036854775808","NaN","-Infinity"]"#);
    assert_eq!(encoded(&schema, &text), Ok(bytes));
    assert_eq!(encoded(&schema, "[1,2,3,4]").map(|bytes| bytes.len()), Ok(1 + 1 + 8 + 4));
    assert_eq!(decoded(&schema_of::<f32>(), &1.1_f32.to_le_bytes()).unwrap(), "1.1");
}

#[test]
fn nothing_in_a_text_is_for_a_terminal_to_obey() {
    let schema = schema_of::<String>();
    let bytes = postcard::to_allocvec("\u{1b}[2J \u{9b}2J ä\n").unwrap();
    let text = decoded(&schema, &bytes).unwrap();
    assert_eq!(text, r#""\u001b[2J \u009b2J ä\n""#);
    assert_eq!(encoded(&schema, &text), Ok(bytes));
}

#[test]
fn maps_without_text_as_keys_are_pairs() {
    let value = BTreeMap::from([(1_u8, "a".to_owned()), (2, "b".to_owned())]);
    let schema = schema_of::<BTreeMap<u8, String>>();
    let bytes = postcard::to_allocvec(&value).unwrap();
    assert_eq!(decoded(&schema, &bytes).unwrap(), r#"[[1,"a"],[2,"b"]]"#);
    assert_eq!(encoded(&schema, r#"[[1,"a"],[2,"b"]]"#), Ok(bytes));
    assert_eq!(
        encoded(&schema, r#"{"1":"a"}"#),
        Err("expected a list of pairs [key, value], found an object".into())
    );
    assert_eq!(
        encoded(&schema, r#"[[1]]"#),
        Err("[0]: expected a list of 2, found a list of 1".into())
    );
}

#[test]
fn a_missing_option_is_none_and_a_unit_is_nothing() {
    let schema = schema_of::<Tree>();
    let whole = encoded(&schema, r#"{"name":"a","leaves":[],"next":null}"#);
    assert_eq!(encoded(&schema, r#"{"leaves":[],"name":"a"}"#), whole);
    for unit in ["null", "{}", "[]"] {
        assert_eq!(encoded(&schema_of::<()>(), unit), Ok(vec![]));
    }
    for cash in ["\"Cash\"", "{\"Cash\":null}", "{\"Cash\":[]}"] {
        assert_eq!(encoded(&schema_of::<Paid>(), cash), Ok(vec![0]));
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    #[derive(Serialize, Deserialize)]
    struct Order {
        amount: u64,
        items: Vec<Item>,
        paid: Paid,
        code: char,
        weight: f32,
    }
    #[derive(Serialize, Deserialize)]
    struct Item {
        price: u8,
    }
    let schema = schema_of::<Order>();
    let fine = json!({"amount":1,"items":[],"paid":"Cash","code":"x","weight":0.5});
    assert!(encoded(&schema, &fine.to_string()).is_ok());
    let with = |field: &str, value: Value| {
        let mut order = fine.clone();
        order[field] = value;
        encoded(&schema, &order.to_string()).unwrap_err()
    };
    assert_eq!(with("amount", json!("ten")), "amount: expected u64, found \"ten\"");
    assert_eq!(
        with("amount", json!(-1)),
        "amount: expected u64 (0 to 18446744073709551615), found -1"
    );
    assert_eq!(with("amount", json!(1.5)), "amount: expected u64, found 1.5");
    assert_eq!(with("amount", json!("+1")), "amount: expected u64, found \"+1\"");
    assert_eq!(with("amount", json!(null)), "amount: expected u64, found null");
    assert_eq!(
        with("items", json!([{"price":1},{"price":300}])),
        "items[1].price: expected u8 (0 to 255), found 300"
    );
    assert_eq!(with("items", json!({})), "items: expected a list, found {}");
    assert_eq!(
        with("items", json!([{"prize":1}])),
        "items[0]: unknown field \"prize\"; did you mean \"price\"?"
    );
    assert_eq!(with("items", json!([{}])), "items[0]: missing field \"price\"");
    assert_eq!(with("items", json!([7])), "items[0]: expected an object with \"price\", found 7");
    assert_eq!(
        with("paid", json!("Crad")),
        "paid: unknown variant \"Crad\"; did you mean \"Card\"?"
    );
    assert_eq!(with("paid", json!({"Card":7})), "paid.Card: expected text, found 7");
    assert_eq!(with("paid", json!({"Cash":7})), "paid.Cash: expected nothing, found 7");
    assert_eq!(
        with("paid", json!({"Split":[1]})),
        "paid.Split: expected a list of 2, found a list of 1"
    );
    assert_eq!(
        with("paid", json!(7)),
        "paid: expected one of \"Cash\", \"Card\", \"Split\", \"Later\" or \"Pair\", found 7"
    );
    assert_eq!(with("code", json!("xy")), "code: expected text of one character, found \"xy\"");
    assert_eq!(with("weight", json!(1e300)), "weight: expected f32, found 1e+300");
    assert_eq!(with("amuont", json!(1)), "unknown field \"amuont\"; did you mean \"amount\"?");
}

#[test]
fn trailing_and_truncated_bytes_are_refused() {
    let schema = schema_of::<(u16, String)>();
    let bytes = postcard::to_allocvec(&(300_u16, "ab")).unwrap();
    for length in 0..bytes.len() {
        assert!(decoded(&schema, &bytes[..length]).is_err());
    }
    let longer = [&*bytes, &[0]].concat();
    assert_eq!(decoded(&schema, &longer), Err("after 5 bytes more follows".into()));
    assert_eq!(
        decoded(&schema, &[0xff, 0xff, 0xff, 0]),
        Err("after 3 bytes there is no integer of its size".into())
    );
}

#[test]
fn a_hostile_form_meets_a_limit() {
    let read = |text: &str, bytes: &[u8]| decoded(&Schema::parse(text).unwrap(), bytes);
    let many = read("[();1152921504606846976]", &[]).unwrap_err();
    assert_eq!(many, "after 0 bytes there are more values than bytes");
    let many = read("[()]", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    assert_eq!(many.unwrap_err(), "after 10 bytes there are more values than bytes");
    for endless in ["(#0)", "(#0,#0)", "<A(#0)>", "[#0;9]", "{a:#0}"] {
        let deep = read(endless, &[0; 4096]).unwrap_err();
        assert!(deep.ends_with("values lie too deep in one another"), "{endless}: {deep}");
    }
    let deep = encoded(&Schema::parse("option #0").unwrap(), "5").unwrap_err();
    assert_eq!(deep, "more than 128 levels");
    // Names make a long text of few bytes.
    let wordy = format!("[{{{}:()}}]", "n".repeat(4_000));
    let bytes = postcard::to_allocvec(&vec![1_u8; 100_000]).unwrap();
    let long = read(&wordy, &[&[0xa0, 0x8d, 6], &*bytes].concat()).unwrap_err();
    assert!(long.ends_with("it becomes too long as JSON"), "{long}");
}

#[test]
fn hostile_json_meets_a_limit_or_the_form() {
    let schema = schema_of::<Tree>();
    assert!(encoded(&schema, &"{\"leaves\":[".repeat(50_000)).unwrap_err().contains("recursion"));
    let list = format!("[{}]", vec!["0"; 1_000_000].join(","));
    assert_eq!(
        encoded(&schema, &list).unwrap_err(),
        "expected an object with \"name\", \"leaves\" and \"next\", found a list of 1000000"
    );
    let text = format!("\"{}\"", "x".repeat(10 << 20));
    assert_eq!(encoded(&schema_of::<String>(), &text).map(|bytes| bytes.len()), Ok((10 << 20) + 4));
    let number = encoded(&schema_of::<u64>(), &text).unwrap_err();
    assert_eq!(number, format!("expected u64, found \"{}\"…", "x".repeat(40)));
}

#[test]
fn arguments_are_given_by_name_or_by_position() {
    let form = MethodSchema::parse("(str,inout:[str],option u8)->u32!<NoRoom>").unwrap();
    let names: Vec<String> = ["who", "basket", "count"].map(str::to_owned).into();
    let encoded = |names: &[String], text: &str| {
        let json = Json::parse(text).unwrap();
        arguments(&form, names, &json).map_err(|flaw| flaw.to_string())
    };
    let bytes = vec![1, b'a', 1, 1, b'b', 0];
    assert_eq!(encoded(&names, r#"{"basket":["b"],"who":"a"}"#), Ok(bytes.clone()));
    assert_eq!(encoded(&names, r#"["a",["b"],null]"#), Ok(bytes.clone()));
    assert_eq!(encoded(&[], r#"["a",["b"],null]"#), Ok(bytes));
    let wrong = |text: &str| encoded(&names, text).unwrap_err();
    assert_eq!(wrong(r#"{"who":"a"}"#), "missing argument \"basket\"");
    assert_eq!(
        wrong(r#"{"who":"a","baskte":[]}"#),
        "unknown argument \"baskte\"; did you mean \"basket\"?"
    );
    assert_eq!(wrong(r#"["a",[7],null]"#), "basket[0]: expected text, found 7");
    assert_eq!(wrong("7"), "expected an object of the arguments, or a list of 3, found 7");
    assert_eq!(
        encoded(&[], "{}").unwrap_err(),
        "the names of the parameters are not known; give a list of the arguments"
    );
    assert_eq!(
        encoded(&[], r#"["a",["b"],"x"]"#).unwrap_err(),
        "argument 3: expected u8, found \"x\""
    );

    let reply = printed(&form, &names, &form.output.as_ref().unwrap().value, &[7, 1, 1, b'c']);
    let in_outs = Some(r#"{"basket":["c"]}"#.to_owned());
    assert_eq!(reply, Ok(Printed { value: "7".into(), in_outs }));

    let nothing = MethodSchema::parse("()->").unwrap();
    for text in ["null", "{}", "[]"] {
        assert_eq!(arguments(&nothing, &[], &Json::parse(text).unwrap()), Ok(vec![]));
    }
    let flaw = arguments(&nothing, &[], &Json::parse(r#"{"a":1}"#).unwrap()).unwrap_err();
    assert_eq!(flaw.to_string(), "unknown argument \"a\"; there is none");
}
