//! Who may register: the form of a registration, whose identity it is, what it replaces, whether there
//! is room, and whether its interface may be live beside those that are.
//!
//! Does not touch leases; what expired and is in the way is removed.

use std::collections::BTreeSet;

use rpc_runtime::binder::model::{self, ADDRESS_BYTES_MAX, ADDRESSES_MAX, check_name};
use rpc_runtime::binder::{
    BinderError, EntryState, Limit, MethodDescription, Place, Registration, RegistrationId, Version,
};
use rpc_runtime::time::Instant;

use super::{Registry, compatibility, first_place, millis, record};

impl Registry {
    pub(super) fn check_form(&self, registration: &Registration) -> Result<(), BinderError> {
        let malformed = |reason: String| BinderError::Malformed { reason };
        check_name(&registration.name).map_err(malformed)?;
        if !registration.server.is_some() || !registration.incarnation.is_some() {
            return Err(malformed("a server needs an id and an incarnation".into()));
        }
        if registration.addresses.is_empty() {
            return Err(malformed("a server needs an address".into()));
        }
        limit(registration.addresses.len(), Limit::Addresses, ADDRESSES_MAX)?;
        for address in &registration.addresses {
            limit(address.len(), Limit::AddressBytes, ADDRESS_BYTES_MAX)?;
            record::check_address(address).map_err(malformed)?;
        }
        if registration.methods > self.limits.methods_max {
            return Err(BinderError::Limit { of: Limit::Methods, max: self.limits.methods_max });
        }
        Ok(())
    }

    /// Whether another life or another process has this server's identity.
    pub(super) fn check_identity(
        &self,
        now: Instant,
        new: &Registration,
    ) -> Result<(), BinderError> {
        for record in self.of_server(new.server).filter(|record| !record.is_expired(now)) {
            let known = &record.registration;
            if known.incarnation > new.incarnation {
                return Err(BinderError::OldIncarnation { highest: known.incarnation });
            }
            if known.incarnation == new.incarnation && known.claim != new.claim {
                return Err(BinderError::IdentityInUse);
            }
        }
        let others = self
            .of_server(new.server)
            .filter(|record| !record.is_expired(now) && record.registration.claim != new.claim);
        match others.map(|record| record.lease_end).max() {
            None => Ok(()),
            Some(end) => Err(BinderError::FormerLife { left_ms: millis(now.until(end)) }),
        }
    }

    /// What ends when `new` begins: the server's earlier lives, and what stands in its own place.
    pub(super) fn replaced_by(&self, new: &Registration, place: &Place) -> Vec<RegistrationId> {
        let former = self.by_server.get(&new.server).into_iter().flatten().copied();
        let former =
            former.filter(|id| self.records[id].registration.incarnation != new.incarnation);
        let mut replaced: Vec<_> = former.collect();
        replaced.extend(self.by_place.get(place).filter(|id| !replaced.contains(id)));
        replaced
    }

    pub(super) fn check_room(
        &mut self,
        now: Instant,
        new: &Registration,
        replaced: &[RegistrationId],
    ) -> Result<(), BinderError> {
        let of_server = self.of_server(new.server).count() - replaced.len();
        let max = self.limits.server_registrations_max;
        if of_server >= usize::try_from(max).unwrap_or(usize::MAX) {
            return Err(BinderError::Limit { of: Limit::RegistrationsOfServer, max });
        }
        let max = self.limits.registrations_max;
        let room = usize::try_from(max).unwrap_or(usize::MAX);
        while self.records.len() - replaced.len() >= room {
            let expired = self.by_lease_end.iter().take_while(|(end, _)| *end <= now);
            let unneeded = expired.map(|&(_, id)| id).find(|id| !replaced.contains(id));
            match unneeded {
                Some(id) => self.remove(id),
                None => return Err(BinderError::Limit { of: Limit::Registrations, max }),
            }
        }
        Ok(())
    }

    /// Whether an interface may be live beside what is.
    pub(super) fn check_fit(
        &self,
        now: Instant,
        place: &Place,
        methods: &[MethodDescription],
    ) -> Result<(), BinderError> {
        let major = place.version.major;
        let first = Place { version: Version::new(major, 0), ..first_place(&place.name) };
        let same = self.by_place.range(first..);
        let same =
            same.take_while(|(other, _)| other.name == place.name && other.version.major == major);
        let live = same
            .filter(|(other, _)| other.server != place.server)
            .map(|(other, id)| (other, &self.records[id]))
            .filter(|(_, record)| record.state(now) == EntryState::Live);
        let mut seen = BTreeSet::new();
        let candidate = compatibility::Candidate::new(place, methods);
        for (other, record) in live {
            if !seen.insert((other.version, record.registration.fingerprint)) {
                continue;
            }
            if let Some(difference) = candidate.difference(other, record.methods()) {
                let difference = model::cut(&difference, model::REASON_BYTES_MAX).to_owned();
                return Err(BinderError::Incompatible { difference });
            }
        }
        Ok(())
    }

    /// All methods are described: admits the registration, or ends it.
    pub(super) fn go_live(&mut self, now: Instant, id: RegistrationId) -> Result<(), BinderError> {
        let methods = self.records[&id].methods().to_vec();
        let place = self.records[&id].place();
        let fit = compatibility::check_names(&methods)
            .and_then(|()| self.check_fit(now, &place, &methods));
        match fit {
            Ok(()) => {
                self.record_mut(id).is_admitted = true;
                Ok(())
            }
            Err(error) => {
                self.remove(id);
                Err(error)
            }
        }
    }
}

fn limit(got: usize, of: Limit, max: usize) -> Result<(), BinderError> {
    if got <= max {
        return Ok(());
    }
    Err(BinderError::Limit { of, max: u32::try_from(max).unwrap_or(u32::MAX) })
}
