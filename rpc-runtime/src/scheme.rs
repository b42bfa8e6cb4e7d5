//! What stands before `://`: which world an address belongs to.

use std::sync::Arc;

use crate::driver::World;
use crate::error::{CallError, ErrorKind, Execution};

/// The world of `url`, and the place in it.
///
/// # Errors
///
/// [`ErrorKind::BadAddress`]: the URL names no world that there is here.
pub fn open(url: &str) -> Result<(Arc<dyn World>, String), CallError> {
    let Some((scheme, place)) = url.trim().split_once("://") else {
        return Err(bad(format!("`{url}` has no scheme: write `udp://127.0.0.1:7001`")));
    };
    if place.is_empty() {
        return Err(bad(format!("`{url}` names no place: write `udp://127.0.0.1:7001`")));
    }
    match scheme {
        "udp" => sockets(url, place),
        // Sockets speak several protocols, and a place says which.
        "tcp" | "unix" | "shm" | "mem" => sockets(url, url.trim()),
        "sim" => sim(url, place),
        "binder" => Err(bad(format!(
            "`{url}` names a service: connect a stub to it, such as `BankClient::connect`"
        ))),
        _ => Err(bad(format!(
            "`{scheme}` in `{url}` is no known scheme: use `udp://`, `tcp://`, `unix://`, \
                 `shm://`, `mem://` or `sim://`"
        ))),
    }
}

/// The world that the calling thread is in: the simulation's host, or the machine.
///
/// # Errors
///
/// [`ErrorKind::BadAddress`]: there is none, for want of the feature `reactor`.
pub fn here() -> Result<Arc<dyn World>, CallError> {
    sim("sim://", "").or_else(|_| sockets("udp://", "")).map(|(world, _)| world)
}

#[cfg(feature = "reactor")]
#[expect(clippy::unnecessary_wraps, reason = "without the reactor it fails")]
fn sockets(_url: &str, place: &str) -> Result<(Arc<dyn World>, String), CallError> {
    Ok((crate::reactor::world(), place.to_owned()))
}

#[cfg(not(feature = "reactor"))]
fn sockets(url: &str, _place: &str) -> Result<(Arc<dyn World>, String), CallError> {
    Err(bad(format!("`{url}` needs the feature `reactor` of rpc-runtime")))
}

#[cfg(feature = "sim")]
fn sim(url: &str, place: &str) -> Result<(Arc<dyn World>, String), CallError> {
    let world = crate::sim::current_world().ok_or_else(|| {
        bad(format!("`{url}` exists inside a simulation only: call it from `sim::check`"))
    })?;
    Ok((world, place.to_owned()))
}

#[cfg(not(feature = "sim"))]
fn sim(url: &str, _place: &str) -> Result<(Arc<dyn World>, String), CallError> {
    Err(bad(format!("`{url}` needs the feature `sim` of rpc-runtime")))
}

fn bad(text: String) -> CallError {
    CallError::new(ErrorKind::BadAddress, Execution::NotExecuted).with_detail(text)
}
