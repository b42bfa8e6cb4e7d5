//! Tests of marshalling: borrowing, leftovers, and the limits on what a message may make.

#![expect(clippy::disallowed_types, reason = "users send them too")]

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::bounded::{EMPTY_ITEMS_MAX, NESTED_LEVELS_MAX};
use super::*;

#[test]
fn arguments_travel_as_a_tuple_and_are_borrowed() {
    let mut bytes = Vec::new();
    append(&mut bytes, "ann").unwrap();
    append(&mut bytes, &Block(&[1, 2, 3])).unwrap();
    append(&mut bytes, &5_u64).unwrap();
    assert_eq!(bytes, postcard::to_allocvec(&("ann", vec![1_u8, 2, 3], 5_u64)).unwrap());
    let mut args = Args::of(&bytes);
    let name: &str = args.next().unwrap();
    let block: &[u8] = args.next().unwrap();
    assert_eq!((name, block, args.last()), ("ann", &[1_u8, 2, 3][..], Ok(5_u64)));
    assert!(bytes.as_ptr_range().contains(&name.as_ptr()), "borrowed, not copied");
}

#[test]
fn what_is_left_over_is_refused() {
    assert_eq!(Args::of(&[1, 2]).last::<u8>(), Err(Bad));
    assert_eq!(Args::of(&[0]).end(), Err(Bad));
    assert_eq!(Args::of(&[]).next::<u8>(), Err(Bad));
}

/// A value of every form that serde knows.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything<'a> {
    #[serde(borrow)]
    name: &'a str,
    unit: (),
    option: Option<Box<Self>>,
    list: Vec<Choice>,
    map: BTreeMap<String, (i8, f64)>,
    newtype: Wrapped,
    large: u128,
    letter: char,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(i64);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Nothing,
    One(u8),
    Two(bool, String),
    Named { left: [u16; 2] },
}

fn everything(option: Option<Box<Everything<'static>>>) -> Everything<'static> {
    Everything {
        name: "all",
        unit: (),
        option,
        list: vec![
            Choice::Nothing,
            Choice::One(1),
            Choice::Two(true, "x".to_owned()),
            Choice::Named { left: [1, 300] },
        ],
        map: BTreeMap::from([("key".to_owned(), (-1, 0.5))]),
        newtype: Wrapped(-70_000),
        large: u128::MAX,
        letter: 'ß',
    }
}

#[test]
fn every_form_of_value_is_decoded_as_postcard_would() {
    let value = everything(Some(Box::new(everything(None))));
    let bytes = postcard::to_allocvec(&value).unwrap();
    assert_eq!(Args::of(&bytes).last::<Everything<'_>>(), Ok(value));
    for end in 0..bytes.len() {
        let cut = &bytes[..end];
        assert!(Args::of(cut).last::<Everything<'_>>().is_err(), "cut at {end}");
    }
}

#[test]
fn a_message_makes_no_more_items_than_it_has_bytes_and_a_few() {
    let units = postcard::to_allocvec(&vec![(); EMPTY_ITEMS_MAX]).unwrap();
    assert!(Args::of(&units).last::<Vec<()>>().is_ok());
    let bomb = postcard::to_allocvec(&vec![(); EMPTY_ITEMS_MAX + 10]).unwrap();
    assert_eq!(Args::of(&bomb).last::<Vec<()>>(), Err(Bad));
    let for_ever = postcard::to_allocvec(&u64::MAX).unwrap();
    assert_eq!(Args::of(&for_ever).last::<Vec<()>>(), Err(Bad));
    assert_eq!(Args::of(&for_ever).last::<HashMap<(), ()>>(), Err(Bad));
}

#[test]
fn all_arguments_share_one_budget() {
    let half = postcard::to_allocvec(&vec![(); EMPTY_ITEMS_MAX / 2 + 10]).unwrap();
    let bytes = [half.clone(), half].concat();
    let mut args = Args::of(&bytes);
    assert!(args.next::<Vec<()>>().is_ok());
    assert_eq!(args.last::<Vec<()>>(), Err(Bad));
}

#[derive(Debug, Serialize, Deserialize)]
struct Chain {
    next: Option<Box<Self>>,
}

#[test]
fn values_nested_too_deep_are_refused_before_the_stack_is_gone() {
    let length = |chain: Chain| {
        let (mut at, mut count) = (&chain, 1);
        while let Some(next) = &at.next {
            (at, count) = (next, count + 1);
        }
        count
    };
    let mut bytes = vec![1_u8; usize::from(NESTED_LEVELS_MAX) / 2 - 1];
    bytes.push(0);
    let chain = Args::of(&bytes).last::<Chain>().unwrap();
    assert_eq!(length(chain), usize::from(NESTED_LEVELS_MAX) / 2);
    let mut bytes = vec![1_u8; 1_000_000];
    bytes.push(0);
    assert!(Args::of(&bytes).last::<Chain>().is_err());
}
