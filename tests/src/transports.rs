//! The transports of sockets, for tests that are held over each of them: a scheme of each, and places
//! that nobody else has.

use std::sync::atomic::{AtomicU64, Ordering};

use rpc_runtime::address::Address;
use rpc_runtime::driver::Link;

/// The schemes of all transports between real endpoints.
pub const SCHEMES: [&str; 5] = ["udp", "tcp", "unix", "shm", "mem"];

/// A URL to serve at that is free.
#[must_use]
pub fn fresh(scheme: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    match scheme {
        "unix" | "shm" => {
            let folder = std::env::temp_dir();
            format!("{scheme}://{}/rpc-{process}-{number}", folder.display())
        }
        "mem" => format!("mem://place-{number}"),
        _ => format!("{scheme}://127.0.0.1:0"),
    }
}

/// A URL of the same transport at which nobody is.
#[must_use]
pub fn deserted(url: &str) -> String {
    match scheme_of(url) {
        scheme @ ("udp" | "tcp") => format!("{scheme}://127.0.0.1:1"),
        scheme => fresh(scheme),
    }
}

/// What stands before `://`.
#[must_use]
pub fn scheme_of(url: &str) -> &str {
    url.split_once("://").map_or("", |(scheme, _)| scheme)
}

/// The place in its world that a URL names.
#[must_use]
pub fn place_of(url: &str) -> &str {
    match url.split_once("://") {
        Some(("udp" | "sim", place)) => place,
        _ => url,
    }
}

/// The URL of who listens at a place of a URL.
#[must_use]
pub fn url_of(link: &dyn Link, place: &str) -> String {
    match link.local() {
        Address::Ip(address) => format!("udp://{address}"),
        Address::Tcp(address) => format!("tcp://{address}"),
        Address::Local(_) => place.to_owned(),
        Address::Virtual(_) | Address::VirtualStream(_) => format!("sim://{}", place_of(place)),
    }
}
