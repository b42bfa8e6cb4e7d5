//! One connection for all channels of a process that lead to one server: a session is shared, not
//! opened again for every stub (protocol tables, 1b.4).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::connection::Connection;
use super::journal::Keeper;
use crate::driver::{Link, LinkError, World};
use crate::error::{CallError, ErrorKind, Execution};
use crate::ids::{ClientId, Incarnation, ServerId};
use crate::protocol::{Client, ClientIdentity, Limits, Target};

/// Who a connection's client is.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// Somebody whom no server has seen before.
    Fresh,
    /// Whom a journal remembers.
    Journal(Arc<Keeper>),
}

/// A world, and a journal, by the addresses of their objects; an entry holds both, so the addresses
/// stay their own.
type Place = (usize, Target, Option<usize>);

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
    identity: &Identity,
) -> Result<Arc<Connection>, CallError> {
    let (link, address) = world.dial(place).map_err(|error| cannot_dial(&error))?;
    let target = Target { address, server, incarnation };
    let journal = match identity {
        Identity::Fresh => None,
        Identity::Journal(keeper) => Some(Arc::as_ptr(keeper) as usize),
    };
    let key = (Arc::as_ptr(world).cast::<()>() as usize, target, journal);
    // The lock is not held while links are opened or closed: that may take the world's own.
    let known = lock().get(&key).and_then(Weak::upgrade);
    if let Some(connection) = known {
        return Ok(connection);
    }
    let fresh = make(world, place, link, target, identity);
    let mut connections = lock();
    connections.retain(|_, connection| connection.strong_count() > 0);
    if let Some(connection) = connections.get(&key).and_then(Weak::upgrade) {
        return Ok(connection);
    }
    connections.insert(key, Arc::downgrade(&fresh));
    drop(connections);
    enrol(&fresh);
    Ok(fresh)
}

/// The connection to where `other` leads of the client that `keeper` remembers.
///
/// # Errors
///
/// As [`connect`].
pub(crate) fn keeping(
    other: &Connection,
    keeper: &Arc<Keeper>,
) -> Result<Arc<Connection>, CallError> {
    let Target { server, incarnation, .. } = other.target();
    let identity = Identity::Journal(Arc::clone(keeper));
    connect(&other.world, &other.place, server, incarnation, &identity)
}

/// A connection of its own, shared with nobody.
///
/// # Errors
///
/// As [`connect`].
pub(crate) fn open(
    world: &Arc<dyn World>,
    place: &str,
    (server, incarnation): (ServerId, Incarnation),
    identity: &Identity,
) -> Result<Arc<Connection>, CallError> {
    let (link, address) = world.dial(place).map_err(|error| cannot_dial(&error))?;
    let target = Target { address, server, incarnation };
    let fresh = make(world, place, link, target, identity);
    enrol(&fresh);
    Ok(fresh)
}

fn make(
    world: &Arc<dyn World>,
    place: &str,
    link: Arc<dyn Link>,
    target: Target,
    identity: &Identity,
) -> Arc<Connection> {
    let mut rng = world.rng();
    let (client, keeper) = match identity {
        Identity::Fresh => {
            let (id, incarnation) = (ClientId(rng.next_nonzero()), world.incarnation());
            (ClientIdentity { id, incarnation }, None)
        }
        Identity::Journal(keeper) => {
            let (id, incarnation) = (keeper.book().client(), keeper.incarnation());
            (ClientIdentity { id, incarnation }, Some(Arc::clone(keeper)))
        }
    };
    let mut core = Client::new(client, target, Limits::default(), rng, world.now());
    if keeper.is_some() {
        core.keep_journal();
    }
    Connection::new(Arc::clone(world), link, core, (place, keeper))
}

/// The journal learns who keeps it.
fn enrol(connection: &Arc<Connection>) {
    if let Some(keeper) = &connection.keeper {
        keeper.enrol(connection);
    }
}

fn lock() -> std::sync::MutexGuard<'static, BTreeMap<Place, Weak<Connection>>> {
    CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cannot_dial(error: &LinkError) -> CallError {
    CallError::new(ErrorKind::BadAddress, Execution::NotExecuted).with_detail(error.to_string())
}
