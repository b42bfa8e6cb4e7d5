//! Parameters that are renamed, added, removed, moved, or of another type.

use crate::side::{
    CallError, Change, Channel, Clerk, Deserialize, Serialize, Server, SharedBytes, service,
};

pub(crate) const CHANGES: &[Change] = &[
    Change::new("a parameter is renamed", named::SIDE, renamed::SIDE),
    Change::new("a parameter is added", named::SIDE, added::SIDE).breaks(&["parameter memo is "]),
    Change::new("a parameter is removed", named::SIDE, removed::SIDE)
        .breaks(&["parameter count is "]),
    Change::new("parameters of different types change places", named::SIDE, reordered::SIDE)
        .breaks(&["is number 1 "]),
    Change::new(
        "parameters of one type change places: nobody sees it, and the call means something else",
        swapped_of_one_type::old::SIDE,
        swapped_of_one_type::new::SIDE,
    ),
    Change::new("its type: `u32` becomes `u64`", number::old::SIDE, number::new::SIDE)
        .breaks(&["parameter count is u64 ", "parameter count is u32 "]),
    Change::new("its type: `u64` becomes `i64`", sign::old::SIDE, sign::new::SIDE)
        .breaks(&["parameter count is i64 ", "parameter count is u64 "]),
    Change::new("its type: `usize` becomes `u64`", size::old::SIDE, size::new::SIDE),
    Change::new("its type: `u32` becomes `Option<u32>`", option::old::SIDE, option::new::SIDE)
        .breaks(&["parameter count is option u32 ", "parameter count is u32 "]),
    Change::new("owned to borrowed: `String` becomes `&str`", text::old::SIDE, text::new::SIDE),
    Change::new("owned to borrowed: `Vec<u32>` becomes `&[u32]`", list::old::SIDE, list::new::SIDE),
    Change::new("owned to borrowed: `Vec<u8>` becomes `&[u8]`", bytes::old::SIDE, bytes::new::SIDE),
    Change::new(
        "borrowed to shared: `&[u8]` becomes `SharedBytes`",
        shared::old::SIDE,
        shared::new::SIDE,
    ),
    Change::new("owned to borrowed: `Order` becomes `&Order`", order::old::SIDE, order::new::SIDE),
    Change::new(
        "it comes back: `&Vec<u32>` becomes `&mut Vec<u32>`",
        back::old::SIDE,
        back::new::SIDE,
    )
    .breaks(&["parameter list is inout [u32] ", "parameter list is [u32] "]),
];

side!(named "1.0": fn buy(item: &str, count: u32) -> (String) { format!("{count} {item}") }, buy("pen", 1));
side!(renamed "1.1": fn buy(what: &str, many: u32) -> (String) { format!("{many} {what}") }, buy("pen", 1));
side!(added "1.1":
    fn buy(item: &str, count: u32, memo: &str) -> (String) { format!("{count} {item} {memo}") },
    buy("pen", 1, "blue"));
side!(removed "1.1": fn buy(item: &str) -> (String) { item.to_owned() }, buy("pen"));
side!(reordered "1.1": fn buy(count: u32, item: &str) -> (String) { format!("{count} {item}") }, buy(1, "pen"));

pub(crate) mod swapped_of_one_type {
    use super::*;

    side!(old "1.0":
        fn send(from: &str, to: &str) -> (String) { format!("from {from} to {to}") },
        send("ann", "bob"));
    side!(new "1.1":
        fn send(to: &str, from: &str) -> (String) { format!("from {from} to {to}") },
        send("bob", "ann"));

    /// What a new server makes of an old client's call from ann to bob.
    pub(crate) fn what_the_new_server_reads() -> String {
        use old::Shop as _;
        let server = Server::bind("mem://compatibility-swapped").unwrap();
        let server = (new::SIDE.serve)(server, &Clerk::default()).spawn().unwrap();
        let channel = Channel::connect(&server.url()).unwrap();
        old::ShopClient::on(&channel).send("ann", "bob").unwrap()
    }
}

pub(crate) mod number {
    use super::*;
    side!(old "1.0": fn buy(count: u32) -> (()) { let _ = count; }, buy(1));
    side!(new "1.1": fn buy(count: u64) -> (()) { let _ = count; }, buy(1));
}

pub(crate) mod sign {
    use super::*;
    side!(old "1.0": fn buy(count: u64) -> (()) { let _ = count; }, buy(1));
    side!(new "1.1": fn buy(count: i64) -> (()) { let _ = count; }, buy(1));
}

pub(crate) mod size {
    use super::*;
    side!(old "1.0": fn buy(count: usize) -> (()) { let _ = count; }, buy(1));
    side!(new "1.1": fn buy(count: u64) -> (()) { let _ = count; }, buy(1));
}

pub(crate) mod option {
    use super::*;
    side!(old "1.0": fn buy(count: u32) -> (()) { let _ = count; }, buy(1));
    side!(new "1.1": fn buy(count: Option<u32>) -> (()) { let _ = count; }, buy(None));
}

pub(crate) mod text {
    use super::*;
    side!(old "1.0": fn buy(item: String) -> (String) { item }, buy("pen".into()));
    side!(new "1.1": fn buy(item: &str) -> (String) { item.to_owned() }, buy("pen"));
}

pub(crate) mod list {
    use super::*;
    side!(old "1.0": fn buy(items: Vec<u32>) -> (usize) { items.len() }, buy(vec![1, 2]));
    side!(new "1.1": fn buy(items: &[u32]) -> (usize) { items.len() }, buy(&[1, 2]));
}

pub(crate) mod bytes {
    use super::*;
    side!(old "1.0": fn print(page: Vec<u8>) -> (usize) { page.len() }, print(vec![1, 2]));
    side!(new "1.1": fn print(page: &[u8]) -> (usize) { page.len() }, print(&[1, 2]));
}

pub(crate) mod shared {
    use super::*;
    side!(old "1.0": fn print(page: &[u8]) -> (usize) { page.len() }, print(&[1, 2]));
    side!(new "1.1":
        fn print(page: SharedBytes<'_>) -> (usize) { page.len() }, print(vec![1, 2].into()));
}

pub(crate) mod order {
    use super::*;

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Order {
        count: u32,
    }

    side!(old "1.0": fn buy(order: Order) -> (u32) { order.count }, buy(Order { count: 1 }));
    side!(new "1.1": fn buy(order: &Order) -> (u32) { order.count }, buy(&Order { count: 1 }));
}

#[expect(clippy::ptr_arg, reason = "what is compared is what somebody wrote")]
pub(crate) mod back {
    use super::*;
    side!(old "1.0": fn sort(list: &Vec<u32>) -> (usize) { list.len() }, sort(&vec![2, 1]));
    side!(new "1.1":
        fn sort(list: &mut Vec<u32>) -> (()) { list.sort_unstable() }, sort(&mut vec![2, 1]));
}
