//! One connection for all channels of a process that lead to one server: a session is shared, not
//! opened again for every stub (protocol tables, 1b.4).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::connection::Connection;
use crate::driver::{LinkError, World};
use crate::error::{CallError, ErrorKind, Execution};
use crate::ids::{ClientId, Incarnation, ServerId};
use crate::protocol::{Client, ClientIdentity, Limits, Target};

/// A world by the address of its object; an entry holds the world, so the address stays its own.
type Place = (usize, Target);

static CONNECTIONS: Mutex<BTreeMap<Place, Weak<Connection>>> = Mutex::new(BTreeMap::new());

/// The connection of this process to `place`, opened if there is none.
///
/// # Errors
///
/// [`ErrorKind::BadAddress`]: the place cannot be used.
pub(crate) fn connect(
    world: &Arc<dyn World>,
    place: &str,
    server: ServerId,
    incarnation: Incarnation,
) -> Result<Arc<Connection>, CallError> {
    let (link, address) = world.dial(place).map_err(cannot_dial)?;
    let target = Target { address, server, incarnation };
    let key = (Arc::as_ptr(world).cast::<()>() as usize, target);
    // The lock is not held while links are opened or closed: that may take the world's own.
    let known = lock().get(&key).and_then(Weak::upgrade);
    if let Some(connection) = known {
        return Ok(connection);
    }
    let mut rng = world.rng();
    let identity =
        ClientIdentity { id: ClientId(rng.next_nonzero()), incarnation: world.incarnation() };
    let core = Client::new(identity, target, Limits::default(), rng, world.now());
    let fresh = Connection::new(Arc::clone(world), link, core);
    let mut connections = lock();
    connections.retain(|_, connection| connection.strong_count() > 0);
    if let Some(connection) = connections.get(&key).and_then(Weak::upgrade) {
        return Ok(connection);
    }
    connections.insert(key, Arc::downgrade(&fresh));
    Ok(fresh)
}

fn lock() -> std::sync::MutexGuard<'static, BTreeMap<Place, Weak<Connection>>> {
    CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cannot_dial(error: LinkError) -> CallError {
    CallError::new(ErrorKind::BadAddress, Execution::NotExecuted).because(error)
}
