//! The driver's seam as a simulated host offers it: [`World`], [`Link`] and [`Gate`] in virtual time.
//!
//! Each call here is a runtime entry: the one place where a thread gives the baton away, and where
//! a thread of a crashed host unwinds. Times are the host's own.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::hosts::HostId;
use super::super::schedule::Control;
use super::table::ThreadId;
use super::{Body, Shared};
use crate::address::Address;
use crate::driver::{Gate, Link, LinkError, NoThread, Received, Sent, World};
use crate::ids::Incarnation;
use crate::random::Rng;
use crate::time::Instant;
use crate::wire;

/// One life of a simulated host, as its processes see the world.
pub struct HostWorld {
    shared: Arc<Shared>,
    host: HostId,
    life: u32,
    name: String,
}

impl HostWorld {
    pub(in crate::sim) fn new(shared: Arc<Shared>, host: HostId, life: u32, name: &str) -> Self {
        Self { shared, host, life, name: name.to_owned() }
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> HostId {
        self.host
    }

    /// The host's name, as it stands behind `sim://`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Resolves `host` or `host:port`.
    fn resolve(control: &Control, place: &str) -> Result<(HostId, u16), LinkError> {
        let unresolved = || LinkError::Unresolved(format!("sim://{place}"));
        let (name, port) = match place.split_once(':') {
            None => (place, 0),
            Some((name, port)) => (name, port.parse().map_err(|_| unresolved())?),
        };
        Ok((control.host(name).ok_or_else(unresolved)?, port))
    }

    fn link(&self, control: &Control, port: u16) -> Arc<dyn Link> {
        Arc::new(SimLink {
            shared: Arc::clone(&self.shared),
            host: self.host,
            life: self.life,
            port,
            datagram_bytes_max: control.net.bytes_max(),
        })
    }

    fn gone(&self) -> LinkError {
        LinkError::Other(format!("host `{}` has crashed", self.name))
    }
}

impl World for HostWorld {
    fn incarnation(&self) -> Incarnation {
        self.shared.enter().control.incarnation(self.host)
    }

    fn now(&self) -> Instant {
        self.shared.enter().control.local(self.host)
    }

    fn rng(&self) -> Box<dyn Rng> {
        Box::new(self.shared.enter().control.rng(self.host))
    }

    fn gate(&self) -> Arc<dyn Gate> {
        let shared = Arc::clone(&self.shared);
        Arc::new(SimGate { shared, host: self.host, state: Mutex::default() })
    }

    fn spawn(&self, name: &str, body: Body) -> Result<(), NoThread> {
        let mut entry = self.shared.enter();
        if entry.control.is_alive(self.host, self.life) {
            entry.control.spawn(self.host, name, false, body);
        }
        Ok(()) // what a host that has crashed starts just never runs
    }

    fn listen(&self, place: &str) -> Result<Arc<dyn Link>, LinkError> {
        let mut entry = self.shared.enter();
        let control = &mut *entry.control;
        let (host, port) = Self::resolve(control, place)?;
        if host != self.host {
            return Err(LinkError::Other(format!(
                "sim://{place} is another host than this one, `{}`",
                self.name
            )));
        }
        if !control.is_alive(self.host, self.life) {
            return Err(self.gone());
        }
        let port = control.open(self.host, Some(port));
        let port = port.map_err(|()| LinkError::InUse(format!("sim://{place}")))?;
        Ok(self.link(control, port))
    }

    fn dial(&self, place: &str) -> Result<(Arc<dyn Link>, Address), LinkError> {
        let mut entry = self.shared.enter();
        let control = &mut *entry.control;
        let (host, port) = Self::resolve(control, place)?;
        if !control.is_alive(self.host, self.life) {
            return Err(self.gone());
        }
        let own = control.open(self.host, None);
        let own = own.map_err(|()| LinkError::Other("no free port on this host".to_owned()))?;
        Ok((self.link(control, own), control.net.dialled(host, port)))
    }
}

impl fmt::Debug for HostWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostWorld({}, life {})", self.name, self.life)
    }
}

/// An endpoint of a simulated host. Closed when dropped.
struct SimLink {
    shared: Arc<Shared>,
    host: HostId,
    life: u32,
    port: u16,
    datagram_bytes_max: usize,
}

