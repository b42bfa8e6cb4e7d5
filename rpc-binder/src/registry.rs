//! The binder's memory: who is registered, until when, and who fits a client's wish.
//!
//! Knows leases, lives of servers, secrets, limits and which interfaces may be live side by side.
//! Does not know any clock, socket or thread: the time and the randomness are arguments, so every
//! run can be replayed. It is volatile: a restarted binder knows nobody, and servers register again.
//!
//! A registration is *announced* first and *live* once all methods of its interface are described,
//! because an interface may be longer than a datagram. An expired one is shown for a while in
//! listings and never handed to a client.

mod admission;
mod compatibility;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use rpc_runtime::binder::model::{PAGE_BYTES_MAX, check_name};
use rpc_runtime::binder::{
    BinderError, Entries, Entry, EntryState, Lease, MethodDescription, Methods, Place,
    Registration, RegistrationId, Secret, Version, VersionRequirement,
};
use rpc_runtime::ids::ServerId;
use rpc_runtime::random::Rng;
use rpc_runtime::time::{Duration, Instant};

use record::Record;

/// What a registry holds at most, and how long it believes what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a registration is believed without a renewal.
    pub lease: Duration,
    /// How long an expired registration is shown.
    pub expired_kept: Duration,
    /// Registrations in all.
    pub registrations_max: u32,
    /// Registrations of one server, over all names and versions.
    pub server_registrations_max: u32,
    /// Methods of one interface.
    pub methods_max: u32,
    /// Descriptions of one interface's methods, in bytes.
    pub description_bytes_max: u32,
}

impl Default for Limits {
    /// At most 64 MiB of descriptions, if every server had the largest and each its own.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            expired_kept: Duration::from_secs(60),
            registrations_max: 4096,
            server_registrations_max: 64,
            methods_max: 256,
            description_bytes_max: 16 << 10,
        }
    }
}

