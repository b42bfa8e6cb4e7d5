//! What servers, binders and clients tell each other about services.
//!
//! Knows the data and its limits: lists of servers and of methods travel in pages that fit a datagram, as
//! a rule; only a single method with large types is longer. Does not know how a registry keeps it or who
//! asks.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::version::{Version, VersionRequirement};
use crate::ids::{Incarnation, MethodFingerprint, ServerId};
use crate::interface::method_fingerprint_of;
use crate::semantics::Semantics;
pub use crate::server::Traits;
use crate::time::Duration;

/// Longest name of a service or a method, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest address, in bytes: a URL with a host name.
pub const ADDRESS_BYTES_MAX: usize = 96;
/// Most addresses of one server.
pub const ADDRESSES_MAX: usize = 8;
/// Longest signature that is kept, in bytes; a longer one is cut, its fingerprint still covers all.
pub const SIGNATURE_BYTES_MAX: usize = 384;
/// Longest form that is kept, in bytes; a longer one is cut, and the method can be called by those
/// only who have its types.
pub const FORM_BYTES_MAX: usize = 4 << 10;
/// Longest form of an interface that would be beyond [`DESCRIPTION_BYTES_MAX`] otherwise, in bytes.
pub const FORM_BYTES_SHORT: usize = 384;
/// Most bytes of all names of a method's parameters; longer ones are not kept.
pub const PARAMETERS_BYTES_MAX: usize = 1 << 10;
/// Descriptions of one interface's methods that a binder takes, in bytes.
pub const DESCRIPTION_BYTES_MAX: u32 = 64 << 10;
/// Longest text in a [`BinderError`], in bytes.
pub const REASON_BYTES_MAX: usize = 400;
/// A page is closed before it grows past this, in bytes, unless it would hold nothing.
pub const PAGE_BYTES_MAX: usize = 1000;
/// Upper bound of what the fields of fixed size add to an entry or a registration, in bytes.
const FIXED_BYTES_MAX: usize = 110;
/// What an entry counts on a page, at the least, in bytes.
pub const ENTRY_BYTES_MIN: usize = FIXED_BYTES_MAX;

const _: () = assert!(
    NAME_BYTES_MAX + SIGNATURE_BYTES_MAX + FORM_BYTES_SHORT + FIXED_BYTES_MAX <= PAGE_BYTES_MAX,
    "a method with a short form and no names fits a page"
);
const _: () =
    assert!(FORM_BYTES_MAX <= crate::shape::TEXT_BYTES_MAX, "every form that is kept can be read");

/// Names one registration at one binder, until it ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RegistrationId(pub u64);

impl fmt::Display for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r#{:016x}", self.0)
    }
}

impl fmt::Debug for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Proves that who renews or ends a registration is who made it. Never printed.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub u128);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A point in the history of a binder's registrations. It never goes back; over restarts neither.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Revision(pub u64);

impl Revision {
    /// Before any change.
    pub const NONE: Self = Self(0);

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rev {}", self.0)
    }
}

/// What a server says about one of its services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The service's name: 1 to 64 of `a-z 0-9 . _ -`.
    pub name: String,
    /// The interface's version.
    pub version: Version,
    /// Which server.
    pub server: ServerId,
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// Where it is reached, best first; at least one.
    pub addresses: Vec<String>,
    /// Covers the interface with everything in it: [`fingerprint_of`](crate::interface::fingerprint_of).
    pub fingerprint: u128,
    /// What it says of itself besides.
    pub traits: Traits,
    /// Random, and kept to itself by the server's process: tells a server that asks again (its reply
    /// was lost) from another process that uses the same identity. A later life that knows it takes
    /// the place of the earlier one at once.
    pub claim: u64,
}

/// What a client needs to know of a method before it calls it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodDescription {
    /// Its name on the wire.
    pub name: String,
    /// Parameters and result, as written; cut at [`SIGNATURE_BYTES_MAX`].
    pub signature: String,
    /// The names of its parameters, in order; none where they are not known. No part of the
    /// fingerprint: who calls by type does not see them.
    pub parameters: Vec<String>,
    /// The shapes of its parameters and results; cut at [`FORM_BYTES_MAX`].
    pub form: String,
    /// What it promises under failure.
    pub semantics: Semantics,
    /// Covers name, semantics and form.
    pub fingerprint: MethodFingerprint,
    /// Whether its orphans are killed from its clients' journals: one without a journal calls it not.
    pub is_exterminated: bool,
}

