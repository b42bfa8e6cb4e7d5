//! The taxonomy as a table: every kind, in the simulator and over UDP, with its certainty.
//!
//! The tests are made from the runtime's own list of kinds. A new kind without a function of its
//! name in `cells`, which says how it is reached, does not compile.

use std::collections::BTreeSet;

use rpc_runtime::ErrorKind;

use super::kinds::{everywhere, labels};

/// For each kind a function that gives the ways to reach it.
mod cells {
    pub(super) use crate::durable::*;
    pub(super) use crate::kinds::*;
    pub(super) use crate::peers::*;
}

macro_rules! reached {
    ($($kind:ident $name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                everywhere(ErrorKind::$kind, &cells::$name());
            }
        )*

        #[test]
        fn each_text_is_held_by_one_cell() {
            let cells = [$(cells::$name()),*];
            let held: Vec<_> = cells.iter().flatten().map(|cell| cell.label).collect();
            let once: BTreeSet<_> = held.iter().copied().collect();
            assert_eq!(once.len(), held.len(), "a label twice");
            assert!(once.into_iter().eq(labels()), "texts.txt holds others");
        }
    };
}

rpc_runtime::__every_error_kind!(reached);
