//! Who may register: the form of a registration, whose identity it is, whether there is room, and
//! whether its interface may be live beside those that are.
//!
//! Does not touch leases; of what is only shown, something makes room.

use rpc_runtime::binder::model::{
    self, ADDRESS_BYTES_MAX, ADDRESSES_MAX, FORM_BYTES_MAX, NAME_BYTES_MAX, PARAMETERS_BYTES_MAX,
    SIGNATURE_BYTES_MAX, check_name, cut,
};
use rpc_runtime::binder::{
    BinderError, Fit, Limit, MethodDescription, Place, Registration, RegistrationId,
};
use rpc_runtime::ids::ServerId;
use rpc_runtime::interface::fingerprint_of;
use rpc_runtime::shape::MethodSchema;
use rpc_runtime::time::Instant;

use super::offers::Offer;
use super::plan::Batch;
use super::{Limits, Registry, compatibility, interfaces, millis, record};

impl Limits {
    /// Whether a registration is well formed, and within these limits by itself.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(
        &self,
        registration: &Registration,
        methods: Option<&[MethodDescription]>,
    ) -> Result<(), BinderError> {
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
        registration.traits.check().map_err(malformed)?;
        match methods {
            None => Ok(()),
            Some(methods) => self.check_interface(registration, methods),
        }
    }

    fn check_interface(
        &self,
        registration: &Registration,
        methods: &[MethodDescription],
    ) -> Result<(), BinderError> {
        limit(methods.len(), Limit::Methods, size(self.methods_max))?;
        methods.iter().try_for_each(check_method)?;
        let bytes = interfaces::bytes(methods);
        limit(bytes, Limit::DescriptionBytes, size(self.description_bytes_max))?;
        compatibility::check_names(methods)?;
        let fingerprints = methods.iter().map(|method| method.fingerprint);
        if fingerprint_of(&registration.name, fingerprints) != registration.fingerprint {
            let reason = "the fingerprint is not that of the interface described".to_owned();
            return Err(BinderError::Malformed { reason });
        }
        Ok(())
    }
}

/// Whether each method's description is that of its fingerprint, as far as that can be seen: who describes an
/// interface first must not lie to those who call it by its description.
///
/// # Errors
///
/// [`BinderError::Malformed`].
pub fn check_described(service: &str, methods: &[MethodDescription]) -> Result<(), BinderError> {
    for method in methods {
        let malformed = |flaw: &str| {
            let reason = format!("{flaw} of {:?}", cut(&method.name, NAME_BYTES_MAX));
            Err(BinderError::Malformed { reason })
        };
        if method.fit(service) == Fit::Not {
            return malformed("the fingerprint is not that of name, semantics and form");
        }
        let names = method.parameters.len();
        let form = MethodSchema::parse(&method.form).ok().filter(|form| form.output.is_some());
        if names > 0 && form.is_some_and(|form| form.parameters.len() != names) {
            return malformed("there are not as many names as parameters");
        }
    }
    Ok(())
}

impl Registry {
    /// Whether another life or another process has this server's identity.
    pub(super) fn check_identity(
        &self,
        now: Instant,
        new: &Registration,
    ) -> Result<(), BinderError> {
        let records = self.of_server(new.server).map(|(_, record)| record);
        let believed = records.filter(|record| !record.is_over(now));
        let mut former = None;
        for record in believed {
            let known = &record.kept.registration;
            if known.incarnation > new.incarnation {
                return Err(BinderError::OldIncarnation { highest: known.incarnation });
            }
            if known.claim != new.claim {
                if known.incarnation == new.incarnation {
                    return Err(BinderError::IdentityInUse);
                }
                former = former.max(Some(record.ends_by(now)));
            }
        }
        match former {
            None => Ok(()),
            Some(end) => Err(BinderError::FormerLife { left_ms: millis(now.until(end)) }),
        }
    }