/// Whether a description is that of the fingerprint which comes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is: whoever wrote it cannot have lied about name, semantics and types.
    Proved,
    /// That cannot be seen, because something may have been cut off.
    Cut,
    /// It is that of something else.
    Not,
}

impl MethodDescription {
    /// Whether name, semantics and form, in the interface of `service`, are those that the fingerprint covers. The
    /// names of parameters are never covered, nor is the signature where the form says all.
    #[must_use]
    pub fn fit(&self, service: &str) -> Fit {
        let form = (self.form.as_str(), self.signature.as_str());
        let computed = method_fingerprint_of((service, &self.name), self.semantics, form);
        if computed == self.fingerprint {
            Fit::Proved
        } else if is_cut(&self.form, FORM_BYTES_MAX)
            || is_cut(&self.form, FORM_BYTES_SHORT)
            || is_cut(&self.signature, SIGNATURE_BYTES_MAX)
        {
            Fit::Cut
        } else {
            Fit::Not
        }
    }

    /// Upper bound of its marshalled size, in bytes.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        let names: usize = self.parameters.iter().map(|name| name.len() + 2).sum();
        self.name.len() + self.signature.len() + self.form.len() + names + 25
    }
}

/// What a server gets for its registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The registration's name at this binder.
    pub id: RegistrationId,
    /// Needed to renew and to end it.
    pub secret: Secret,
    /// How long the binder believes it without a renewal, in ms.
    pub lease_ms: u32,
    /// Whether somebody has asked the binder to have the server drain.
    pub is_asked_to_drain: bool,
}

impl Lease {
    /// How long the binder believes the registration without a renewal.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        Duration::from_millis(self.lease_ms as u64)
    }
}

/// What the binder knows of one registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The service's name.
    pub name: String,
    /// The interface's version.
    pub version: Version,
    /// Which server.
    pub server: ServerId,
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// Where it is reached, best first.
    pub addresses: Vec<String>,
    /// Covers the interface with everything in it.
    pub fingerprint: u128,
    /// What it says of itself besides.
    pub traits: Traits,
    /// What is left of its lease, in ms.
    pub lease_left_ms: u32,
    /// Whether clients are sent to it.
    pub state: EntryState,
}

impl Entry {
    /// Upper bound of its marshalled size, in bytes.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        page_bytes(&self.name, &self.addresses, &self.traits)
    }

    /// Where it stands in the order of all entries.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { name: self.name.clone(), version: self.version, server: self.server }
    }
}

fn page_bytes(name: &str, addresses: &[String], traits: &Traits) -> usize {
    let addresses: usize = addresses.iter().map(|address| address.len() + 1).sum();
    name.len() + addresses + traits.page_bytes() + FIXED_BYTES_MAX
}

impl Registration {
    /// Upper bound of the marshalled size of its [`Entry`], in bytes.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        page_bytes(&self.name, &self.addresses, &self.traits)
    }
}

/// Whether clients are sent to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// They are.
    Live,
    /// No more: it ends what it has begun. Clients that have a call there wait for it.
    Draining,
    /// No more: it did not renew its lease. Shown for a while, so that people see what is missing.
    Expired,
    /// Not now: it says that it cannot do what it promises.
    NotServing,
    /// Not now: it wanted to be asked how it is, and does not answer.
    Silent,
}

impl EntryState {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Draining => "draining",
            Self::Expired => "expired",
            Self::NotServing => "not serving",
            Self::Silent => "silent",
        }
    }

    /// As [`EntryState::word`], in one word: for machines.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::NotServing => "not_serving",
            Self::Live | Self::Draining | Self::Expired | Self::Silent => self.word(),
        }
    }
}

/// A place in the order of all entries (by name, version, server), for reading on after a page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The service's name.
    pub name: String,
    /// The interface's version.
    pub version: Version,
    /// Which server.
    pub server: ServerId,
}

/// One page of entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    /// In order of name, version and server.
    pub entries: Vec<Entry>,
    /// Whether others follow the last of these.
    pub more: bool,
    /// What they are as of; of a list of all registrations, the latest.
    pub revision: Revision,
}

/// One page of a service's methods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Methods {
    /// In the interface's order, from the index asked for.
    pub methods: Vec<MethodDescription>,
    /// How many the interface has.
    pub total: u32,
}