/// Who is registered.
#[derive(Debug)]
pub struct Registry {
    limits: Limits,
    rng: Box<dyn Rng>,
    records: BTreeMap<RegistrationId, Record>,
    by_place: BTreeMap<Place, RegistrationId>,
    by_server: BTreeMap<ServerId, BTreeSet<RegistrationId>>,
    by_lease_end: BTreeSet<(Instant, RegistrationId)>,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new(limits: Limits, rng: Box<dyn Rng>) -> Self {
        Self {
            limits,
            rng,
            records: BTreeMap::new(),
            by_place: BTreeMap::new(),
            by_server: BTreeMap::new(),
            by_lease_end: BTreeSet::new(),
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

    /// Registers a server's service, or renews the registration if the same process asks again.
    ///
    /// A later life of a server takes the place of an earlier one, with all that was registered: if
    /// it has the earlier one's claim at once, else when that one's lease is over. So nobody strikes
    /// off a server whose claim he does not know.
    ///
    /// # Errors
    ///
    /// [`BinderError`] when the request is malformed, a limit is reached, another life or another
    /// process has the identity, or (an interface without methods) the interface does not fit.
    pub fn register(
        &mut self,
        now: Instant,
        registration: Registration,
    ) -> Result<Lease, BinderError> {
        self.forget_expired(now);
        self.check_form(&registration)?;
        self.check_identity(now, &registration)?;
        let place = Place {
            name: registration.name.clone(),
            version: registration.version,
            server: registration.server,
        };
        if let Some(&id) = self.by_place.get(&place)
            && self.records[&id].is_repeated_by(now, &registration)
        {
            self.record_mut(id).registration.addresses = registration.addresses;
            return Ok(self.extend(now, id));
        }
        let replaced = self.replaced_by(&registration, &place);
        self.check_room(now, &registration, &replaced)?;
        if registration.methods == 0 {
            self.check_fit(now, &place, &[])?;
        }
        for id in replaced {
            self.remove(id);
        }
        Ok(self.insert(now, place, registration))
    }

    /// Describes the next methods of a registration's interface; the last of them makes it live.
    ///
    /// A page that is not the next one (the reply to the last was lost) changes nothing; the lease
    /// says where to go on.
    ///
    /// # Errors
    ///
    /// [`BinderError`] when the secret is wrong, the page is malformed, or the interface does not
    /// fit what is live; the last ends the registration.
    pub fn describe(
        &mut self,
        now: Instant,
        id: RegistrationId,
        secret: Secret,
        from: u32,
        page: Vec<MethodDescription>,
    ) -> Result<Lease, BinderError> {
        self.forget_expired(now);
        self.check_secret(now, id, secret)?;
        if self.records[&id].described() != from {
            return Ok(self.extend(now, id));
        }
        let description_bytes_max = self.limits.description_bytes_max;
        let record = self.record_mut(id);
        record.describe(page, description_bytes_max)?;
        if record.is_described() {
            self.go_live(now, id)?;
        }
        Ok(self.extend(now, id))
    }

    /// Extends a registration's lease.
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
    ) -> Result<Lease, BinderError> {
        self.forget_expired(now);
        self.check_secret(now, id, secret)?;
        Ok(self.extend(now, id))
    }

    /// Ends a registration.
    ///
    /// # Errors
    ///
    /// [`BinderError::UnknownRegistration`] when there is none any more,
    /// [`BinderError::WrongSecret`].
    pub fn deregister(
        &mut self,
        now: Instant,
        id: RegistrationId,
        secret: Secret,
    ) -> Result<(), BinderError> {
        self.forget_expired(now);
        self.check_secret(now, id, secret)?;
        self.remove(id);
        Ok(())
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
        check_name(name).map_err(|reason| BinderError::Malformed { reason })?;
        let first = first_place(name);
        let from = match after {
            Some(place) if place.name == name => Bound::Excluded(place),
            _ => Bound::Included(&first),
        };
        let named = self.by_place.range::<Place, _>((from, Bound::Unbounded));
        let named = named.take_while(|(place, _)| place.name == name);
        let fitting = named.filter(|(place, _)| requirement.matches(place.version));
        let records = fitting.map(|(_, id)| &self.records[id]);
        Ok(page(now, records.filter(|record| record.state(now) == EntryState::Live)))
    }

    /// All registrations, live or not: one page, after `after`.
    #[must_use]
    pub fn list(&self, now: Instant, after: Option<&Place>) -> Entries {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let places = self.by_place.range::<Place, _>((from, Bound::Unbounded));
        let records = places.map(|(_, id)| &self.records[id]);
        page(now, records.filter(|record| !record.is_forgotten(now, self.limits.expired_kept)))
    }

    /// The methods of a live server's interface, from index `from`: one page. `fingerprint` names
    /// the interface that the asker means, should another one stand there since.
    ///
    /// # Errors
    ///
    /// [`BinderError::UnknownServer`] when no such server is live.
    pub fn methods(
        &self,
        now: Instant,
        place: &Place,
        fingerprint: u128,
        from: u32,
    ) -> Result<Methods, BinderError> {
        let record = self.by_place.get(place).map(|id| &self.records[id]);
        let record = record
            .filter(|record| record.state(now) == EntryState::Live)
            .filter(|record| record.registration.fingerprint == fingerprint)
            .ok_or(BinderError::UnknownServer)?;
        let rest = record.methods().iter().skip(usize::try_from(from).unwrap_or(usize::MAX));
        let mut room = PAGE_BYTES_MAX;
        let methods = rest.map_while(|method| {
            room = room.checked_sub(method.page_bytes())?;
            Some(method.clone())
        });
        Ok(Methods { methods: methods.collect(), total: record.described() })
    }

    /// Drops what expired so long ago that it is not even shown.
    fn forget_expired(&mut self, now: Instant) {
        while let Some(&(end, id)) = self.by_lease_end.first()
            && end + self.limits.expired_kept <= now
        {
            self.remove(id);
        }
    }

    fn check_secret(
        &self,
        now: Instant,
        id: RegistrationId,
        secret: Secret,
    ) -> Result<(), BinderError> {
        let record = self.records.get(&id).filter(|record| !record.is_expired(now));
        match record {
            None => Err(BinderError::UnknownRegistration),
            Some(record) if record.secret != secret => Err(BinderError::WrongSecret),
            Some(_) => Ok(()),
        }
    }

    fn insert(&mut self, now: Instant, place: Place, registration: Registration) -> Lease {
        let id = loop {
            let id = RegistrationId(self.rng.next_nonzero());
            if !self.records.contains_key(&id) {
                break id;
            }
        };
        let secret = u128::from(self.rng.next_u64()) << 64 | u128::from(self.rng.next_u64());
        let server = registration.server;
        let record = Record::new(registration, Secret(secret), now);
        self.by_lease_end.insert((now, id));
        self.by_place.insert(place, id);
        self.by_server.entry(server).or_default().insert(id);
        self.records.insert(id, record);
        self.extend(now, id)
    }

    /// Starts the lease anew and says what the registration's owner needs to know.
    fn extend(&mut self, now: Instant, id: RegistrationId) -> Lease {
        let lease = self.limits.lease;
        let record = self.record_mut(id);
        let before = std::mem::replace(&mut record.lease_end, now + lease);
        let answer = Lease {
            id,
            secret: record.secret,
            lease_ms: millis(lease),
            described: record.described(),
        };
        self.by_lease_end.remove(&(before, id));
        self.by_lease_end.insert((now + lease, id));
        answer
    }

    fn remove(&mut self, id: RegistrationId) {
        let record = self.records.remove(&id).expect("an index names records only");
        let server = record.registration.server;
        self.by_lease_end.remove(&(record.lease_end, id));
        self.by_place.remove(&record.place());
        let ids = self.by_server.get_mut(&server).expect("every record's server is indexed");
        ids.remove(&id);
        if ids.is_empty() {
            self.by_server.remove(&server);
        }
    }

    fn of_server(&self, server: ServerId) -> impl Iterator<Item = &Record> {
        self.by_server.get(&server).into_iter().flatten().map(|id| &self.records[id])
    }

    fn record_mut(&mut self, id: RegistrationId) -> &mut Record {
        self.records.get_mut(&id).expect("the caller found the record")
    }
}

fn first_place(name: &str) -> Place {
    Place { name: name.to_owned(), version: Version::new(0, 0), server: ServerId(0) }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// As many entries as fit a page.
fn page<'a>(now: Instant, mut records: impl Iterator<Item = &'a Record>) -> Entries {
    let mut room = PAGE_BYTES_MAX;
    let mut entries: Vec<Entry> = Vec::new();
    for record in records.by_ref() {
        let entry = record.entry(now);
        let Some(left) = room.checked_sub(entry.page_bytes()) else {
            return Entries { entries, more: true };
        };
        room = left;
        entries.push(entry);
    }
    Entries { entries, more: false }
}

#[cfg(test)]
mod tests;