    /// Whether there is room for `new`, as `id`, where `ends` end. Counts it in the batch if there is.
    pub(super) fn check_room(
        &mut self,
        new: &Registration,
        id: RegistrationId,
        ends: &[RegistrationId],
        described: Option<&[MethodDescription]>,
        batch: &mut Batch,
    ) -> Result<(), BinderError> {
        let others = self.of_server(new.server);
        let others = others.filter(|(other, _)| *other != id && !ends.contains(other)).count();
        let max = self.limits.server_registrations_max;
        if others >= size(max) {
            return Err(BinderError::Limit { of: Limit::RegistrationsOfServer, max });
        }
        let max = self.limits.registrations_max;
        let begins = usize::from(!self.records.contains_key(&id));
        while (self.records.len() + batch.begins + begins).saturating_sub(ends.len()) > size(max) {
            let shown = self.gone.iter().map(|(_, id)| *id).find(|id| !ends.contains(id));
            match shown {
                Some(id) => self.remove(id),
                None => return Err(BinderError::Limit { of: Limit::Registrations, max }),
            }
        }
        let bytes = described.map_or(0, interfaces::bytes);
        let max = self.limits.descriptions_bytes_max;
        if self.interfaces.bytes() + batch.description_bytes + bytes > size(max) {
            return Err(BinderError::Limit { of: Limit::DescriptionsBytes, max });
        }
        batch.begins += begins;
        batch.description_bytes += bytes;
        Ok(())
    }

    /// Whether an interface may be live beside what others offer.
    pub(super) fn check_fit(
        &self,
        place: &Place,
        methods: &[MethodDescription],
    ) -> Result<(), BinderError> {
        let own = self.of_server(place.server).map(|(_, record)| record);
        let own = own.filter(|record| !record.is_gone).map(|record| &record.kept.registration);
        let own = own.filter(|own| own.name == place.name);
        let own = own.map(|own| (own.version, own.fingerprint));
        let candidate = compatibility::Candidate::new(place, methods);
        for (version, fingerprint) in self.offers.of_others(place, own) {
            let methods = self.interfaces.get(fingerprint).map_or(&[][..], |methods| methods);
            let other = || self.one_of((version, fingerprint), place);
            if let Some(difference) = candidate.difference(version, methods, other) {
                let difference = cut(&difference, model::REASON_BYTES_MAX).to_owned();
                return Err(BinderError::Incompatible { difference });
            }
        }
        Ok(())
    }

    /// A server that offers that under the name of `place`, and is not the one there.
    fn one_of(&self, (version, fingerprint): Offer, place: &Place) -> ServerId {
        let same = self.names.under_since(&place.name, version).iter();
        let same = same.take_while(|other| other.version == version);
        let mut others = same.filter(|other| {
            let record = &self.records[&other.id];
            let is_that = record.kept.registration.fingerprint == fingerprint;
            other.server != place.server && !record.is_gone && is_that
        });
        others.next().map_or(ServerId::NONE, |other| other.server)
    }
}

fn check_method(method: &MethodDescription) -> Result<(), BinderError> {
    let malformed = |reason: String| Err(BinderError::Malformed { reason });
    let shown = cut(&method.name, NAME_BYTES_MAX);
    if method.name.is_empty() || method.name.len() > NAME_BYTES_MAX {
        return malformed(format!(
            "a method's name has 1 to {NAME_BYTES_MAX} bytes, and {shown:?} has {}",
            method.name.len()
        ));
    }
    if [&method.name, &method.signature, &method.form]
        .into_iter()
        .chain(&method.parameters)
        .any(|text| text.contains(char::is_control))
    {
        return malformed(format!("control characters in the description of {shown:?}"));
    }
    if method.signature.len() > SIGNATURE_BYTES_MAX {
        return malformed(format!(
            "the signature of {shown:?} has more than {SIGNATURE_BYTES_MAX} bytes"
        ));
    }
    if method.form.len() > FORM_BYTES_MAX {
        return malformed(format!("the form of {shown:?} has more than {FORM_BYTES_MAX} bytes"));
    }
    let names = method.parameters.iter().map(String::len).sum::<usize>();
    if names > PARAMETERS_BYTES_MAX || method.parameters.iter().any(String::is_empty) {
        return malformed(format!(
            "the parameters of {shown:?} have no name, or more than {PARAMETERS_BYTES_MAX} bytes \
             of names"
        ));
    }
    Ok(())
}

fn limit(got: usize, of: Limit, max: usize) -> Result<(), BinderError> {
    if got <= max {
        return Ok(());
    }
    Err(BinderError::Limit { of, max: u32::try_from(max).unwrap_or(u32::MAX) })
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
