//! Remote procedure calls whose errors say whether the call ran.

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
pub mod context;
pub mod orphans;
pub mod scheme;
mod exit;
pub mod store;
pub mod client;
pub mod server;
pub mod binder;
#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use binder::Binder;
pub use client::journal::Journal;
pub use client::{Call, Channel, Extermination, Options, RecordedCall, Resolution};
pub use context::{CallContext, current};
pub use error::{
    CallError, CallReport, Error, ErrorClass, ErrorKind, ErrorRecord, Evidence, Execution, Result,
    ResultExt,
};
pub use exit::Exit;
pub use ids::CallId;
pub use interface::{Interface, Method};
pub use marshal::{Marshal, Param};
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
