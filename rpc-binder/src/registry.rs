//! The binder's memory: who is registered, until when, and who fits a client's wish.
//!
//! ```text
//!   request ──plan──► Plan ──changes──► store ──kept──► apply ──► what clients see
//! ```
//!
//! Knows leases, lives of servers, secrets, limits and which interfaces may be live side by side.
//! Does not know any clock, socket, thread or disk: the time and the randomness are arguments, so
//! every run can be replayed. What is to last is *planned* first ([`plan`]), and *applied* once a
//! store has it: nobody sees a registration, or the end of one, that a crash could take back. Only the
//! end of a lease is seen all the same after [`Limits::settles`], should the store not take it.
//! Renewals are not kept: after a restart every registration has one whole lease to be renewed in.
//!
//! An expired registration is shown for a while in listings and never handed to a client.

mod admission;
mod compatibility;
pub mod follow;
mod interfaces;
pub mod managed;
pub mod marks;
mod names;
mod offers;
pub mod plan;
pub mod polls;
mod record;
mod records;
mod table;
mod told;

use std::collections::BTreeSet;

use rpc_runtime::binder::model::{
    DESCRIPTION_BYTES_MAX, NAME_BYTES_MAX, PAGE_BYTES_MAX, check_name,
};
use rpc_runtime::binder::report::CALLEES_MAX;
use rpc_runtime::binder::{
    BinderError, Entries, Entry, EntryState, Lease, Methods, Place, RegistrationId, Report,
    Revision, Secret, VersionRequirement,
};
use rpc_runtime::ids::ServerId;
use rpc_runtime::random::Rng;
use rpc_runtime::time::{Duration, Instant};

use interfaces::Interfaces;
use marks::{Marked, Marks};
use names::{Named, Names};
use offers::Offers;
use polls::Polls;
use record::Record;
use records::Records;
use table::Key;
use told::Page;

pub use admission::check_described;
pub use record::Kept;

/// What a registry holds at most, and how long it believes what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a registration is believed without a renewal.
    pub lease: Duration,
    /// How long an expired registration is shown.
    pub expired_kept: Duration,
    /// For how long clients still see a registration whose lease is over, while the store is told. What
    /// is not kept at all needs no such time.
    pub settles: Duration,
    /// Whether other binders have the same store. It alone ends leases then, and what it tells of is all
    /// that happens ([`follow`]).
    pub is_shared: bool,
    /// Registrations in all.
    pub registrations_max: u32,
    /// Registrations of one server, over all names and versions.
    pub server_registrations_max: u32,
    /// Methods of one interface.
    pub methods_max: u32,
    /// Descriptions of one interface's methods, in bytes.
    pub description_bytes_max: u32,
    /// Descriptions of all interfaces, in bytes.
    pub descriptions_bytes_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            expired_kept: Duration::from_secs(60),
            settles: Duration::ZERO,
            is_shared: false,
            registrations_max: 131_072,
            server_registrations_max: 64,
            methods_max: 256,
            description_bytes_max: DESCRIPTION_BYTES_MAX,
            descriptions_bytes_max: 64 << 20,
        }
    }
}

/// Who is registered.
#[derive(Debug)]
pub struct Registry {
    limits: Limits,
    rng: Box<dyn Rng>,
    records: Records,
    names: Names,
    by_server: BTreeSet<(ServerId, RegistrationId)>,
    /// When to look at a record again: not after its lease ends, and perhaps before.
    looks: BTreeSet<(Instant, RegistrationId)>,
    /// Whose servers are asked how they are.
    polls: Polls,
    /// Those that are only shown, the first to be forgotten first.
    gone: BTreeSet<(Instant, RegistrationId)>,
    interfaces: Interfaces,
    /// Drawn for registrations that another binder was in the way of. Nobody was told of them, and the store
    /// may have begun their leases.
    spare: Vec<(RegistrationId, Secret)>,
    /// What those have that are not only shown.
    offers: Offers,
    /// When the last name was let go of.
    forgotten: Revision,
    revision: Revision,
}

