//! The word of the semantics, which both sides must agree on, and attributes that each side has for
//! itself.

use crate::side::{CallError, Change, Clerk, Direct, Import, service};

pub(crate) const CHANGES: &[Change] = &[
    Change::new(
        "the semantics: `at_most_once` becomes `at_least_once`",
        plain::SIDE,
        repeatable::SIDE,
    )
    .breaks(&["the semantics is at_least_once ", "the semantics is at_most_once "]),
    Change::new("the semantics is written out: `#[rpc(at_most_once)]`", plain::SIDE, written::SIDE),
    Change::new("the semantics: `at_most_once` becomes `maybe`", answered::SIDE, unanswered::SIDE)
        .breaks(&["the semantics is maybe ", "the semantics is at_most_once "])
        .new_client((Direct::Silent, Import::Mismatch)),
    Change::new("`timeout`", plain::SIDE, patient::SIDE),
    Change::new("`hedge`", least::SIDE, hedged::SIDE),
    Change::new("`inline` becomes `worker`", inline::SIDE, worker::SIDE),
    Change::new("`#[rpc(key)]` on a parameter", plain::SIDE, keyed::SIDE),
    Change::new("`orphan` and `expires`", plain::SIDE, orphaned::SIDE),
    Change::new("`no_cancel`", plain::SIDE, stubborn::SIDE),
    Change::new("`ack`", plain::SIDE, waiting::SIDE),
    Change::new("a handler becomes an `async fn`", plain::SIDE, awaited::SIDE),
];

side!(plain "1.0": fn buy(item: u32) -> (u32) { item }, buy(1));
side!(repeatable "1.1": #[rpc(at_least_once)] fn buy(item: u32) -> (u32) { item }, buy(1));
side!(written "1.1": #[rpc(at_most_once)] fn buy(item: u32) -> (u32) { item }, buy(1));
side!(patient "1.1": #[rpc(timeout = "30s")] fn buy(item: u32) -> (u32) { item }, buy(1));
side!(least "1.0": #[rpc(at_least_once)] fn look(item: u32) -> (u32) { item }, look(1));
side!(hedged "1.1":
    #[rpc(at_least_once, hedge = "9s")] fn look(item: u32) -> (u32) { item }, look(1));
side!(inline "1.0": #[rpc(inline)] fn buy(item: u32) -> (u32) { item }, buy(1));
side!(worker "1.1": #[rpc(worker)] fn buy(item: u32) -> (u32) { item }, buy(1));
side!(orphaned "1.1":
    #[rpc(orphan = "expire", expires = "9s")] fn buy(item: u32) -> (u32) { item }, buy(1));
side!(stubborn "1.1": #[rpc(no_cancel)] fn buy(item: u32) -> (u32) { item }, buy(1));
side!(waiting "1.1":
    #[rpc(ack = "stop_and_wait")] fn buy(item: u32) -> (u32) { item }, buy(1));

pub(crate) mod keyed {
    use super::*;

    #[service(name = "shop", version = "1.1")]
    pub(crate) trait Shop {
        fn buy(&self, #[rpc(key)] item: u32) -> Result<u32, CallError>;
    }

    impl Shop for Clerk {
        fn buy(&self, item: u32) -> Result<u32, CallError> {
            self.did(item)
        }
    }

    this_side!(|shop| shop.buy(1).map(drop));
}

pub(crate) mod awaited {
    use super::*;

    #[service(name = "shop", version = "1.1")]
    pub(crate) trait Shop {
        async fn buy(&self, item: u32) -> Result<u32, CallError>;
    }

    impl Shop for Clerk {
        async fn buy(&self, item: u32) -> Result<u32, CallError> {
            self.did(item)
        }
    }

    this_side!(|shop| shop.start().buy(1).wait().map(drop));
}

pub(crate) mod answered {
    use super::*;

    #[service(name = "shop", version = "1.0")]
    pub(crate) trait Shop {
        fn note(&self, line: &str) -> Result<(), CallError>;
        fn wait(&self) -> Result<(), CallError>;
    }

    impl Shop for Clerk {
        fn note(&self, _line: &str) -> Result<(), CallError> {
            self.did(())
        }

        fn wait(&self) -> Result<(), CallError> {
            Ok(())
        }
    }

    this_side!(|shop| shop.note("paid"));
}

pub(crate) mod unanswered {
    use super::*;

    #[service(name = "shop", version = "1.1")]
    pub(crate) trait Shop {
        #[rpc(maybe)]
        fn note(&self, line: &str);
        fn wait(&self) -> Result<(), CallError>;
    }

    impl Shop for Clerk {
        fn note(&self, _line: &str) {
            self.did::<_, CallError>(()).unwrap_or(());
        }

        fn wait(&self) -> Result<(), CallError> {
            Ok(())
        }
    }

    // What was noted has been looked at when the call behind it is answered.
    this_side!(|shop| {
        shop.note("paid");
        shop.wait()
    });
}