impl SimLink {
    /// What waits at the endpoint, if anything does.
    fn pick_up(&self, control: &mut Control, buffer: &mut [u8]) -> Option<Received> {
        let Some(endpoint) = control.endpoint(self.host, self.life, self.port) else {
            return Some(Received::Closed);
        };
        endpoint.receiver = None;
        if let Some((from, datagram)) = endpoint.inbox.pop_front() {
            let len = match from {
                Address::VirtualStream(_) => fitting(&datagram, buffer.len()),
                Address::Ip(_) | Address::Tcp(_) | Address::Local(_) | Address::Virtual(_) => {
                    datagram.len().min(buffer.len())
                }
            };
            buffer[..len].copy_from_slice(&datagram[..len]);
            if let (Address::VirtualStream(_), Some(rest @ [_, ..])) = (from, datagram.get(len..)) {
                endpoint.inbox.push_front((from, rest.to_vec()));
            }
            control.net.recycle(datagram);
            return Some(Received::Datagram { len, from });
        }
        if std::mem::take(&mut endpoint.is_broken) {
            return Some(Received::Broken);
        }
        std::mem::take(&mut endpoint.is_woken).then_some(Received::Nothing)
    }
}

/// As many of the PDUs as there is room for.
fn fitting(pdus: &[u8], room: usize) -> usize {
    let come = &pdus[..pdus.len().min(room)];
    match wire::frames(come).unwrap_or_else(|(whole, _)| whole) {
        0 => come.len(), // one that is longer than its reader expects
        whole => whole,
    }
}

impl Link for SimLink {
    fn local(&self) -> Address {
        self.host.port(self.port)
    }

    fn datagram_bytes_max(&self) -> usize {
        self.datagram_bytes_max
    }

    fn unbroken_bytes_max(&self) -> usize {
        self.datagram_bytes_max
    }

    fn send(&self, to: Address, datagram: &[u8]) -> Sent {
        let mut entry = self.shared.enter();
        if entry.is_inert || entry.control.endpoint(self.host, self.life, self.port).is_none() {
            return Sent::Failed;
        }
        entry.control.send(self.local(), to, datagram)
    }

    fn receive(&self, buffer: &mut [u8], until: Option<Instant>) -> Received {
        let mut entry = self.shared.enter();
        if entry.is_inert {
            entry.give_way();
            return Received::Closed;
        }
        if let Some(received) = self.pick_up(&mut entry.control, buffer) {
            return received;
        }
        let me = entry.blocking("Link::receive");
        let endpoint = entry.control.endpoint(self.host, self.life, self.port);
        let endpoint = endpoint.expect("a closed endpoint was told so");
        let other = endpoint.receiver.replace(me);
        assert!(other.is_none(), "two threads are in `receive` of one link");
        let mut entry = entry.wait(self.host, until);
        let received = self.pick_up(&mut entry.control, buffer);
        entry.leave();
        received.unwrap_or(Received::Nothing)
    }

    fn take(&self, buffer: &mut [u8]) -> Received {
        let mut entry = self.shared.enter();
        if entry.is_inert {
            return Received::Closed;
        }
        self.pick_up(&mut entry.control, buffer).unwrap_or(Received::Nothing)
    }

    fn wake(&self) {
        let mut entry = self.shared.enter();
        if let Some(endpoint) = entry.control.endpoint(self.host, self.life, self.port) {
            endpoint.is_woken = true;
            if let Some(receiver) = endpoint.receiver {
                entry.control.wake(receiver);
            }
        }
    }
}

impl Drop for SimLink {
    fn drop(&mut self) {
        self.shared.lock().close(self.host, self.life, self.port);
    }
}

impl fmt::Debug for SimLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimLink({})", self.local())
    }
}

/// A gate in virtual time.
struct SimGate {
    shared: Arc<Shared>,
    host: HostId,
    state: Mutex<GateState>,
}

#[derive(Default)]
struct GateState {
    is_open: bool,
    waiters: VecDeque<ThreadId>,
}

impl SimGate {
    /// Only ever locked while the world is: no order to get wrong.
    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate for SimGate {
    fn wait(&self, until: Option<Instant>) {
        let entry = self.shared.enter();
        if entry.is_inert {
            return entry.give_way();
        }
        if std::mem::take(&mut self.state().is_open) {
            return;
        }
        let me = entry.blocking("Gate::wait");
        self.state().waiters.push_back(me);
        let entry = entry.wait(self.host, until);
        self.state().waiters.retain(|waiter| *waiter != me);
        entry.leave();
    }

    fn open(&self) {
        let mut entry = self.shared.enter();
        let mut state = self.state();
        // A waiter whose time has come but not its turn does not need the permit.
        while let Some(waiter) = state.waiters.pop_front() {
            if entry.control.wake(waiter) {
                return;
            }
        }
        state.is_open = true;
    }
}

impl fmt::Debug for SimGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimGate({})", self.host)
    }
}