impl Registry {
    /// An empty registry, whose changes come after `before`.
    #[must_use]
    pub fn new(limits: Limits, mut rng: Box<dyn Rng>, before: Revision) -> Self {
        let key = Key::draw(&mut *rng);
        let interfaces = Interfaces::new(limits.is_shared);
        Self {
            limits,
            rng,
            records: Records::new(key.clone()),
            names: Names::new(key),
            by_server: BTreeSet::new(),
            looks: BTreeSet::new(),
            polls: Polls::default(),
            gone: BTreeSet::new(),
            interfaces,
            spare: Vec::new(),
            offers: Offers::default(),
            forgotten: before.next(),
            revision: before.next(),
        }
    }

    /// What it holds at most.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many registrations it holds, expired ones that are still shown among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The last change of all.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The last change under `name`; of one that nobody is registered under, the last by which that
    /// became so of any name.
    #[must_use]
    pub fn revision_of(&self, name: &str) -> Revision {
        self.names.changed(name).unwrap_or(self.forgotten)
    }

    /// Whether something has changed under `name` since `known`.
    #[must_use]
    pub fn has_news(&self, name: &str, known: Revision) -> bool {
        let last = self.revision_of(name);
        // Another binder may have told of later news than have come here; they will.
        if self.limits.is_shared { last > known } else { last != known }
    }

    /// Extends a registration's lease; also says what clients see of it.
    ///
    /// # Errors
    ///
    /// [`BinderError::UnknownRegistration`] when there is none any more,
    /// [`BinderError::WrongSecret`].
    pub fn renew(
        &mut self,
        now: Instant,
        id: RegistrationId,
        secret: Secret,
        report: &Report,
    ) -> Result<(Lease, Marked), BinderError> {
        self.check_secret(now, id, secret)?;
        if self.records[&id].is_ending {
            let reason = "its lease is over, which is being written down: try again".to_owned();
            return Err(BinderError::NotKept { reason });
        }
        let marked = self.hear(now, id, report);
        Ok((self.extend(now, id), marked))
    }

    /// All registrations, live or not, and what their servers said when they renewed last; in order of name,
    /// version and server.
    pub fn reports(&self, now: Instant) -> impl Iterator<Item = (Entry, Option<&Report>)> {
        let kept = self.limits.expired_kept;
        let records = self.names.all_after(None).map(|id| &self.records[&id]);
        let shown = records.filter(move |record| !record.is_forgotten(now, kept));
        shown.map(move |record| (record.entry(now, self.limits.settles), record.report.as_deref()))
    }

    /// The live servers that offer `name` in a version that will do: one page, after `after`.
    ///
    /// # Errors
    ///
    /// [`BinderError::Malformed`] when `name` cannot name a service.
    pub fn lookup(
        &self,
        now: Instant,
        name: &str,
        requirement: &VersionRequirement,
        after: Option<&Place>,
    ) -> Result<Entries, BinderError> {
        let (live, revision) = self.live(now, name, requirement, after)?;
        Ok(self.page(now, live, revision))
    }

    /// As [`Registry::lookup`], marshalled: appends to `out`.
    ///
    /// # Errors
    ///
    /// As [`Registry::lookup`]; nothing is appended.
    pub fn lookup_marshalled(
        &self,
        now: Instant,
        name: &str,
        requirement: &VersionRequirement,
        after: Option<&Place>,
        out: &mut Vec<u8>,
    ) -> Result<(), BinderError> {
        let (live, revision) = self.live(now, name, requirement, after)?;
        let mut page = Page::begin(out);
        let more = fill(live, |record| record.tell(now, self.limits.settles, page.next()));
        page.end(more, revision);
        Ok(())
    }

