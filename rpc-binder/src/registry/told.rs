//! What clients are told of registrations, marshalled: what of it does not change is marshalled once, when a
//! registration begins, unless it is long, so that a lookup copies bytes.
//!
//! Knows the form of [`Entry`] and [`Entries`] in postcard. Does not know whom a lookup finds.

use std::mem;

use serde::Serialize;

use rpc_runtime::binder::model::{ENTRY_BYTES_MIN, PAGE_BYTES_MAX};
#[cfg(doc)]
use rpc_runtime::binder::{Entries, Entry};
use rpc_runtime::binder::{EntryState, Registration, Revision};

/// Entries of a page are counted in one byte: there is room for fewer.
const ENTRIES_MAX: usize = 127;
const _: () = assert!(PAGE_BYTES_MAX / ENTRY_BYTES_MIN < ENTRIES_MAX, "a count takes one byte");

/// So many bytes stand where the record stands: those of most servers.
const SHORT_BYTES_MAX: usize = 118;

/// The part of a marshalled [`Entry`] that stays as it is.
#[derive(Debug)]
pub(super) enum Told {
    /// The first so many of these.
    Short(u8, [u8; SHORT_BYTES_MAX]),
    /// It takes more, and few stand on a page: it is marshalled each time.
    Long,
}

impl Told {
    pub(super) fn of(registration: &Registration) -> Self {
        let mut bytes = Vec::new();
        append_constant(&mut bytes, registration);
        let mut short = [0; SHORT_BYTES_MAX];
        match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(&bytes);
                Self::Short(len, short)
            }
            _ => Self::Long,
        }
    }

    /// Appends the marshalled entry of that registration.
    pub(super) fn tell(
        &self,
        registration: &Registration,
        lease_left_ms: u32,
        state: EntryState,
        out: &mut Vec<u8>,
    ) {
        match self {
            Self::Short(len, bytes) => out.extend_from_slice(&bytes[..usize::from(*len)]),
            Self::Long => append_constant(out, registration),
        }
        append(out, &(lease_left_ms, state));
    }
}

/// What of an entry stays as it is: one field after the other, as a struct travels.
fn append_constant(out: &mut Vec<u8>, registration: &Registration) {
    let Registration { name, version, server, incarnation, addresses, fingerprint, traits, .. } =
        registration;
    append(out, &(name, version, server, incarnation, addresses, fingerprint, traits));
}

/// Marshalled [`Entries`] in the making.
pub(super) struct Page<'o> {
    out: &'o mut Vec<u8>,
    /// Where they are counted.
    count: usize,
}

impl<'o> Page<'o> {
    /// A page without entries, appended to `out`.
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        let count = out.len();
        out.push(0);
        Self { out, count }
    }

    /// Where to append the next entry.
    pub(super) fn next(&mut self) -> &mut Vec<u8> {
        self.out[self.count] += 1;
        self.out
    }

    pub(super) fn end(self, more: bool, revision: Revision) {
        append(self.out, &(more, revision));
    }
}

fn append(out: &mut Vec<u8>, value: &impl Serialize) {
    let bytes = postcard::to_extend(value, mem::take(out));
    *out = bytes.expect("what was read from a message can be written again");
}
