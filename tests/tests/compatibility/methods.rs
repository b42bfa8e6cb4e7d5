//! Methods that come, go or are called differently, and what a version says about it.

use crate::side::{CallError, Change, Clerk, Direct, Import, UNKNOWN, service};

pub(crate) const CHANGES: &[Change] = &[
    Change::new("a method is added, and the minor version raised", one::SIDE, added::SIDE)
        .new_client(UNKNOWN)
        .words(&["shop 1.0 lacks the method \"sell\" of this client (shop 1.1)"]),
    Change::new("a method is added, and the version stays", one::SIDE, added_silently::SIDE)
        .new_client(UNKNOWN)
        .refused(&[
            "shop 1.0 has the method \"sell\", which shop 1.0 (live at server 0000000000000001) \
             lacks: raise the minor version",
            "lacks the method \"sell\" of",
        ]),
    Change::new("a method is removed, and the minor version raised", two::SIDE, removed::SIDE)
        .old_client(UNKNOWN)
        .refused(&["lacks the method \"sell\" of", "has the method \"sell\", which shop 1.1"]),
    Change::new("a method is renamed", one::SIDE, renamed::SIDE)
        .old_client(UNKNOWN)
        .new_client(UNKNOWN)
        .refused(&[
            "lacks the method \"buy\" of",
            "lacks the method \"order\" of",
            "has the method \"buy\", which",
        ]),
    Change::new(
        "a method is renamed, `#[rpc(name = \"buy\")]` keeps the old name",
        one::SIDE,
        kept::SIDE,
    ),
    Change::new("the order of methods", two::SIDE, reordered::SIDE),
    Change::new("the trait's name, `name = \"shop\"` stays", one::SIDE, other_trait::SIDE),
    Change::new("the service's name", one::SIDE, other_service::SIDE)
        .old_client((Direct::Unknown, Import::NoServer))
        .new_client((Direct::Unknown, Import::NoServer)),
    Change::new("the minor version alone is raised", one::SIDE, minor::SIDE),
    Change::new(
        "the minor version is raised, and new clients ask for it: `import_version(.., \"1.1\")`",
        one::SIDE,
        minor_asked::SIDE,
    )
    .new_client((Direct::Works, Import::NoServer)),
    Change::new("the major version alone is raised", one::SIDE, major::SIDE)
        .old_client((Direct::Works, Import::NoServer))
        .new_client((Direct::Works, Import::NoServer)),
    Change::new("a parameter's type, and the major version is raised", one::SIDE, next::SIDE)
        .old_client((Direct::Changed, Import::NoServer))
        .new_client((Direct::Changed, Import::NoServer)),
];

side!(one "1.0": fn buy(item: u32) -> (u32) { item }, buy(1));
side!(minor "1.1": fn buy(item: u32) -> (u32) { item }, buy(1));
side!(major "2.0": fn buy(item: u32) -> (u32) { item }, buy(1));
side!(next "2.0": fn buy(item: String) -> (String) { item }, buy("pen".into()));
side!(removed "1.1": fn buy(item: u32) -> (u32) { item }, buy(1));
side!(renamed "1.1": fn order(item: u32) -> (u32) { item }, order(1));
side!(kept "1.1": #[rpc(name = "buy")] fn order(item: u32) -> (u32) { item }, order(1));

/// A trait with two methods, of which the second is called.
macro_rules! two {
    ($side:ident $version:tt: $first:ident, $second:ident) => {
        pub(crate) mod $side {
            use super::{CallError, Clerk, service};

            #[service(name = "shop", version = $version)]
            pub(crate) trait Shop {
                fn $first(&self, item: u32) -> Result<u32, CallError>;
                fn $second(&self, item: u32) -> Result<u32, CallError>;
            }

            impl Shop for Clerk {
                fn $first(&self, item: u32) -> Result<u32, CallError> {
                    self.did(item)
                }

                fn $second(&self, item: u32) -> Result<u32, CallError> {
                    self.did(item)
                }
            }

            this_side!(|shop| shop.sell(1).map(drop));
        }
    };
}

two!(two "1.0": buy, sell);
two!(added "1.1": buy, sell);
two!(added_silently "1.0": buy, sell);
two!(reordered "1.1": sell, buy);

pub(crate) mod other_trait {
    use super::{CallError, Clerk, service};

    #[service(name = "shop", version = "1.1")]
    pub(crate) trait Store {
        fn buy(&self, item: u32) -> Result<u32, CallError>;
    }

    impl Store for Clerk {
        fn buy(&self, item: u32) -> Result<u32, CallError> {
            self.did(item)
        }
    }

    use {StoreClient as ShopClient, StoreService as ShopService};

    this_side!(|shop| shop.buy(1).map(drop));
}

pub(crate) mod other_service {
    use super::{CallError, Clerk, service};

    #[service(name = "shop.of.ann", version = "1.1")]
    pub(crate) trait Shop {
        fn buy(&self, item: u32) -> Result<u32, CallError>;
    }

    impl Shop for Clerk {
        fn buy(&self, item: u32) -> Result<u32, CallError> {
            self.did(item)
        }
    }

    this_side!(|shop| shop.buy(1).map(drop));
}

pub(crate) mod minor_asked {
    use super::{CallError, Clerk, service};

    #[service(name = "shop", version = "1.1")]
    pub(crate) trait Shop {
        fn buy(&self, item: u32) -> Result<u32, CallError>;
    }

    impl Shop for Clerk {
        fn buy(&self, item: u32) -> Result<u32, CallError> {
            self.did(item)
        }
    }

    this_side!(asks "1.1", |shop| shop.buy(1).map(drop));
}
