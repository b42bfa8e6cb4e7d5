//! The binder's interface as it is served: lookups are answered from what the registry has marshalled
//! already, all else as the trait says.
//!
//! A handler of the trait returns entries that it owns, to be marshalled then. What clients ask a binder for
//! most, and most of them at a time, copies bytes into the reply instead: the same bytes.

use std::fmt;
use std::sync::Arc;

use rpc_runtime::__private::{Answer, Args, Bad, Dispatched, Incoming};
use rpc_runtime::binder::{Directory, DirectoryService, Place, VersionRequirement};
use rpc_runtime::protocol::HandlerEnd;
use rpc_runtime::{Interface, Service};

use crate::desk::Desk;

/// What the body of a reply begins with where a method has returned a value.
const VALUE: u8 = 0;

/// Serves a directory whose lookups are answered at a desk.
pub(crate) struct Front<D> {
    service: DirectoryService<D>,
    desk: Arc<Desk>,
    /// The place of `lookup` in the interface's table.
    lookup: usize,
}

impl<D: Directory + Send + Sync + 'static> Front<D> {
    /// # Panics
    ///
    /// The interface has no lookup.
    pub(crate) fn new(directory: Arc<D>, desk: Arc<Desk>) -> Self {
        let service = DirectoryService::shared(directory);
        let mut methods = service.interface().methods().iter();
        let lookup = methods.position(|method| method.name() == "lookup");
        Self { service, desk, lookup: lookup.expect("a directory can be asked") }
    }

    /// Writes the reply to a lookup, if nothing is wrong with it.
    fn look_up(&self, incoming: &mut Incoming<'_>) -> Option<()> {
        let Wish { name, requirement, after } = Wish::of(incoming.arguments).ok()?;
        let reply = &mut incoming.reply;
        reply.push(VALUE);
        let found = self.desk.with(|now, registry| {
            registry.lookup_marshalled(now, name, &requirement, after.as_ref(), reply)
        });
        if found.is_err() {
            reply.clear();
        }
        found.ok()
    }
}

impl<D: Directory + Send + Sync + 'static> Service for Front<D> {
    fn interface(&self) -> &'static Interface {
        self.service.interface()
    }

    fn dispatch(&self, method: usize, mut incoming: Incoming<'_>) -> Dispatched {
        if method == self.lookup && self.look_up(&mut incoming).is_some() {
            return Dispatched::Now(Answer { end: HandlerEnd::Returned, body: incoming.reply });
        }
        self.service.dispatch(method, incoming) // which says what is wrong
    }
}

impl<D> fmt::Debug for Front<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("desk", &self.desk).finish_non_exhaustive()
    }
}

/// The arguments of a lookup.
struct Wish<'a> {
    name: &'a str,
    requirement: VersionRequirement,
    after: Option<Place>,
}

impl<'a> Wish<'a> {
    fn of(arguments: &'a [u8]) -> Result<Self, Bad> {
        let mut arguments = Args::of(arguments);
        Ok(Self {
            name: arguments.next()?,
            requirement: arguments.next()?,
            after: arguments.last()?,
        })
    }
}
