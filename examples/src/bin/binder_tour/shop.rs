//! The service of the tour: a shop, in two versions that are live side by side.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rpc_runtime::CallError;

/// As it was.
pub(crate) mod first {
    use rpc_runtime::{CallError, service};

    #[service(name = "shop", version = "1.0")]
    pub(crate) trait Shop {
        /// Looks something up, which takes a while; gives the server's number. Asking twice does no harm.
        #[rpc(at_least_once, timeout = "5s")]
        fn price(&self, item: u64) -> Result<u32, CallError>;

        /// Sells, at most once, which takes as long; gives the server's number.
        #[rpc(timeout = "2s")]
        fn sell(&self, order: u64) -> Result<u32, CallError>;

        /// The server's number, at once.
        #[rpc(at_least_once, inline)]
        fn who(&self) -> Result<u32, CallError>;

        /// From now on everything takes so long here.
        #[rpc(at_least_once)]
        fn slow_down(&self, takes_us: u64) -> Result<(), CallError>;
    }
}

/// As it is: a method more, all others as they were.
pub(crate) mod second {
    use rpc_runtime::{CallError, service};

    #[service(name = "shop", version = "1.1")]
    pub(crate) trait Shop {
        #[rpc(at_least_once, timeout = "5s")]
        fn price(&self, item: u64) -> Result<u32, CallError>;
        #[rpc(timeout = "2s")]
        fn sell(&self, order: u64) -> Result<u32, CallError>;
        #[rpc(at_least_once, inline)]
        fn who(&self) -> Result<u32, CallError>;
        #[rpc(at_least_once)]
        fn slow_down(&self, takes_us: u64) -> Result<(), CallError>;

        /// How many were sold here.
        #[rpc(at_least_once)]
        fn sold(&self) -> Result<u64, CallError>;
    }
}

/// How long a call takes at a server that is well, in microseconds.
pub(crate) const TAKES_US: u64 = 2_000;

/// Keeps a shop of either version.
#[derive(Clone, Debug)]
pub(crate) struct Keeper(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    number: u32,
    takes_us: AtomicU64,
    sold: AtomicU64,
    ledger: File,
}

impl Keeper {
    /// Shop `number`, which writes its sales to the file at `ledger`, a line each.
    pub(crate) fn open(number: u32, ledger: &Path) -> io::Result<Self> {
        let ledger = OpenOptions::new().create(true).append(true).open(ledger)?;
        let (takes_us, sold) = (AtomicU64::new(TAKES_US), AtomicU64::new(0));
        Ok(Self(Arc::new(Inside { number, takes_us, sold, ledger })))
    }

    #[expect(clippy::disallowed_methods, reason = "work takes real time")]
    fn work(&self) -> u32 {
        std::thread::sleep(Duration::from_micros(self.0.takes_us.load(Ordering::Relaxed)));
        self.0.number
    }

    /// Sells: the ledger has the order before anybody is told, and keeps it when the process is killed.
    fn make_sale(&self, order: u64) -> Result<u32, CallError> {
        let line = format!("{order}\n");
        let written = (&self.0.ledger).write_all(line.as_bytes());
        written.map_err(|error| CallError::failed(format!("the ledger: {error}")))?;
        self.0.sold.fetch_add(1, Ordering::Relaxed);
        Ok(self.work())
    }
}

/// Both versions of the shop are kept alike.
macro_rules! keep {
    ($version:ident { $($more:tt)* }) => {
        impl $version::Shop for Keeper {
            fn price(&self, _item: u64) -> Result<u32, CallError> {
                Ok(self.work())
            }

            fn sell(&self, order: u64) -> Result<u32, CallError> {
                self.make_sale(order)
            }

            fn who(&self) -> Result<u32, CallError> {
                Ok(self.0.number)
            }

            fn slow_down(&self, takes_us: u64) -> Result<(), CallError> {
                self.0.takes_us.store(takes_us, Ordering::Relaxed);
                Ok(())
            }

            $($more)*
        }
    };
}

keep!(first {});
keep!(second {
    fn sold(&self) -> Result<u64, CallError> {
        Ok(self.0.sold.load(Ordering::Relaxed))
    }
});
