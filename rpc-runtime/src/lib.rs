//! Remote procedure calls whose errors say whether the call ran.
//!
//! [`service`] makes stubs of a trait, [`Server`] serves it, [`Channel`] and [`Binder`] lead to it. What
//! follows is what happens when something fails, with defaults and limits.
//!
//! # Did it run?
//!
//! A [`CallError`] answers that first: [`Execution`] is `NotExecuted` (a proof), `Executed` or `Unknown`;
//! [`ErrorKind`] says why. Every call ends by its deadline: 10 s, or the method's `timeout = ".."`, or
//! [`Options::timeout`]; calls made while serving one inherit what is left of it.
//!
//! ```
//! # use rpc_runtime::{CallError, Execution, Options, Server, service};
//! # #[service] trait Bank { fn pay(&self, cents: u64) -> Result<u64, CallError>; }
//! # let bank = BankClient::connect("udp://127.0.0.1:9")?;
//! # let bank = bank.with(Options::new().timeout(std::time::Duration::from_millis(30)));
//! match bank.pay(5) {
//!     Ok(left) => println!("{left} left"),
//!     Err(e) if e.is_safe_to_retry() => println!("try again: {e}"),
//!     Err(e) => println!("{:?}: {:?}", e.execution(), bank.resolve(e.call())),
//! }
//! # Ok::<(), CallError>(())
//! ```
//!
//! # Retries
//!
//! A call that certainly did not run is made again by itself, an `at_least_once` call also where it
//! may have run and its server is lost. Always inside its deadline; not before the server's push-back is
//! over, nor sooner than 20 ms, doubled each time up to 1 s, and up to half as much more by chance; and
//! inside the server's budget: a tenth of all calls to it, and a reserve of ten that fills by one a
//! second. What cannot be made again fails as its last attempt did, and is `Unknown` if one of them was.
//!
//! ```
//! # use rpc_runtime::Options;
//! let once = Options::new().retry(false); // `bank.with(once)`: neither made again nor hedged
//! ```
//!
//! # Failover
//!
//! A stub that was imported by name knows several servers. Calls that did not run go to another one
//! when theirs is silent, drains, is full or was replaced; none that may have run does, unless it is
//! `at_least_once`. Where there is none left: [`ErrorKind::NoServer`], not executed.
//!
//! ```no_run
//! # use rpc_runtime::{Binder, CallError, service};
//! # #[service] trait Bank { fn pay(&self, cents: u64) -> Result<u64, CallError>; }
//! let bank = BankClient::import(&Binder::at("udp://127.0.0.1:7000")?)?;
//! # Ok::<(), CallError>(())
//! ```
//!
//! # Hedging
//!
//! For `at_least_once` methods on such a stub: without an answer after that time, the call is made at one
//! more server, within that server's budget; the first answer counts, the other attempt is cancelled.
//! Both may run it. [`client::ChannelStats`] counts what was made, won, denied and called off.
//!
//! ```
//! # use rpc_runtime::{CallError, service};
//! #[service]
//! trait Shop {
//!     #[rpc(at_least_once, hedge = "20ms")]
//!     fn price(&self, article: &str) -> Result<u64, CallError>;
//! }
//! ```
//!
//! # Circuit breaking
//!
//! A server that left five calls in a row unanswered, for a second or more, or refused them for want of
//! room, for five seconds or more, is left alone: half a second, doubled up to ten, and up to half as
//! much more by chance. Calls go elsewhere, or fail at once as [`ErrorKind::LeftAlone`], not executed,
//! with the time that is left. Then one call asks for all; any success ends it.
//!
//! ```
//! # use rpc_runtime::Options;
//! let regardless = Options::new().circuit_breaker(false);
//! ```
//!
//! # Exactly once, over crashes of the server
//!
//! Effect and reply are one transaction of a store: `redb` (feature `durable`), PostgreSQL
//! (feature `postgres`), or one on a simulated disk (feature `sim`); see [`store`]. A store that cannot
//! be opened, is in use or of another version says so at the start. While one fails or its disk is
//! full, calls wait until their deadlines and are `Unknown` then, and a client that only comes is
//! refused as [`ErrorKind::Overloaded`]; `resolve` tells in any later life of the server. What a client left behind is
//! kept for 30 days ([`protocol::Limits::retention`]); what is in doubt then stays so, as
//! [`ErrorKind::GenerationEnded`]. Arguments take up to 16 MiB, replies up to 64 KiB
//! ([`protocol::Limits::reply_bytes_durable_max`]).
//!
//! ```
//! # #[cfg(feature = "sim")] {
//! # use std::cell::RefCell;
//! # use rpc_runtime::{CallError, Server, service, store::{Durable, memory::{MemoryStore, MemoryTx}}};
//! # #[service] trait Till { #[rpc(exactly_once)] fn pay(&self, cents: u8) -> Result<u8, CallError>; }
//! # struct Open<'t>(RefCell<&'t mut MemoryTx>);
//! # impl Till for Open<'_> {
//! #     fn pay(&self, cents: u8) -> Result<u8, CallError> {
//! #         let mut tx = self.0.borrow_mut();
//! #         let sum = cents + tx.get(b"sum").unwrap().map_or(0, |row| row[0]);
//! #         tx.put(b"sum", &[sum]);
//! #         Ok(sum)
//! #     }
//! # }
//! let store = Durable::start(MemoryStore::new())?; // or Redb::open("till")?
//! let till = TillService::durable(&store, |tx, call| call.on(&Open(RefCell::new(tx))));
//! let server = Server::bind("udp://127.0.0.1:0")?.export(till).spawn()?;
//! assert_eq!(TillClient::connect(&server.url())?.pay(5)?, 5);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Exactly once, over crashes of the client too
//!
//! With a journal each such call is on the client's disk before it is sent, and its end before that is
//! told. One process at a time; two clients with copies of one journal are told
//! [`ErrorKind::IdentityInUse`]. A call that cannot be recorded is not made:
//! [`ErrorKind::JournalFailed`], not executed; or unknown, if it is perhaps in the file. It holds 65,536 calls without an end, and the last 1,024
//! with one. See [`Channel::journal`].
//!
//! ```no_run
//! # use rpc_runtime::{CallError, Channel};
//! let channel = Channel::connect("udp://127.0.0.1:7001")?.journal("till.journal")?;
//! for call in channel.unfinished() {
//!     println!("{}: {:?}", call.method(), channel.resolve(call.id())?);
//! }
//! # Ok::<(), CallError>(())
//! ```

