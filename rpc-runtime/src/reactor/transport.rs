//! The transports of the real world, behind the one seam of [`crate::driver::Link`]: which of them a
//! place belongs to, and what they share.
//!
//! A place names its transport as a URL does, `tcp://host:port`; without a scheme it is one of UDP.

use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use crate::address::Address;
use crate::driver::{Link, LinkError};
use crate::hash::{SipKey, siphash};

pub mod memory;
mod spin;
#[cfg(target_os = "linux")]
pub mod shm;
pub mod stream;
mod system;
pub mod udp;

/// Opens an endpoint to listen at `place`.
///
/// # Errors
///
/// [`LinkError`] when the place is taken, unknown, or not to be had.
pub fn listen(place: &str) -> Result<Arc<dyn Link>, LinkError> {
    match place.split_once("://") {
        None => udp::listen(place),
        Some(("tcp", place)) => stream::tcp::listen(&place.replace("tcp://", "")),
        Some(("unix", path)) => stream::unix::listen(path),
        #[cfg(target_os = "linux")]
        Some(("shm", path)) => shm::listen(path),
        Some(("mem", name)) => memory::listen(name),
        Some((scheme, _)) => Err(unknown(scheme)),
    }
}

/// Opens an endpoint from which to reach `place`, and resolves the place.
///
/// # Errors
///
/// [`LinkError`] when the place does not resolve or no endpoint is to be had.
pub fn dial(place: &str) -> Result<(Arc<dyn Link>, Address), LinkError> {
    match place.split_once("://") {
        None => udp::dial(place),
        Some(("tcp", place)) => stream::tcp::dial(place),
        Some(("unix", path)) => stream::unix::dial(path),
        #[cfg(target_os = "linux")]
        Some(("shm", path)) => shm::dial(path),
        Some(("mem", name)) => memory::dial(name),
        Some((scheme, _)) => Err(unknown(scheme)),
    }
}

fn unknown(scheme: &str) -> LinkError {
    if scheme == "shm" {
        return LinkError::Other("`shm://` needs Linux: use `unix://`".to_owned());
    }
    LinkError::Other(format!("sockets speak no `{scheme}://`"))
}

/// The addresses of `host:port`. IPv4 comes first, so that the two ends of one name meet whatever
/// order the system's resolver prefers.
fn resolve(place: &str) -> Result<Vec<SocketAddr>, LinkError> {
    let unresolved = || LinkError::Unresolved(place.to_owned());
    let mut addresses: Vec<SocketAddr> =
        place.trim().to_socket_addrs().map_err(|_| unresolved())?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    if addresses.is_empty() { Err(unresolved()) } else { Ok(addresses) }
}

/// The one address of `host:port` to call: that of a port of one host.
fn resolve_target(place: &str) -> Result<SocketAddr, LinkError> {
    let target = *resolve(place)?.first().expect("resolving gives an address or an error");
    if target.port() == 0 {
        return Err(LinkError::Unresolved(format!("{place} (port 0)")));
    }
    if target.ip().to_canonical().is_unspecified() {
        return Err(LinkError::Unresolved(format!("{place} (all addresses of a host)")));
    }
    Ok(target)
}

/// What `open` makes of the first of the place's addresses that is to be had.
fn bind_first<T>(place: &str, open: impl Fn(SocketAddr) -> io::Result<T>) -> Result<T, LinkError> {
    let mut refused = None;
    for address in resolve(place)? {
        match open(address) {
            Ok(opened) => return Ok(opened),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(match refused {
        Some(error) => cannot_listen(place, error),
        None => LinkError::Unresolved(place.to_owned()),
    })
}

fn cannot_listen(place: &str, error: io::Error) -> LinkError {
    if error.kind() == io::ErrorKind::AddrInUse {
        return LinkError::InUse(place.to_owned());
    }
    LinkError::System(format!("cannot listen at {place}"), error.into())
}

/// Set in the number of a place that has a name, and in no other.
const IS_NAMED: u64 = 1 << 63;

/// The number that stands for a name of this machine: the same in all its processes.
fn number_of(name: &[u8]) -> u64 {
    siphash(SipKey([0x6c6f_6361_6c00, 0x6e61_6d65_7300]), name) | IS_NAMED
}

/// The buffer as the socket library takes it.
#[expect(unsafe_code, reason = "socket2 takes memory that need not be initialised")]
const fn uninit(buffer: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the memory is initialised, and receiving writes nothing but initialised bytes to it.
    unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) }
}