/// Which quantity was at its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// Bytes of an address.
    AddressBytes,
    /// Addresses of a server.
    Addresses,
    /// Methods of an interface.
    Methods,
    /// Bytes of an interface's description.
    DescriptionBytes,
    /// Bytes of the descriptions of all interfaces at the binder.
    DescriptionsBytes,
    /// Clients that wait for changes.
    Watchers,
    /// Requests that wait for the binder's disk.
    Requests,
    /// Registrations at the binder.
    Registrations,
    /// Registrations of one server.
    RegistrationsOfServer,
    /// Clients of one host that wait for changes, beside those of others.
    WatchersOfHost,
    /// Requests of one host that wait for the binder's disk, beside those of others.
    RequestsOfHost,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AddressBytes => "bytes of an address",
            Self::Addresses => "addresses of one server",
            Self::Methods => "methods of one interface",
            Self::DescriptionBytes => "bytes of one interface's description",
            Self::DescriptionsBytes => "bytes of all interfaces' descriptions at this binder",
            Self::Watchers => "clients that wait for changes at this binder",
            Self::Requests => "requests that wait for this binder's disk",
            Self::Registrations => "registrations at this binder",
            Self::RegistrationsOfServer => "registrations of one server",
            Self::WatchersOfHost => "clients of one host that wait for changes at this binder",
            Self::RequestsOfHost => "requests of one host that wait for this binder's disk",
        })
    }
}

/// Why the binder refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BinderError {
    /// Something in the request is not well formed.
    Malformed {
        /// What is wrong, and with what.
        reason: String,
    },
    /// A limit is reached.
    Limit {
        /// Of what.
        of: Limit,
        /// The limit.
        max: u32,
    },
    /// A later life of the same server is registered.
    OldIncarnation {
        /// The later life.
        highest: Incarnation,
    },
    /// Another process is registered with the same server id and incarnation.
    IdentityInUse,
    /// The interface does not fit what is live under the same name and major version.
    Incompatible {
        /// The first difference, in words.
        difference: String,
    },
    /// The binder does not know the interface of that fingerprint: register with its description.
    UnknownInterface,
    /// The registration, or its end, could not be kept. It did not happen; try again.
    NotKept {
        /// What the binder's store said.
        reason: String,
    },
    /// No such registration: it never was, it ended, or the binder forgot it. Register again.
    UnknownRegistration,
    /// The registration exists and the secret is not its own.
    WrongSecret,
    /// An earlier life of the same server is registered, and the claim is not its own.
    FormerLife {
        /// How long that one is believed in unless it renews, in ms.
        left_ms: u32,
    },
    /// No server of that id is registered, under that name if one was given.
    UnknownServer,
    /// The access rules say no.
    NotAllowed {
        /// Who may, and what is wrong with who asked.
        reason: String,
    },
    /// The access rules want a proof: ask again with one over this nonce.
    ProofWanted {
        /// What the proof must cover, which is of use for some seconds.
        nonce: u128,
        /// Who may.
        reason: String,
    },
}

impl fmt::Display for BinderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { reason } => f.write_str(reason),
            Self::Limit { of, max } => write!(f, "the limit of {max} {of} is reached"),
            Self::OldIncarnation { highest } => {
                write!(f, "a later life of this server is registered: {highest}")
            }
            Self::IdentityInUse => f.write_str(
                "another process is registered with this server id and incarnation: \
                 give each process its own",
            ),
            Self::Incompatible { difference } => f.write_str(difference),
            Self::UnknownInterface => {
                f.write_str("the interface is not known here: register with its description")
            }
            Self::NotKept { reason } => write!(f, "the binder cannot keep it: {reason}"),
            Self::UnknownRegistration => f.write_str("no such registration: register again"),
            Self::WrongSecret => f.write_str("the secret is not that of the registration"),
            Self::FormerLife { left_ms } => {
                write!(f, "an earlier life of this server is registered for another {left_ms} ms")
            }
            Self::UnknownServer => f.write_str("no such server is registered here"),
            Self::NotAllowed { reason } => f.write_str(reason),
            Self::ProofWanted { reason, .. } => write!(f, "{reason}; no proof of a key did"),
        }
    }
}

impl std::error::Error for BinderError {}

