//! Streams over TCP: how the two ends of one are opened.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{Domain, Socket, Type};

use super::super::{bind_first, cannot_listen, resolve_target};
use super::Way;
use super::crowd::Bounds;
use super::dialled::Dialled;
use super::listening::{Listener, Listening};
use crate::address::Address;
use crate::driver::{Link, LinkError};

/// Connections that the kernel completes before we take them; it gives what its limits allow.
const BACKLOG: i32 = 4_096;

/// Listens at `host:port`, or at several of them with commas in between. Port 0 lets the system choose.
///
/// # Errors
///
/// [`LinkError::InUse`], [`LinkError::Unresolved`], or the system's word.
pub fn listen(place: &str) -> Result<Arc<dyn Link>, LinkError> {
    let listeners: Result<Vec<_>, _> =
        place.split(',').map(|place| bind_first(place, listener)).collect();
    let listening = Listening::on(listeners?, Bounds::default());
    Ok(Arc::new(listening.map_err(|error| cannot_listen(place, error))?))
}

/// An endpoint from which to reach `host:port`. The connection is made when something is sent.
///
/// # Errors
///
/// [`LinkError::Unresolved`], or the system's word.
pub fn dial(place: &str) -> Result<(Arc<dyn Link>, Address), LinkError> {
    let target = resolve_target(place)?;
    let address = Address::Tcp(target);
    let dialled = Dialled::to(Way { address, place: target.into() }).map_err(|error| {
        LinkError::System(format!("cannot open a socket to reach {place}"), error.into())
    })?;
    Ok((Arc::new(dialled), address))
}

fn listener(address: SocketAddr) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Connections of a former life linger in the kernel, and are nobody's any more.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(Listener::new(socket, Address::Tcp(local), None))
}
