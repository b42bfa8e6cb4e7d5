//! What a server serves: its services, and the one table of all their methods.
//!
//! Responsible for numbering methods across services, and for refusing what could not be told apart
//! on the wire.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::{CallError, ErrorKind, Execution};
use crate::interface::{Interface, Method};
use crate::protocol::limits::QUANTUM_MIN;
use crate::protocol::{Limits, MethodEntry, OrphanStrategy};
use crate::semantics::Semantics;
use crate::server::Ledger;
use crate::service::Service;
use crate::time::Duration;

/// The services of a server, and where each method of the common table leads.
#[derive(Default)]
pub(super) struct Exports {
    services: Vec<Box<dyn Service>>,
    ledger: Option<Arc<dyn Ledger>>,
    routes: Vec<Route>,
    /// Whether all that is not marked is for the workers.
    has_workers_only: bool,
}

/// Where a method of the common table leads.
#[derive(Clone, Copy, Debug)]
struct Route {
    service: usize,
    method: usize,
    place: Place,
}

/// Which thread runs a method's handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The one that receives: `inline`.
    Receiver,
    /// The one that receives, as long as they are quick.
    ByPace,
    /// A worker.
    Workers,
}

impl Exports {
    pub(super) fn add(&mut self, service: Box<dyn Service>) {
        self.services.push(service);
    }

    /// Leaves all methods to the workers but those that are marked.
    pub(super) fn leave_to_workers(&mut self, has_workers_only: bool) {
        self.has_workers_only = has_workers_only;
    }

    /// The services with their common table, and the table as the protocol wants it, on a server of
    /// this strategy.
    pub(super) fn checked(
        mut self,
        strategy: OrphanStrategy,
        limits: &Limits,
    ) -> Result<(Self, Vec<MethodEntry>), CallError> {
        check_quantum("the server's quantum", limits.quantum)?;
        check_quantum("the server's grace period", limits.grace)?;
        if let Some(rule) = limits.contradiction() {
            return Err(misconfigured(format!(
                "the server's limits contradict each other: {rule}"
            )));
        }
        let mut names = BTreeMap::new();
        let mut fingerprints = BTreeMap::new();
        let mut entries = Vec::new();
        for (service, exported) in self.services.iter().enumerate() {
            let interface = exported.interface();
            if names.insert(interface.name(), service).is_some() {
                let name = interface.name();
                return Err(misconfigured(format!(
                    "two services are exported under the name {name:?}: give one of them another \
                     with #[service(name = \"...\")]"
                )));
            }
            let ledger = exported.ledger();
            let durable = |described: &Method| described.semantics() == Semantics::ExactlyOnce;
            if ledger.is_none() && interface.methods().iter().any(durable) {
                let name = interface.name();
                return Err(misconfigured(format!(
                    "the service {name:?} has exactly_once methods and no store"
                )));
            }
            if let (Some(one), Some(other)) = (&self.ledger, &ledger)
                && one.identity() != other.identity()
            {
                return Err(misconfigured(
                    "two services are exported over two stores: give them one, or a server each"
                        .to_owned(),
                ));
            }
            self.ledger = ledger.or(self.ledger);
            for (method, described) in interface.methods().iter().enumerate() {
                if let Some(why) = interface.unsendable(method) {
                    let name = format!("{}.{}", interface.name(), described.name());
                    return Err(misconfigured(format!("{name} cannot be exported: {why}")));
                }
                let fingerprint = interface.method_fingerprint(method);
                let here = format!("{}.{}", interface.name(), described.name());
                if let Some(there) = fingerprints.insert(fingerprint, here.clone()) {
                    return Err(misconfigured(format!(
                        "the fingerprints of {there} and {here} collide: rename one of them on \
                         the wire with #[rpc(name = \"...\")]"
                    )));
                }
                let orphans = described.orphan_policy(strategy, limits.quantum);
                if let Some(quantum) = orphans.quantum {
                    check_quantum(&format!("the quantum of {here}"), quantum)?;
                }
                entries.push(MethodEntry {
                    fingerprint,
                    name: interface.name_hash(method),
                    semantics: described.semantics(),
                    reply_bytes_max: limits.reply_bytes_max,
                    ack: described.ack_protocol(),
                    orphans,
                });
                let place = match (described.is_inline(), described.is_worker()) {
                    (true, _) => Place::Receiver,
                    (false, false) if !self.has_workers_only => Place::ByPace,
                    (false, _) => Place::Workers,
                };
                self.routes.push(Route { service, method, place });
            }
        }
        Ok((self, entries))
    }

    /// The store of the durable services.
    pub(super) const fn ledger(&self) -> Option<&Arc<dyn Ledger>> {
        self.ledger.as_ref()
    }

    pub(super) fn interfaces(&self) -> Vec<&'static Interface> {
        self.services.iter().map(|service| service.interface()).collect()
    }

    /// How many methods there are in the common table.
    pub(super) const fn methods(&self) -> usize {
        self.routes.len()
    }

    /// The service of each method of the common table.
    pub(super) fn services_of_methods(&self) -> Box<[usize]> {
        self.routes.iter().map(|route| route.service).collect()
    }

    /// How many services there are.
    pub(super) const fn services(&self) -> usize {
        self.services.len()
    }

    /// Which thread runs the handlers of a method of the common table.
    pub(super) fn place(&self, method: usize) -> Place {
        self.routes[method].place
    }

    /// The service of a method of the common table, and the method's number there.
    pub(super) fn find(&self, method: usize) -> (&dyn Service, usize) {
        let route = self.routes[method];
        (&*self.services[route.service], route.method)
    }
}

impl fmt::Debug for Exports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.services.iter().map(|service| service.interface().name());
        f.debug_list().entries(names).finish()
    }
}

/// A quantum of nothing would make an orphan of every call.
fn check_quantum(what: &str, quantum: Duration) -> Result<(), CallError> {
    if quantum >= QUANTUM_MIN {
        return Ok(());
    }
    Err(misconfigured(format!(
        "{what} is {quantum:?}, and nobody can answer that fast: give it {QUANTUM_MIN:?} or more, or \
         choose OrphanStrategy::Gentle, which asks nobody while calls run"
    )))
}

pub(super) fn misconfigured(text: String) -> CallError {
    CallError::new(ErrorKind::Misconfigured, Execution::NotExecuted).with_detail(text)
}
