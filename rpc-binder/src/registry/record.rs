//! One registration as the registry keeps it.

use std::net::SocketAddr;

use rpc_runtime::binder::model::{FORM_BYTES_MAX, NAME_BYTES_MAX, SIGNATURE_BYTES_MAX, cut};
use rpc_runtime::binder::{
    BinderError, Entry, EntryState, Limit, MethodDescription, Place, Registration, Secret,
};
use rpc_runtime::time::{Duration, Instant};

/// A registration, its lease, and as much of its interface as is described.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) registration: Registration,
    pub(super) secret: Secret,
    pub(super) lease_end: Instant,
    /// Whether its interface is complete and fits what is live.
    pub(super) is_admitted: bool,
    methods: Vec<MethodDescription>,
    description_bytes: usize,
}

impl Record {
    pub(super) fn new(registration: Registration, secret: Secret, now: Instant) -> Self {
        let is_admitted = registration.methods == 0;
        Self {
            registration,
            secret,
            lease_end: now,
            is_admitted,
            methods: Vec::new(),
            description_bytes: 0,
        }
    }

    pub(super) fn methods(&self) -> &[MethodDescription] {
        &self.methods
    }

    pub(super) fn described(&self) -> u32 {
        u32::try_from(self.methods.len()).expect("bounded by the number announced, a u32")
    }

    pub(super) fn is_described(&self) -> bool {
        self.described() == self.registration.methods
    }

    /// Takes the next methods of the interface.
    pub(super) fn describe(
        &mut self,
        page: Vec<MethodDescription>,
        bytes_max: u32,
    ) -> Result<(), BinderError> {
        let announced = self.registration.methods;
        let total = self.methods.len() + page.len();
        if u32::try_from(total).map_or(true, |total| total > announced) {
            let reason = format!("{announced} methods were announced, and more are described");
            return Err(BinderError::Malformed { reason });
        }
        let bytes: usize = page.iter().map(MethodDescription::page_bytes).sum();
        if self.description_bytes + bytes > usize::try_from(bytes_max).unwrap_or(usize::MAX) {
            return Err(BinderError::Limit { of: Limit::DescriptionBytes, max: bytes_max });
        }
        page.iter().try_for_each(check_method)?;
        self.description_bytes += bytes;
        self.methods.extend(page);
        Ok(())
    }

    /// Whether `again` is this registration, asked for by the same process once more.
    pub(super) fn is_repeated_by(&self, now: Instant, again: &Registration) -> bool {
        let known = &self.registration;
        !self.is_expired(now)
            && known.incarnation == again.incarnation
            && known.claim == again.claim
            && known.fingerprint == again.fingerprint
            && known.methods == again.methods
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.lease_end <= now
    }

    pub(super) fn is_forgotten(&self, now: Instant, expired_kept: Duration) -> bool {
        self.lease_end + expired_kept <= now
    }

    pub(super) fn state(&self, now: Instant) -> EntryState {
        match (self.is_expired(now), self.is_admitted) {
            (true, _) => EntryState::Expired,
            (false, true) => EntryState::Live,
            (false, false) => EntryState::Announced,
        }
    }

    pub(super) fn place(&self) -> Place {
        let Registration { name, version, server, .. } = &self.registration;
        Place { name: name.clone(), version: *version, server: *server }
    }

    pub(super) fn entry(&self, now: Instant) -> Entry {
        let left = now.until(self.lease_end).as_millis();
        let Registration { name, version, server, incarnation, addresses, fingerprint, .. } =
            &self.registration;
        Entry {
            name: name.clone(),
            version: *version,
            server: *server,
            incarnation: *incarnation,
            addresses: addresses.clone(),
            fingerprint: *fingerprint,
            lease_left_ms: u32::try_from(left).unwrap_or(u32::MAX),
            state: self.state(now),
        }
    }
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
        .iter()
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
    Ok(())
}
