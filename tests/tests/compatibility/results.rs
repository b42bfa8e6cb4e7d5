//! Results and errors of another type.

use std::collections::{BTreeSet, VecDeque};

use crate::side::{CallError, Change, Clerk, Deserialize, Serialize, plain, service};

pub(crate) const CHANGES: &[Change] = &[
    Change::new("the result's type: `u32` becomes `u64`", number::old::SIDE, number::new::SIDE)
        .breaks(&["the result is u64 ", "the result is u32 "]),
    Change::new(
        "a method returns something: `()` becomes `u32`",
        nothing::old::SIDE,
        nothing::new::SIDE,
    )
    .breaks(&["the result is u32 ", "the result is () "]),
    Change::new(
        "the result may be missing: `u32` becomes `Option<u32>`",
        option::old::SIDE,
        option::new::SIDE,
    )
    .breaks(&["the result is option u32 ", "the result is u32 "]),
    Change::new("a collection: `Vec<u32>` becomes `BTreeSet<u32>`", set::old::SIDE, set::new::SIDE),
    Change::new(
        "a collection: `Vec<u32>` becomes `VecDeque<u32>`",
        set::old::SIDE,
        set::queue::SIDE,
    ),
    Change::new("a box around: `u32` becomes `Box<u32>`", boxed::old::SIDE, boxed::new::SIDE),
    Change::new("a method gets an error of its own", errors::none::SIDE, errors::one::SIDE)
        .breaks(&["the error is one ", "the error is none "]),
    Change::new("the error enum gains a variant", errors::one::SIDE, errors::more::SIDE)
        .breaks(&["error::Closed is "]),
    Change::new("a variant of the error gains a field", errors::one::SIDE, errors::wider::SIDE)
        .breaks(&["error::SoldOut is "]),
];

pub(crate) mod number {
    use super::*;
    side!(old "1.0": fn count() -> (u32) { 1 }, count());
    side!(new "1.1": fn count() -> (u64) { 1 }, count());
}

pub(crate) mod nothing {
    use super::*;
    side!(old "1.0": fn buy() -> (()) { }, buy());
    side!(new "1.1": fn buy() -> (u32) { 1 }, buy());
}

pub(crate) mod option {
    use super::*;
    side!(old "1.0": fn count() -> (u32) { 1 }, count());
    side!(new "1.1": fn count() -> (Option<u32>) { Some(1) }, count());
}

pub(crate) mod set {
    use super::*;
    side!(old "1.0": fn items() -> (Vec<u32>) { vec![1, 2] }, items());
    side!(new "1.1": fn items() -> (BTreeSet<u32>) { [1, 2].into() }, items());
    side!(queue "1.1": fn items() -> (VecDeque<u32>) { [1, 2].into() }, items());
}

pub(crate) mod boxed {
    use super::*;
    side!(old "1.0": fn count() -> (u32) { 1 }, count());
    side!(new "1.1": fn count() -> (Box<u32>) { Box::new(1) }, count());
}

pub(crate) mod errors {
    use super::*;

    side!(none "1.0": fn buy() -> (()) { }, buy());

    /// A method with an error of its own.
    macro_rules! failing {
        ($side:ident $version:tt: $($variants:tt)*) => {
            pub(crate) mod $side {
                use super::*;

                #[derive(Debug, Serialize, Deserialize)]
                pub(crate) enum Refusal {
                    $($variants)*
                }

                #[service(name = "shop", version = $version)]
                pub(crate) trait Shop {
                    fn buy(&self) -> rpc_runtime::Result<(), Refusal>;
                }

                impl Shop for Clerk {
                    fn buy(&self) -> rpc_runtime::Result<(), Refusal> {
                        self.did(())
                    }
                }

                this_side!(|shop| plain(shop.buy()));
            }
        };
    }

    failing!(one "1.0": SoldOut);
    failing!(more "1.1": SoldOut, Closed { until: u32 });
    failing!(wider "1.1": SoldOut { until: u32 });
}
