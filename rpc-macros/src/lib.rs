//! The `#[service]` attribute of `rpc-runtime`: one trait becomes client and server stubs.
//!
//! ```text
//!   tokens ─► parse ─► model ─► validate ─► expand ─► tokens
//!                        │          │          └─ or, after an error, the trait alone
//!                        └──────────┴─► diagnostics: all mistakes at once, each at its token
//! ```
//!
//! Each pass is a function from data to data: no attribute syntax survives `parse`, no `quote!`
//! stands in `validate`. Start reading at `service`. Use the attribute through `rpc_runtime`.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "syn's enums are open: a later syntax is refused"
)]

mod model;
mod diagnostics;
mod parse;
mod signature;
mod validate;
mod expand;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod message_tests;

use proc_macro::TokenStream;

/// Makes client and server stubs of a trait.
///
/// `#[service(name = "bank", version = "1.2")]`; both have defaults: the trait's name in lower case,
/// and "1.0". `crate = "::path"` names a renamed `rpc-runtime`. On methods, `#[rpc(..)]` takes one
/// of `maybe`, `at_least_once`, `at_most_once` (default) and `exactly_once`, and `timeout`, `name`,
/// `inline`, `worker`. The last two say which thread of a server runs the method's handlers: always the
/// one that receives, which must never wait, or always one of the workers; where neither stands, the first
/// as long as they are quick, from which another thread takes over should one last. On an `at_least_once` method also `hedge = "20ms"`: a call that has no answer
/// after that time is made at another server of the channel too, and the first answer counts. `#[rpc(key)]` before a
/// parameter has calls of equal values go to one server, where a channel spreads its calls so (`Balance::Hash`). A method may be an `async fn`, unless one of the trait is `exactly_once`; it
/// becomes `fn .. -> impl Future<Output = ..> + Send` in the trait, and implementations write
/// `async fn`.
#[proc_macro_attribute]
pub fn service(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::service(attribute.into(), item.into()).into()
}

/// Options of a method inside a `#[service]` trait.
#[proc_macro_attribute]
pub fn rpc(_attribute: TokenStream, item: TokenStream) -> TokenStream {
    let message = "#[rpc(..)] belongs on a method of a trait marked #[service]";
    let error = diagnostics::error(proc_macro2::Span::call_site(), message);
    [TokenStream::from(error), item].into_iter().collect()
}
