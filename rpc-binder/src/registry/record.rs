//! One registration as the registry keeps it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use rpc_runtime::binder::{Entry, EntryState, Place, Registration, Report, Secret};
use rpc_runtime::time::{Duration, Instant};

use super::marks::Marks;
use super::millis;
use super::polls::Poll;
use super::told::Told;

/// When it is looked again for a registration whose end may not have been kept.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// By how much a store may be late to end a lease.
const STORE_IS_LATE: Duration = Duration::from_secs(1);

/// What lasts of a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What the server said.
    pub registration: Registration,
    /// By which it proves that it was it.
    pub secret: Secret,
}

/// A registration and its lease.
///
/// In memory as written here: first what a lookup reads, which in a large registry is far away each time.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Record {
    pub(super) lease_end: Instant,
    /// How long its lease is where only the store ends it; a binder then knows of renewals at others
    /// by nothing but that it is still there.
    pub(super) store_lease: Option<Duration>,
    /// As [`Entry::page_bytes`] of its entry.
    pub(super) page_bytes: u32,
    pub(super) marks: Marks,
    /// Whether the store has forgotten it: it is only shown.
    pub(super) is_gone: bool,
    /// Whether the store is being told that it ends because its lease is over.
    pub(super) is_ending: bool,
    told: Told,
    /// Never changed: what clients are told of it was marshalled when it began.
    pub(super) kept: Kept,
    /// Under which time it stands among the looks.
    pub(super) look: Instant,
    /// What its server said when it renewed last.
    pub(super) report: Option<Box<Report>>,
    /// When that was.
    pub(super) reported_at: Instant,
    /// When it renewed before that, and how many calls there had been.
    before: Option<(Instant, u64)>,
    /// If its server is asked how it is.
    pub(super) poll: Option<Poll>,
}

impl Record {
    pub(super) fn new(kept: Kept, lease_end: Instant) -> Self {
        Self {
            told: Told::of(&kept.registration),
            page_bytes: u32::try_from(kept.registration.page_bytes()).unwrap_or(u32::MAX),
            kept,
            lease_end,
            look: lease_end,
            store_lease: None,
            marks: Marks::NONE,
            report: None,
            reported_at: lease_end,
            before: None,
            poll: None,
            is_ending: false,
            is_gone: false,
        }
    }

    /// Takes in what its server says.
    pub(super) fn note(&mut self, now: Instant, report: Report) {
        self.before = self.report.as_ref().map(|last| (self.reported_at, last.figures.calls));
        self.reported_at = now;
        self.report = Some(Box::new(report));
    }

    /// How many calls there were between the last two reports, and how long that was.
    pub(super) fn lately(&self) -> (u64, Duration) {
        let (Some(report), Some((at, calls))) = (&self.report, self.before) else {
            return (0, Duration::ZERO);
        };
        (report.figures.calls.saturating_sub(calls), self.reported_at.since(at))
    }

    /// Whether `again` comes from the process whose registration this is.
    pub(super) fn is_of(&self, now: Instant, again: &Registration) -> bool {
        let known = &self.kept.registration;
        !self.is_over(now)
            && known.incarnation == again.incarnation
            && known.claim == again.claim
            && known.fingerprint == again.fingerprint
    }

    /// Whether its lease has ended; that may not have been kept yet.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.is_gone || self.is_over_by_clock(now, Duration::ZERO)
    }

    /// When its lease will have ended, unless it is renewed.
    pub(super) fn ends_by(&self, now: Instant) -> Instant {
        // Another binder may have prolonged it just now.
        self.store_lease.map_or(self.lease_end, |lease| now + lease + STORE_IS_LATE)
    }

    /// Whether nobody sees it any more: its lease has ended, and that is kept, or has had its time to be.
    pub(super) fn is_past(&self, now: Instant, settles: Duration) -> bool {
        self.is_gone || self.is_over_by_clock(now, settles)
    }

    fn is_over_by_clock(&self, now: Instant, settles: Duration) -> bool {
        self.store_lease.is_none() && self.lease_end + settles <= now
    }

    pub(super) fn is_forgotten(&self, now: Instant, expired_kept: Duration) -> bool {
        let is_ended = self.is_gone || self.store_lease.is_none();
        is_ended && self.lease_end + expired_kept <= now
    }

    /// `settles`: how long it is seen after its lease has ended, unless that is kept before.
    pub(super) fn state(&self, now: Instant, settles: Duration) -> EntryState {
        if self.is_past(now, settles) {
            EntryState::Expired
        } else if self.marks.has(Marks::DRAINING) {
            EntryState::Draining
        } else if self.marks.has(Marks::NOT_SERVING) {
            EntryState::NotServing
        } else if self.marks.has(Marks::SILENT) {
            EntryState::Silent
        } else {
            EntryState::Live
        }
    }

    pub(super) fn place(&self) -> Place {
        place(&self.kept.registration)
    }

    fn lease_left_ms(&self, now: Instant) -> u32 {
        let left = now.until(self.lease_end);
        let elsewhere = self.store_lease.filter(|_| !self.is_gone && left.is_zero());
        millis(elsewhere.unwrap_or(left))
    }

    /// Appends its entry, marshalled.
    pub(super) fn tell(&self, now: Instant, settles: Duration, out: &mut Vec<u8>) {
        let (left, state) = (self.lease_left_ms(now), self.state(now, settles));
        self.told.tell(&self.kept.registration, left, state, out);
    }

    pub(super) fn entry(&self, now: Instant, settles: Duration) -> Entry {
        let Registration { name, version, server, incarnation, addresses, fingerprint, .. } =
            &self.kept.registration;
        Entry {
            name: name.clone(),
            version: *version,
            server: *server,
            incarnation: *incarnation,
            addresses: addresses.clone(),
            fingerprint: *fingerprint,
            traits: self.kept.registration.traits.clone(),
            lease_left_ms: self.lease_left_ms(now),
            state: self.state(now, settles),
        }
    }
}

/// Where a registration stands.
pub(super) fn place(registration: &Registration) -> Place {
    let Registration { name, version, server, .. } = registration;
    Place { name: name.clone(), version: *version, server: *server }
}

/// Whether a server can be called at `address`: `scheme://place`, where an IP address is one of one
/// host.
pub(super) fn check_address(address: &str) -> Result<(), String> {
    let place = address.split_once("://").map(|(_, place)| place);
    let Some(place) = place.filter(|_| address.bytes().all(|byte| byte.is_ascii_graphic())) else {
        return Err(format!("{address:?} is no address: write scheme://place"));
    };
    match place.parse::<SocketAddr>() {
        Ok(socket) if socket.ip().to_canonical().is_unspecified() => {
            Err(format!("{address:?} stands for all addresses of a host: name one"))
        }
        Ok(socket) if socket.port() == 0 => Err(format!("{address:?} has no port")),
        Ok(_) | Err(_) => Ok(()), // names are for the clients to resolve
    }
}
