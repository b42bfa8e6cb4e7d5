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
    /// Somebody under a name that was chosen.
    Named(ClientId),
    /// Whom a journal remembers.
    Journal(Arc<Keeper>),
}

/// The same, for a connection to be found by; a journal by the address of its object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Anybody,
    Named(ClientId),
    Journal(usize),
}

/// A world by the address of its object, who is meant, and by whom. An entry holds the objects, so the
/// addresses stay their own.
type Place = (usize, Target, Who);

static CONNECTIONS: Mutex<BTreeMap<Place, Weak<Connection>>> = Mutex::new(BTreeMap::new());

/// The same by the words that lead there, to lives of servers that are known: so that a place need not be
/// dialled to find that there is a connection to it.
static NAMED: Mutex<BTreeMap<Named, Weak<Connection>>> = Mutex::new(BTreeMap::new());

type Named = (usize, ServerId, Incarnation, Who, String);

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
    identity: &Identity,
) -> Result<Arc<Connection>, CallError> {
    let who = match identity {
        Identity::Fresh => Who::Anybody,
        Identity::Named(client) => Who::Named(*client),
        Identity::Journal(keeper) => Who::Journal(Arc::as_ptr(keeper) as usize),
    };
    let world_number = Arc::as_ptr(world).cast::<()>() as usize;
    // Elsewhere an address alone may lead by now, but not that life of a server.
    let is_named = server.is_some() && incarnation.is_some();
    let named = is_named.then(|| (world_number, server, incarnation, who, place.to_owned()));
    let known = named.as_ref().and_then(|named| names().get(named).and_then(Weak::upgrade));
    if let Some(connection) = known {
        return Ok(connection);
    }
    let (link, address) = world.dial(place).map_err(cannot_dial)?;
    let target = Target { address, server, incarnation };
    let key = (world_number, target, who);
    // The lock is not held while links are opened or closed: that may take the world's own.
    let known = lock().get(&key).and_then(Weak::upgrade);
    if let Some(connection) = known {
        remember(named, &connection);
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
    remember(named, &fresh);
    enrol(&fresh);
    Ok(fresh)
}

fn remember(named: Option<Named>, connection: &Arc<Connection>) {
    let Some(named) = named else { return };
    let mut names = names();
    names.retain(|_, connection| connection.strong_count() > 0);
    names.insert(named, Arc::downgrade(connection));
}

fn names() -> std::sync::MutexGuard<'static, BTreeMap<Named, Weak<Connection>>> {
    NAMED.lock().unwrap_or_else(PoisonError::into_inner)
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
    let (link, address) = world.dial(place).map_err(cannot_dial)?;
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
        Identity::Named(id) => (ClientIdentity { id: *id, incarnation: life_of(world, *id) }, None),
        Identity::Journal(keeper) => {
            let (id, incarnation) = (keeper.book().client(), keeper.incarnation());
            (ClientIdentity { id, incarnation }, Some(Arc::clone(keeper)))
        }
    };
    let mut core = Client::new(client, target, Limits::default(), rng, world.now());
    core.link_carries(link.unbroken_bytes_max());
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

fn cannot_dial(error: LinkError) -> CallError {
    CallError::new(ErrorKind::BadAddress, Execution::NotExecuted).because(error)
}

#[cfg(all(test, feature = "reactor"))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::driver::watched::{Watch, watched};

    #[derive(Default)]
    struct Dials(AtomicUsize);

    impl Watch for Dials {
        fn asked(&self, what: &'static str) {
            self.0.fetch_add(usize::from(what == "World::dial"), Ordering::Relaxed);
        }
    }

    #[test]
    fn a_connection_to_a_life_of_a_server_is_found_without_dialling() {
        let dials = Arc::<Dials>::default();
        let world = watched(crate::reactor::world(), Arc::clone(&dials));
        let dialled = || dials.0.load(Ordering::Relaxed);
        let to = |server, life| {
            let life = Incarnation::new(life, 0);
            connect(&world, "127.0.0.1:9", ServerId(server), life, &Identity::Fresh).unwrap()
        };
        let first = to(1, 1);
        assert!(Arc::ptr_eq(&first, &to(1, 1)));
        assert_eq!(dialled(), 1);
        let other = to(1, 2);
        assert!(!Arc::ptr_eq(&first, &other));
        assert_eq!(dialled(), 2);
        drop(first);
        let _again = to(1, 1);
        assert_eq!(dialled(), 3, "what is gone is not found");
        let anybody = || {
            let (server, life) = (ServerId::NONE, Incarnation::NONE);
            connect(&world, "127.0.0.1:9", server, life, &Identity::Fresh).unwrap()
        };
        let kept = anybody();
        assert!(Arc::ptr_eq(&kept, &anybody()));
        assert_eq!(dialled(), 5, "an address may have come to mean another place");
    }
}
