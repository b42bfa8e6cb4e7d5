//! The way from one host to another: what is said there, and what the story does to it.

use std::sync::{Arc, Mutex, PoisonError};

use rpc_runtime::ids::{CallId, SessionId};
use rpc_runtime::sim::HostId;
use rpc_runtime::sim::net::{Rule, Verdict};
use rpc_runtime::time::Duration;
use rpc_runtime::wire::{self, Envelope, Kind, Pdu, RefuseReason, RejectReason, SealedVerdict};

use super::World;

/// One direction between two hosts. See [`World::link`].
#[derive(Debug)]
pub struct Link<'w> {
    pub(super) world: &'w mut World,
    pub(super) from: HostId,
    pub(super) to: HostId,
}

/// Datagrams that the network holds back until the story delivers them, once or more often.
#[derive(Clone, Debug)]
pub struct Held {
    pub(super) from: HostId,
    pub(super) to: HostId,
    pub(super) kind: Kind,
    pub(super) datagrams: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// Everything that was sent, in order.
pub(super) type Wire = Arc<Mutex<Vec<Sighting>>>;

/// A datagram that was sent, whatever became of it.
#[derive(Debug)]
pub(super) struct Sighting {
    pub(super) from: HostId,
    pub(super) to: HostId,
    pub(super) datagram: Vec<u8>,
}

impl Sighting {
    /// Hands each of its PDUs to `look`.
    pub(super) fn each(&self, mut look: impl FnMut(&Envelope, &Pdu<'_>)) {
        let mut rest = self.datagram.as_slice();
        while let Ok((envelope, pdu, behind)) = wire::decode(rest) {
            look(&envelope, &pdu);
            rest = behind;
        }
    }
}

/// A rule that decides nothing and writes down everything.
pub(super) fn tap(from: HostId, to: HostId, wire: Wire) -> Rule {
    Rule::new(Verdict::Pass).from(from).to(to).when(move |datagram| {
        let sighting = Sighting { from, to, datagram: datagram.to_owned() };
        wire.lock().unwrap_or_else(PoisonError::into_inner).push(sighting);
        false
    })
}

impl Link<'_> {
    /// Drops the next datagram that holds such a PDU.
    pub fn drop_next(self, kind: Kind) {
        self.drop_times(kind, 1);
    }

    /// Drops the next `times` datagrams that hold such a PDU.
    pub fn drop_times(self, kind: Kind, times: u64) {
        self.rule(kind, Verdict::Drop, times);
    }

    /// Delivers the next datagram that holds such a PDU, and again this much later.
    pub fn double_next(self, kind: Kind, later: Duration) {
        self.rule(kind, Verdict::Repeat(later), 1);
    }

    /// Holds back the next datagram that holds such a PDU.
    #[must_use]
    pub fn hold_next(self, kind: Kind) -> Held {
        let (from, to) = (self.from, self.to);
        let held = Held { from, to, kind, datagrams: Arc::default() };
        let datagrams = Arc::clone(&held.datagrams);
        let rule = Rule::new(Verdict::Drop).from(from).to(to).kind(kind).times(1);
        let rule = rule.when(move |datagram| {
            datagrams.lock().unwrap_or_else(PoisonError::into_inner).push(datagram.to_owned());
            true
        });
        self.world.with(|control| control.net.script(rule));
        held
    }

    /// A copy of the last datagram that held such a PDU, for the story to deliver again.
    ///
    /// # Panics
    ///
    /// There was none.
    #[must_use]
    pub fn copy_last(self, kind: Kind) -> Held {
        let wire = self.world.wire.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = None;
        for sighting in wire.iter().filter(|seen| (seen.from, seen.to) == (self.from, self.to)) {
            sighting.each(|_, pdu| {
                if pdu.kind() == kind {
                    last = Some(sighting.datagram.clone());
                }
            });
        }
        let last = last.unwrap_or_else(|| panic!("no {} was sent there", kind.name()));
        let datagrams = Arc::new(Mutex::new(vec![last]));
        Held { from: self.from, to: self.to, kind, datagrams }
    }

    /// Nothing passes any more.
    pub fn cut(self) {
        self.world.with(|control| control.net.cut(self.from, self.to));
    }

    /// What is sent passes again.
    pub fn mend(self) {
        self.world.with(|control| control.net.mend(self.from, self.to));
    }

    /// Carries datagrams of at most so many bytes from now on; longer ones vanish. `None`: any.
    pub fn carries(self, bytes: Option<usize>) {
        self.world.with(|control| control.net.set_path_mtu(self.from, self.to, bytes));
    }

    fn rule(self, kind: Kind, verdict: Verdict, times: u64) {
        let rule = Rule::new(verdict).from(self.from).to(self.to).kind(kind).times(times);
        self.world.with(|control| control.net.script(rule));
    }

    /// What `pick` finds in the PDUs that were sent, in order, whatever became of them.
    pub fn said<T>(self, mut pick: impl FnMut(&Envelope, &Pdu<'_>) -> Option<T>) -> Vec<T> {
        let wire = self.world.wire.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for sighting in wire.iter().filter(|seen| (seen.from, seen.to) == (self.from, self.to)) {
            sighting.each(|envelope, pdu| found.extend(pick(envelope, pdu)));
        }
        found
    }

    /// How long the datagrams were that held such a PDU, in order.
    #[must_use]
    pub fn lengths(self, kind: Kind) -> Vec<usize> {
        let wire = self.world.wire.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for sighting in wire.iter().filter(|seen| (seen.from, seen.to) == (self.from, self.to)) {
            sighting.each(|_, pdu| {
                found.extend((pdu.kind() == kind).then_some(sighting.datagram.len()));
            });
        }
        found
    }

    /// How many such PDUs were sent.
    #[must_use]
    pub fn sent(self, kind: Kind) -> usize {
        self.said(|_, pdu| (pdu.kind() == kind).then_some(())).len()
    }

    /// The calls that were requested, in order.
    #[must_use]
    pub fn requests(self) -> Vec<CallId> {
        self.said(|envelope, pdu| {
            let Pdu::Request(request) = pdu else { return None };
            Some(CallId {
                session: envelope.session,
                space: envelope.space,
                slot: request.slot,
                sequence: request.sequence,
            })
        })
    }

    /// The sessions that were welcomed, in order.
    #[must_use]
    pub fn welcomed(self) -> Vec<SessionId> {
        self.said(|envelope, pdu| matches!(pdu, Pdu::Welcome(_)).then_some(envelope.session))
    }

    /// What SEALED said, in order.
    #[must_use]
    pub fn sealed(self) -> Vec<SealedVerdict> {
        self.said(|_, pdu| if let Pdu::Sealed(pdu) = pdu { Some(pdu.verdict) } else { None })
    }

    /// Why calls were refused, in order.
    #[must_use]
    pub fn refused(self) -> Vec<RefuseReason> {
        self.said(|_, pdu| if let Pdu::Refuse(pdu) = pdu { Some(pdu.reason) } else { None })
    }

    /// Why no session was opened, in order.
    #[must_use]
    pub fn rejected(self) -> Vec<RejectReason> {
        self.said(|_, pdu| if let Pdu::Reject(pdu) = pdu { Some(pdu.reason) } else { None })
    }

    /// The header of the last PDU that belonged to a session: what a forger would copy.
    ///
    /// # Panics
    ///
    /// There was none.
    #[must_use]
    pub fn header(self) -> Envelope {
        let headers = self.said(|envelope, _| envelope.session.is_some().then_some(*envelope));
        *headers.last().expect("something was said in a session")
    }
}
