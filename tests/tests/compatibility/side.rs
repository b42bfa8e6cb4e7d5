//! The two sides of a change, and what is expected of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rpc_runtime::binder::VersionRequirement;
pub(crate) use rpc_runtime::{
    CallError, Channel, Error, Interface, Server, SharedBytes, Stub, service,
};
pub(crate) use serde::{Deserialize, Serialize};

/// An interface as it was before a change, or as it is after it.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    pub(crate) interface: fn() -> &'static Interface,
    /// Has a server export it.
    pub(crate) serve: fn(Server, &Clerk) -> Server,
    /// Calls the method that the change is about, or one that uses what it is about.
    pub(crate) call: fn(&Channel) -> Result<(), CallError>,
    /// The versions that its clients ask for; as they do by default where nothing is said.
    pub(crate) asks: Option<&'static str>,
}

impl Side {
    pub(crate) fn version(&self) -> (u16, u16) {
        (self.interface)().version()
    }

    pub(crate) fn major(&self) -> u16 {
        self.version().0
    }

    pub(crate) fn requirement(&self) -> VersionRequirement {
        let by_default = || VersionRequirement::major(self.major());
        self.asks.map_or_else(by_default, |text| text.parse().unwrap())
    }
}

/// Serves every side, and counts.
#[derive(Clone, Default)]
pub(crate) struct Clerk(Arc<AtomicU32>);

impl Clerk {
    /// The handler has run.
    pub(crate) fn did<T, E>(&self, value: T) -> Result<T, E> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(value)
    }

    pub(crate) fn ran(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What became of a call by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direct {
    Works,
    /// Refused: the server has no such method.
    Unknown,
    /// Refused: the server has it in another form.
    Changed,
    /// A `maybe` call: it did not run, and nobody was told.
    Silent,
}

/// What an import gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Import {
    Found,
    /// A server of this name and version is there, and its interface does not do.
    Mismatch,
    /// None is.
    NoServer,
}

type Client = (Direct, Import);

const FINE: Client = (Direct::Works, Import::Found);
pub(crate) const UNKNOWN: Client = (Direct::Unknown, Import::Mismatch);
pub(crate) const CHANGED: Client = (Direct::Changed, Import::Mismatch);

/// A change, and what it must lead to.
pub(crate) struct Change {
    /// What was changed.
    pub(crate) says: &'static str,
    pub(crate) old: Side,
    pub(crate) new: Side,
    /// An old client at a new server.
    pub(crate) old_client: Client,
    /// A new client at an old server.
    pub(crate) new_client: Client,
    /// Whether a binder admits a new server beside an old one, and an old one beside a new one.
    pub(crate) beside: (bool, bool),
    /// What is in every refusal by the binder, and in every import that fails: one of these.
    pub(crate) words: &'static [&'static str],
}

impl Change {
    /// A change that nobody notices.
    pub(crate) const fn new(says: &'static str, old: Side, new: Side) -> Self {
        let (old_client, new_client) = (FINE, FINE);
        Self { says, old, new, old_client, new_client, beside: (true, true), words: &[] }
    }

    /// A change of a method, which both sides and the binder notice.
    pub(crate) const fn breaks(mut self, words: &'static [&'static str]) -> Self {
        (self.old_client, self.new_client) = (CHANGED, CHANGED);
        self.beside = (false, false);
        self.words = words;
        self
    }

    pub(crate) const fn old_client(mut self, gets: Client) -> Self {
        self.old_client = gets;
        self
    }

    pub(crate) const fn new_client(mut self, gets: Client) -> Self {
        self.new_client = gets;
        self
    }

    pub(crate) const fn refused(mut self, words: &'static [&'static str]) -> Self {
        self.beside = (false, false);
        self.words = words;
        self
    }

    pub(crate) const fn words(mut self, words: &'static [&'static str]) -> Self {
        self.words = words;
        self
    }

    /// Whether both sides have one name.
    pub(crate) fn is_one_service(&self) -> bool {
        (self.old.interface)().name() == (self.new.interface)().name()
    }
}

/// A call of a method with an error of its own, which it does not return here.
pub(crate) fn plain<T, E>(result: rpc_runtime::Result<T, E>) -> Result<(), CallError> {
    match result {
        Ok(_) => Ok(()),
        Err(Error::Call(error)) => Err(error),
        Err(Error::App(_)) => panic!("the clerk never says no"),
    }
}

/// The side of the module in which it stands: its trait is `Shop`, `Clerk` implements it, and this is
/// the call that is made.
macro_rules! this_side {
    (|$shop:ident| $call:expr) => {
        this_side!(None, |$shop| $call);
    };
    (asks $version:literal, |$shop:ident| $call:expr) => {
        this_side!(Some($version), |$shop| $call);
    };
    ($asks:expr, |$shop:ident| $call:expr) => {
        pub(crate) const SIDE: $crate::side::Side = $crate::side::Side {
            interface: <ShopClient as $crate::side::Stub>::interface,
            serve: |server, clerk| server.export(ShopService::new(clerk.clone())),
            call: |channel| {
                let $shop = <ShopClient as $crate::side::Stub>::on(channel);
                $call
            },
            asks: $asks,
        };
    };
}

/// A side with one method, written as that: the module's name, its version, the types that only this
/// side has, the method with its result's type (in brackets, without errors) and its body, and how it is
/// called.
macro_rules! side {
    (
        $side:ident $version:tt: $({ $($items:tt)* })?
        $(#[$($attribute:tt)*])* fn $method:ident($($parameters:tt)*) -> ($($value:tt)*) $body:block,
        $($call:tt)*
    ) => {
        pub(crate) mod $side {
            use super::*;
            $($($items)*)?

            #[service(name = "shop", version = $version)]
            pub(crate) trait Shop {
                $(#[$($attribute)*])*
                fn $method(&self, $($parameters)*) -> Result<$($value)*, CallError>;
            }

            impl Shop for Clerk {
                fn $method(&self, $($parameters)*) -> Result<$($value)*, CallError> {
                    self.did($body)
                }
            }

            this_side!(|shop| shop.$($call)*.map(drop));
        }
    };
}
