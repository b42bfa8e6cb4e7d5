//! Types inside of parameters that change.

use crate::side::{CallError, Change, Clerk, Deserialize, Serialize, service};

pub(crate) const CHANGES: &[Change] = &[
    Change::new("a struct gains a field at its end", structs::old::SIDE, structs::at_end::SIDE)
        .breaks(&["parameter order.note is str ", "parameter order.note is missing "]),
    Change::new(
        "a struct gains a field in the middle",
        structs::old::SIDE,
        structs::in_middle::SIDE,
    )
    .breaks(&["parameter order.note is str ", "parameter order.note is missing "]),
    Change::new(
        "a struct gains a field with `#[serde(default)]`",
        structs::old::SIDE,
        structs::with_default::SIDE,
    )
    .breaks(&["parameter order.note is str ", "parameter order.note is missing "]),
    Change::new("a struct loses a field", structs::old::SIDE, structs::fewer::SIDE)
        .breaks(&["parameter order.count is u32 ", "parameter order.count is missing "]),
    Change::new("a field is renamed", structs::old::SIDE, structs::renamed::SIDE)
        .breaks(&["field 2 of parameter order is many ", "field 2 of parameter order is count "]),
    Change::new(
        "a field is renamed, `#[serde(rename = \"count\")]` keeps the old name",
        structs::old::SIDE,
        structs::kept::SIDE,
    ),
    Change::new("fields change places", structs::old::SIDE, structs::reordered::SIDE)
        .breaks(&["parameter order.item is field ", "parameter order.count is field "]),
    Change::new("a field's type deep inside", structs::basket::SIDE, structs::deep::SIDE).breaks(
        &["parameter basket.orders[].count is u64 ", "parameter basket.orders[].count is u32 "],
    ),
    Change::new(
        "a field that is skipped: `#[serde(skip)]`",
        structs::old::SIDE,
        structs::skipped::SIDE,
    ),
    Change::new(
        "a type is renamed, its shape stays",
        structs::old::SIDE,
        structs::other_name::SIDE,
    ),
    Change::new(
        "a newtype around: `u32` becomes `Count(u32)`",
        wraps::plain::SIDE,
        wraps::newtype::SIDE,
    ),
    Change::new("`(u32, u32)` becomes a struct with names", wraps::pair::SIDE, wraps::named::SIDE)
        .breaks(&["parameter count is {from:u32,to:u32} ", "parameter count is [u32;2] "]),
    Change::new(
        "`(u32, String)` becomes a struct without names",
        wraps::couple::SIDE,
        wraps::struct_of_two::SIDE,
    ),
    Change::new(
        "`(u32, u32)`, which is an array to both sides, becomes a struct without names",
        wraps::pair::SIDE,
        wraps::unnamed::SIDE,
    )
    .breaks(&["parameter count is (u32,u32) ", "parameter count is [u32;2] "]),
    Change::new("`(u32, u32)` becomes `[u32; 2]`", wraps::pair::SIDE, wraps::array::SIDE),
    Change::new("an enum gains a variant at its end", enums::old::SIDE, enums::at_end::SIDE)
        .breaks(&["parameter paid::Later is "]),
    Change::new("an enum gains a variant in front", enums::old::SIDE, enums::in_front::SIDE)
        .breaks(&["parameter paid::Later is "]),
    Change::new("an enum loses a variant", enums::old::SIDE, enums::fewer::SIDE)
        .breaks(&["parameter paid::Card is "]),
    Change::new("variants change places", enums::old::SIDE, enums::reordered::SIDE)
        .breaks(&["parameter paid::Card is variant ", "parameter paid::Cash is variant "]),
    Change::new("a variant is renamed", enums::old::SIDE, enums::renamed::SIDE)
        .breaks(&["variant 1 of parameter paid is "]),
    Change::new("what a variant holds", enums::old::SIDE, enums::holds::SIDE)
        .breaks(&["parameter paid::Card.0 is u64 ", "parameter paid::Card.0 is str "]),
];

pub(crate) mod structs {
    use super::*;

    /// A side whose parameter is a struct with these fields.
    macro_rules! of {
        ($side:ident $version:tt: $order:ident { $($fields:tt)* } = $value:expr) => {
            side!($side $version: {
                #[derive(Serialize, Deserialize)]
                pub(crate) struct $order { $($fields)* }
            } fn buy(order: &$order) -> (usize) {
                // Any use of it will do.
                std::mem::size_of_val(order)
            }, buy(&$value));
        };
    }

