//! One connection for all channels of a process that lead to one server: a session is shared, not
//! opened again for every stub (protocol tables, 1b.4).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::connection::Connection;
use crate::driver::{LinkError, World};
use crate::error::{CallError, ErrorKind, Execution};
use crate::ids::{ClientId, Incarnation, ServerId};
use crate::protocol::{Client, ClientIdentity, Limits, Target};

/// A world by the address of its object, who is meant, and under which name if it is a chosen one. An
/// entry holds the world, so the address stays its own.
type Place = (usize, Target, Option<ClientId>);

static CONNECTIONS: Mutex<BTreeMap<Place, Weak<Connection>>> = Mutex::new(BTreeMap::new());

/// The lives of clients under chosen names: each process has one of each.
static LIVES: Mutex<BTreeMap<(usize, ClientId), Life>> = Mutex::new(BTreeMap::new());

/// The world that a life is lived in, and the life.
type Life = (Weak<dyn World>, Incarnation);

/// The connection of this process to `place`, opened if there is none; under the name `client`, or
/// one that nobody else has.
///
/// # Errors
///
/// [`ErrorKind::BadAddress`]: the place cannot be used.
pub(crate) fn connect(
    world: &Arc<dyn World>,
    place: &str,
    server: ServerId,
    incarnation: Incarnation,
    client: Option<ClientId>,
) -> Result<Arc<Connection>, CallError> {
    let (link, address) = world.dial(place).map_err(|error| cannot_dial(&error))?;
    let target = Target { address, server, incarnation };
    let key = (Arc::as_ptr(world).cast::<()>() as usize, target, client);
    // The lock is not held while links are opened or closed: that may take the world's own.
    let known = lock().get(&key).and_then(Weak::upgrade);
    if let Some(connection) = known {
        return Ok(connection);
    }
    let mut rng = world.rng();
    let identity = match client {
        Some(id) => ClientIdentity { id, incarnation: life_of(world, id) },
        None => {
            ClientIdentity { id: ClientId(rng.next_nonzero()), incarnation: world.incarnation() }
        }
    };
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

/// This process's life of the client `id`: the same on all its connections, or one would take
/// another's work for that of a former life.
fn life_of(world: &Arc<dyn World>, id: ClientId) -> Incarnation {
    let key = (Arc::as_ptr(world).cast::<()>() as usize, id);
    let fresh = world.incarnation(); // the lock is not held while the world is asked
    let mut lives = LIVES.lock().unwrap_or_else(PoisonError::into_inner);
    lives.retain(|_, (world, _)| world.strong_count() > 0);
    lives.entry(key).or_insert_with(|| (Arc::downgrade(world), fresh)).1
}

fn lock() -> std::sync::MutexGuard<'static, BTreeMap<Place, Weak<Connection>>> {
    CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cannot_dial(error: &LinkError) -> CallError {
    CallError::new(ErrorKind::BadAddress, Execution::NotExecuted).with_detail(error.to_string())
}