/// Whether `text` may be what [`cut`] left of a longer one: it ends at most a character before the limit.
fn is_cut(text: &str, bytes_max: usize) -> bool {
    (bytes_max - 3..=bytes_max).contains(&text.len())
}

/// Cuts `text` to at most `bytes_max` bytes, at a character.
#[must_use]
pub fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

/// Whether `name` can name a service: 1 to [`NAME_BYTES_MAX`] of `a-z 0-9 . _ -`.
///
/// # Errors
///
/// What is wrong with it, for people.
pub fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if name.is_empty() {
        return Err("a service needs a name".into());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!(
            "a name has at most {NAME_BYTES_MAX} bytes, and {:?}… has {}",
            cut(name, 16),
            name.len()
        ));
    }
    match name.chars().find(|&c| !allowed(c)) {
        None => Ok(()),
        Some(c) => Err(format!("{name:?} cannot name a service: {c:?} is none of a-z 0-9 . _ -")),
    }
}

/// A service's name with the versions that will do, as it reads in errors: `"bank" 1.x`.
#[must_use]
pub fn wanted(name: &str, requirement: &VersionRequirement) -> String {
    if *requirement == VersionRequirement::any() {
        format!("{name:?}")
    } else {
        format!("{name:?} {requirement}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn largest_entry() -> Entry {
        Entry {
            name: "n".repeat(NAME_BYTES_MAX),
            version: Version::new(u16::MAX, u16::MAX),
            server: ServerId(u64::MAX),
            incarnation: Incarnation(u64::MAX),
            addresses: vec!["a".repeat(ADDRESS_BYTES_MAX); ADDRESSES_MAX],
            fingerprint: u128::MAX,
            traits: Traits {
                zone: "z".repeat(32),
                weight: u32::MAX,
                labels: (10..26).map(|key| (format!("{key:k<64}"), "v".repeat(64))).collect(),
            },
            lease_left_ms: u32::MAX,
            state: EntryState::Expired,
        }
    }

    #[test]
    fn the_largest_entry_is_no_larger_than_its_bound() {
        let entry = largest_entry();
        let bytes = postcard::to_allocvec(&entry).unwrap();
        assert!(bytes.len() <= entry.page_bytes(), "{} bytes", bytes.len());
        assert_eq!(
            entry.traits.check().unwrap_err(),
            "a weight is at most 10000, and 4294967295 was given"
        );
    }

    #[test]
    fn the_largest_method_is_no_larger_than_its_bound() {
        let method = MethodDescription {
            name: "n".repeat(NAME_BYTES_MAX),
            signature: "s".repeat(SIGNATURE_BYTES_MAX),
            parameters: vec!["p".repeat(PARAMETERS_BYTES_MAX / 4); 4],
            form: "f".repeat(FORM_BYTES_MAX),
            semantics: Semantics::ExactlyOnce,
            fingerprint: MethodFingerprint(u64::MAX),
            is_exterminated: true,
        };
        assert!(postcard::to_allocvec(&method).unwrap().len() <= method.page_bytes());
    }

    #[test]
    fn names_are_checked_and_the_flaw_is_named() {
        for good in ["bank", "rpc.binder", "a-b_c.9", &"n".repeat(64)] {
            assert_eq!(check_name(good), Ok(()));
        }
        for (bad, why) in [
            ("", "a service needs a name"),
            ("Bank", "\"Bank\" cannot name a service: 'B' is none of a-z 0-9 . _ -"),
            ("a b", "\"a b\" cannot name a service: ' ' is none of a-z 0-9 . _ -"),
            ("a\n", "\"a\\n\" cannot name a service: '\\n' is none of a-z 0-9 . _ -"),
            ("é", "\"é\" cannot name a service: 'é' is none of a-z 0-9 . _ -"),
        ] {
            assert_eq!(check_name(bad), Err(why.into()));
        }
        assert_eq!(
            check_name(&"n".repeat(65)),
            Err("a name has at most 64 bytes, and \"nnnnnnnnnnnnnnnn\"… has 65".into())
        );
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret(7)), "Secret(..)");
    }

    #[test]
    fn what_is_wanted_reads_as_in_errors() {
        assert_eq!(wanted("bank", &VersionRequirement::major(1)), "\"bank\" 1.x");
        assert_eq!(wanted("bank", &VersionRequirement::any()), "\"bank\"");
    }
}