    of!(old "1.0": Order { item: String, count: u32 } = Order { item: "pen".into(), count: 1 });
    of!(at_end "1.1": Order { item: String, count: u32, note: String }
        = Order { item: "pen".into(), count: 1, note: "blue".into() });
    of!(in_middle "1.1": Order { item: String, note: String, count: u32 }
        = Order { item: "pen".into(), note: "blue".into(), count: 1 });
    of!(with_default "1.1": Order { item: String, count: u32, #[serde(default)] note: String }
        = Order { item: "pen".into(), count: 1, note: "blue".into() });
    of!(fewer "1.1": Order { item: String } = Order { item: "pen".into() });
    of!(renamed "1.1": Order { item: String, many: u32 } = Order { item: "pen".into(), many: 1 });
    of!(kept "1.1": Order { item: String, #[serde(rename = "count")] many: u32 }
        = Order { item: "pen".into(), many: 1 });
    of!(reordered "1.1": Order { count: u32, item: String } = Order { item: "pen".into(), count: 1 });
    of!(skipped "1.1": Order { item: String, count: u32, #[serde(skip)]
        #[expect(dead_code, reason = "it does not travel")] price: Option<u32> }
        = Order { item: "pen".into(), count: 1, price: None });
    of!(other_name "1.1": Purchase { item: String, count: u32 }
        = Purchase { item: "pen".into(), count: 1 });

    side!(basket "1.0": {
        #[derive(Serialize, Deserialize)]
        pub(crate) struct Order { count: u32 }
        #[derive(Serialize, Deserialize)]
        pub(crate) struct Basket { orders: Vec<Order> }
    } fn buy(basket: &Basket) -> (usize) { basket.orders.len() },
    buy(&Basket { orders: vec![Order { count: 1 }] }));
    side!(deep "1.1": {
        #[derive(Serialize, Deserialize)]
        pub(crate) struct Order { count: u64 }
        #[derive(Serialize, Deserialize)]
        pub(crate) struct Basket { orders: Vec<Order> }
    } fn buy(basket: &Basket) -> (usize) { basket.orders.len() },
    buy(&Basket { orders: vec![Order { count: 1 }] }));
}

pub(crate) mod wraps {
    use super::*;

    side!(plain "1.0": fn buy(count: u32) -> (u32) { count }, buy(1));
    side!(newtype "1.1": {
        #[derive(Serialize, Deserialize)]
        pub(crate) struct Count(u32);
    } fn buy(count: Count) -> (u32) { count.0 }, buy(Count(1)));

    side!(pair "1.0": fn buy(count: (u32, u32)) -> (u32) { count.0 }, buy((1, 2)));
    side!(named "1.1": {
        #[derive(Serialize, Deserialize)]
        pub(crate) struct Range { from: u32, to: u32 }
    } fn buy(count: Range) -> (u32) { count.from }, buy(Range { from: 1, to: 2 }));
    side!(unnamed "1.1": {
        #[derive(Serialize, Deserialize)]
        pub(crate) struct Range(u32, u32);
    } fn buy(count: Range) -> (u32) { count.0 }, buy(Range(1, 2)));
    side!(couple "1.0": fn buy(order: (u32, String)) -> (u32) { order.0 }, buy((1, "pen".into())));
    side!(struct_of_two "1.1": {
        #[derive(Serialize, Deserialize)]
        pub(crate) struct Order(u32, String);
    } fn buy(order: Order) -> (u32) { order.0 }, buy(Order(1, "pen".into())));
    side!(array "1.1": fn buy(count: [u32; 2]) -> (u32) { count[0] }, buy([1, 2]));
}

pub(crate) mod enums {
    use super::*;

    /// A side whose parameter is an enum with these variants.
    macro_rules! of {
        ($side:ident $version:tt: { $($variants:tt)* } = $value:expr) => {
            side!($side $version: {
                #[derive(Serialize, Deserialize)]
                pub(crate) enum Paid { $($variants)* }
            } fn buy(paid: &Paid) -> (usize) { std::mem::size_of_val(paid) }, buy(&$value));
        };
    }

    of!(old "1.0": { Cash, Card(String) } = Paid::Cash);
    of!(at_end "1.1": { Cash, Card(String), Later } = Paid::Cash);
    of!(in_front "1.1": { Later, Cash, Card(String) } = Paid::Cash);
    of!(fewer "1.1": { Cash } = Paid::Cash);
    of!(reordered "1.1": { Card(String), Cash } = Paid::Cash);
    of!(renamed "1.1": { Coins, Card(String) } = Paid::Coins);
    of!(holds "1.1": { Cash, Card(u64) } = Paid::Cash);
}