// Generated code, the binder's own among it, names this crate from outside.
extern crate self as rpc_runtime;

pub mod ids;
pub mod time;
pub mod random;
pub mod address;
pub mod semantics;
pub mod error;
pub mod wire;
pub mod hash;
pub mod protocol;
pub mod fault;
pub mod driver;
pub mod probe;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "reactor")]
pub mod reactor;
pub mod interface;
mod marshal;
pub mod shape;
mod outcome;
mod service;
mod refusal;
pub mod trace;
pub mod context;
pub mod orphans;
pub mod scheme;
mod exit;
pub mod store;
pub mod client;
pub mod server;
pub mod binder;
pub mod metrics;
#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use binder::Binder;
pub use client::journal::Journal;
pub use client::{Balance, Call, Channel, Cork, Extermination, Options, RecordedCall, Resolution};
pub use context::{CallContext, current};
pub use error::{
    CallError, CallReport, Error, ErrorClass, ErrorKind, ErrorRecord, Evidence, Execution, Result,
    ResultExt,
};
pub use exit::Exit;
pub use ids::CallId;
pub use interface::{Interface, Method};
pub use marshal::{Marshal, Param, SharedBytes};
pub use outcome::{DecodeError, Outcome};
pub use rpc_macros::rpc;
/// # Async methods
///
/// A method may be an `async fn`, beside others that block. Servers write `async fn` too; they need
/// no async runtime, because the server's workers poll what waits, and thousands of handlers that
/// wait occupy none of them. Parameters may borrow, and do so for as long as the handler lives.
///
/// ```
/// use rpc_runtime::{CallError, Server, service};
///
/// #[service]
/// trait Rates {
///     fn rate(&self, currency: &str) -> Result<u64, CallError>;
/// }
///
/// #[service]
/// trait Shop {
///     async fn price(&self, article: &str, currency: &str) -> Result<String, CallError>;
/// }
///
/// struct Fixed;
///
/// impl Rates for Fixed {
///     fn rate(&self, _currency: &str) -> Result<u64, CallError> {
///         Ok(3)
///     }
/// }
///
/// struct Corner {
///     rates: RatesClient,
/// }
///
/// impl Shop for Corner {
///     async fn price(&self, article: &str, currency: &str) -> Result<String, CallError> {
///         let rate = self.rates.start().rate(currency).await?; // no worker waits for this
///         Ok(format!("{article} at {} {currency}", 7 * rate))
///     }
/// }
///
/// let rates = Server::bind("udp://127.0.0.1:0")?.export(RatesService::new(Fixed)).spawn()?;
/// let corner = Corner { rates: RatesClient::connect(&rates.url())? };
/// let server = Server::bind("udp://127.0.0.1:0")?.export(ShopService::new(corner)).spawn()?;
///
/// let shop = ShopClient::connect(&server.url())?;
/// let price = async { shop.price("tea", "crowns").await }; // in any executor
/// # drop(price);
/// let price = shop.start().price("tea", "crowns").wait()?; // or without one
/// assert_eq!(price, "tea at 21 crowns");
/// # Ok::<(), CallError>(())
/// ```
///
/// - Whether a method is async is no part of the interface: a client of either kind calls a server
///   of either kind. It decides what the plain call does; `start()` gives a [`Call`] in any case,
///   with `wait()` and `.await`.
/// - The client's future sends the call when it is first polled. Dropping it cancels the call.
/// - A call that is cancelled, by its caller or at its deadline, drops the handler's future where it
///   waits: destructors run, nested calls are cancelled in turn. [`current`] is the call in every
///   poll and while the future is dropped.
/// - In-out parameters (`&mut T`) change when the call has ended, and not at all if its future is
///   dropped before: a handler that is called off changes nothing at its caller's.
/// - A server holds as many handlers that wait as [`Limits::calls_running_max`] says; what comes on
///   top is refused, and did not run.
/// - Futures must be `Send`. A handler that computes for long, or blocks, keeps its worker as long.
/// - A trait with an `exactly_once` method has no async ones: all its calls run in transactions, which
///   do not outlive the handler's thread. Callers can overlap such calls with `start()`.
/// - A trait with an async method is not dyn-compatible: write `&impl Shop` where `&dyn Shop` would
///   stand.
///
/// [`Limits::calls_running_max`]: protocol::Limits::calls_running_max
pub use rpc_macros::service;
pub use semantics::Semantics;
pub use server::Server;
pub use service::{Done, Service, Stub};
pub use trace::TraceContext;