    /// Those that a lookup finds, and what they are as of.
    fn live<'r>(
        &'r self,
        now: Instant,
        name: &str,
        requirement: &'r VersionRequirement,
        after: Option<&Place>,
    ) -> Result<(impl Iterator<Item = &'r Record>, Revision), BinderError> {
        let may_be_known = name.len() <= NAME_BYTES_MAX;
        let named = may_be_known.then(|| self.names.get(name)).flatten();
        if named.is_none() {
            // Nobody is registered under a name that is none.
            check_name(name).map_err(|reason| BinderError::Malformed { reason })?;
        }
        let revision = named.map_or(self.forgotten, Named::changed);
        let standing = named.map_or(&[][..], |named| named.after(name, after)).iter();
        let fitting = standing.filter(|one| requirement.matches(one.version));
        let records = fitting.map(|one| self.records.at(one.slot));
        let live = records.filter(move |record| self.state(now, record) == EntryState::Live);
        Ok((live, revision))
    }

    /// All registrations, live or not: one page, after `after`.
    #[must_use]
    pub fn list(&self, now: Instant, after: Option<&Place>) -> Entries {
        let records = self.names.all_after(after).map(|id| &self.records[&id]);
        let kept = self.limits.expired_kept;
        let shown = records.filter(|record| !record.is_forgotten(now, kept));
        self.page(now, shown, self.revision)
    }

    /// The methods of an interface that somebody has registered, from index `from`: one page.
    ///
    /// # Errors
    ///
    /// [`BinderError::UnknownInterface`] when nobody has.
    pub fn methods(&self, fingerprint: u128, from: u32) -> Result<Methods, BinderError> {
        let methods = self.interfaces.get(fingerprint).ok_or(BinderError::UnknownInterface)?;
        let total = u32::try_from(methods.len()).expect("their number is bounded");
        let rest = methods.iter().skip(usize::try_from(from).unwrap_or(usize::MAX));
        let mut room = PAGE_BYTES_MAX;
        let fits = rest.enumerate().map_while(|(index, method)| {
            let left = room.checked_sub(method.page_bytes());
            room = left.unwrap_or(0);
            (left.is_some() || index == 0).then(|| method.clone())
        });
        Ok(Methods { methods: fits.collect(), total })
    }

    /// When [`Registry::due`] has something to do next, if it ever has.
    #[must_use]
    pub fn next_look(&self) -> Option<Instant> {
        self.looks.first().map(|(at, _)| *at)
    }

    fn state(&self, now: Instant, record: &Record) -> EntryState {
        record.state(now, self.limits.settles)
    }

    fn check_secret(
        &self,
        now: Instant,
        id: RegistrationId,
        secret: Secret,
    ) -> Result<(), BinderError> {
        let settles = self.limits.settles;
        let record = self.records.get(&id).filter(|record| !record.is_past(now, settles));
        match record {
            None => Err(BinderError::UnknownRegistration),
            Some(record) if record.kept.secret != secret => Err(BinderError::WrongSecret),
            Some(_) => Ok(()),
        }
    }

    /// Whether somebody may end a registration that a store may have.
    fn check_end(&self, id: RegistrationId, secret: Secret) -> Result<(), BinderError> {
        match self.records.get(&id).filter(|record| !record.is_gone) {
            None => Err(BinderError::UnknownRegistration),
            Some(record) if record.kept.secret != secret => Err(BinderError::WrongSecret),
            Some(_) => Ok(()),
        }
    }

    /// Starts the lease anew and says what the registration's owner needs to know.
    fn extend(&mut self, now: Instant, id: RegistrationId) -> Lease {
        let lease = self.limits.lease;
        let record = self.record_mut(id);
        record.lease_end = now + lease;
        Lease {
            id,
            secret: record.kept.secret,
            lease_ms: millis(lease),
            is_asked_to_drain: record.marks.has(Marks::ASKED_TO_DRAIN),
        }
    }

    /// Takes a record in, in place of whatever stands there.
    fn insert(&mut self, now: Instant, id: RegistrationId, kept: Kept) {
        self.interfaces.hold(kept.registration.fingerprint); // before the former lets go of it
        let marks = self.marks_of_next(id);
        self.remove(id);
        let end = now + self.limits.lease;
        let mut record = Record::new(kept, end);
        record.store_lease = self.limits.is_shared.then_some(self.limits.lease);
        record.marks = marks;
        let place = record.place();
        if let Some(former) = self.names.at(&place) {
            self.remove(former);
        }
        if record.store_lease.is_none() {
            self.looks.insert((end, id));
        }
        self.by_server.insert((place.server, id));
        self.offers.add(&place, record.kept.registration.fingerprint);
        let slot = self.records.insert(id, record);
        self.names.add(&place, id, slot);
        self.touch(&place.name);
    }

    /// What stays marked when a registration is given another form, by the same process.
    fn marks_of_next(&self, id: RegistrationId) -> Marks {
        let known = self.records.get(&id).filter(|record| !record.is_gone);
        let marks = known.map_or(Marks::NONE, |record| record.marks);
        if self.limits.is_shared {
            marks // as the store has them
        } else if marks.has(Marks::ASKED_TO_DRAIN) {
            Marks::ASKED_TO_DRAIN.with(Marks::DRAINING)
        } else {
            Marks::NONE // its next report says the rest
        }
    }

    /// Lets a record go, if it is there.
    fn remove(&mut self, id: RegistrationId) {
        self.forget_poll(id);
        let Some(record) = self.records.remove(&id) else { return };
        let place = record.place();
        self.looks.remove(&(record.look, id));
        self.gone.remove(&(record.lease_end, id));
        self.by_server.remove(&(place.server, id));
        self.interfaces.release(record.kept.registration.fingerprint);
        if !record.is_gone {
            self.offers.remove(&place, record.kept.registration.fingerprint);
            self.touch(&place.name);
        }
        if self.names.remove(&place) {
            self.forgotten = self.revision;
        }
    }

    /// Something has changed under a name.
    fn touch(&mut self, name: &str) {
        if !self.limits.is_shared {
            self.revision = self.revision.next();
        }
        self.names.touch(name, self.revision);
    }

    fn of_server(&self, server: ServerId) -> impl Iterator<Item = (RegistrationId, &Record)> {
        let all = (server, RegistrationId(0))..=(server, RegistrationId(u64::MAX));
        self.by_server.range(all).map(|(_, id)| (*id, &self.records[id]))
    }

    fn record_mut(&mut self, id: RegistrationId) -> &mut Record {
        self.records.get_mut(&id).expect("the caller found the record")
    }

    /// As many entries as fit a page, and at least one if there is any.
    fn page<'a>(
        &self,
        now: Instant,
        records: impl Iterator<Item = &'a Record>,
        revision: Revision,
    ) -> Entries {
        let mut entries = Vec::new();
        let more = fill(records, |record| entries.push(record.entry(now, self.limits.settles)));
        Entries { entries, more, revision }
    }
}

/// Puts one record after the other on a page, for as long as there is room. Says whether more would follow.
fn fill<'r>(records: impl Iterator<Item = &'r Record>, mut put: impl FnMut(&'r Record)) -> bool {
    let mut room = u32::try_from(PAGE_BYTES_MAX).ok();
    for (index, record) in records.enumerate() {
        room = room.and_then(|room| room.checked_sub(record.page_bytes));
        if room.is_none() && index > 0 {
            return true;
        }
        put(record);
    }
    false
}

/// What is kept of a report: as much as it may say, whoever says it.
fn bounded(report: &Report) -> Report {
    let mut report = report.clone();
    report.callees.retain(|callee| check_name(&callee.name).is_ok());
    report.callees.truncate(CALLEES_MAX);
    report
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
