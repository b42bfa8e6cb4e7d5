//! The contents of rows: written by hand, with a version and a checksum, so that a damaged row is
//! an error and never a wrong reply.
//!
//! Does not know any store, nor what a server decides by a record.
//!
//! | bytes | every row |
//! |---:|---|
//! | 1 | what it is: 1 a number about the store, 2 a table of slots, 3 a slot |
//! | 1 | the version of that layout |
//! | … | the fields, little-endian, as the record's own table says |
//! | 4 | CRC-32 of all before |

use super::{StoreError, StoreErrorKind};
use crate::ids::Sequence;
use crate::wire::ReplyStatus;

const KIND_META: u8 = 1;
const KIND_GENERATION: u8 = 2;
const KIND_SLOT: u8 = 3;

/// The one layout that each record has had so far.
const LAYOUT: u8 = 1;

/// A number about the store itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaRecord(
    /// The number: 8 bytes.
    pub u64,
);

/// One table of a client's durable slots.
///
/// | bytes | field |
/// |---:|---|
/// | 8 | `opened_unix_ms` |
/// | 8 | `last_contact_unix_ms` |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationRecord {
    /// When it was opened: milliseconds since 1970 by the server's calendar.
    pub opened_unix_ms: u64,
    /// When its client was last heard of, roughly: a table not heard of for long is deleted
    /// (protocol tables, M6).
    pub last_contact_unix_ms: u64,
}

/// One durable slot: the last call in it that ended, and what came of it.
///
/// | bytes | field |
/// |---:|---|
/// | 8 | `sequence` |
/// | 16 | `digest` |
/// | 8 | `identity` |
/// | 1 | `status` |
/// | 1 | `is_acked` |
/// | rest | `reply` |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRecord<'a> {
    /// The call's sequence number in the slot.
    pub sequence: Sequence,
    /// The request's digest (protocol tables, M2).
    pub digest: u128,
    /// The random bits that tell the call from another client's with the same name (amendment 3).
    pub identity: u64,
    /// How it ended.
    pub status: ReplyStatus,
    /// Whether the client has the reply, so that its bytes are gone.
    pub is_acked: bool,
    /// The reply.
    pub reply: &'a [u8],
}

impl MetaRecord {
    /// The row's bytes.
    #[must_use]
    pub fn to_row(self) -> Vec<u8> {
        let mut row = begin(KIND_META);
        row.extend_from_slice(&self.0.to_le_bytes());
        sealed(row)
    }

    /// The record that a row holds.
    ///
    /// # Errors
    ///
    /// Here and below: [`StoreErrorKind::Corrupt`] when it holds none,
    /// [`StoreErrorKind::OtherVersion`] when a later release wrote it.
    pub fn decode(row: &[u8]) -> Result<Self, StoreError> {
        let mut fields = opened(row, KIND_META)?;
        let number = fields.u64()?;
        fields.end()?;
        Ok(Self(number))
    }
}

impl GenerationRecord {
    /// The row's bytes.
    #[must_use]
    pub fn to_row(self) -> Vec<u8> {
        let mut row = begin(KIND_GENERATION);
        row.extend_from_slice(&self.opened_unix_ms.to_le_bytes());
        row.extend_from_slice(&self.last_contact_unix_ms.to_le_bytes());
        sealed(row)
    }

    /// The record that a row holds.
    ///
    /// # Errors
    ///
    /// See [`MetaRecord::decode`].
    pub fn decode(row: &[u8]) -> Result<Self, StoreError> {
        let mut fields = opened(row, KIND_GENERATION)?;
        let record = Self { opened_unix_ms: fields.u64()?, last_contact_unix_ms: fields.u64()? };
        fields.end()?;
        Ok(record)
    }
}

impl<'a> SlotRecord<'a> {
    /// The row's bytes.
    #[must_use]
    pub fn to_row(&self) -> Vec<u8> {
        let mut row = begin(KIND_SLOT);
        row.reserve_exact(8 + 16 + 8 + 1 + 1 + self.reply.len() + CHECKSUM_BYTES);
        row.extend_from_slice(&self.sequence.0.to_le_bytes());
        row.extend_from_slice(&self.digest.to_le_bytes());
        row.extend_from_slice(&self.identity.to_le_bytes());
        row.push(status_byte(self.status));
        row.push(u8::from(self.is_acked));
        row.extend_from_slice(self.reply);
        sealed(row)
    }

    /// The record that a row holds.
    ///
    /// # Errors
    ///
    /// See [`MetaRecord::decode`].
    pub fn decode(row: &'a [u8]) -> Result<Self, StoreError> {
        let mut fields = opened(row, KIND_SLOT)?;
        let sequence = Sequence(fields.u64()?);
        let digest = u128::from_le_bytes(fields.take()?);
        let identity = fields.u64()?;
        let status = fields.u8()?;
        let is_status = |known: &&ReplyStatus| status_byte(**known) == status;
        let status = ReplyStatus::ALL.iter().find(is_status);
        let status = *status.ok_or_else(|| corrupt("an unknown status"))?;
        let is_acked = match fields.u8()? {
            0 => false,
            1 => true,
            _ => return Err(corrupt("an unknown flag")),
        };
        Ok(Self { sequence, digest, identity, status, is_acked, reply: fields.rest })
    }
}

/// The number that stands for a status on disk: a table of its own, for the wire's may change with
/// its version.
const fn status_byte(status: ReplyStatus) -> u8 {
    match status {
        ReplyStatus::Returned => 0,
        ReplyStatus::Panicked => 1,
        ReplyStatus::Cancelled => 2,
        ReplyStatus::CancelledPartial => 3,
        ReplyStatus::TooLarge => 4,
        ReplyStatus::HandlerFailed => 5,
    }
}

const CHECKSUM_BYTES: usize = 4;

fn begin(kind: u8) -> Vec<u8> {
    vec![kind, LAYOUT]
}

fn sealed(mut row: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&row);
    row.extend_from_slice(&checksum.to_le_bytes());
    row
}

/// The fields of a row of that kind.
fn opened(row: &[u8], kind: u8) -> Result<Fields<'_>, StoreError> {
    let (body, checksum) = row.split_last_chunk().ok_or_else(|| corrupt("too short"))?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return Err(corrupt("its checksum is another"));
    }
    match body {
        [found, LAYOUT, fields @ ..] if *found == kind => Ok(Fields { rest: fields }),
        [found, layout, ..] if *found == kind => {
            let detail = format!("a row of layout {layout}, this release knows {LAYOUT}");
            Err(StoreError::new(StoreErrorKind::OtherVersion, detail))
        }
        _ => Err(corrupt("a row of another kind")),
    }
}

fn corrupt(what: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, what)
}

/// The fields that have not been read yet.
struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (field, rest) = self.rest.split_first_chunk().ok_or_else(|| corrupt("too short"))?;
        self.rest = rest;
        Ok(*field)
    }

    fn u64(&mut self) -> Result<u64, StoreError> {
        self.take().map(u64::from_le_bytes)
    }

    fn u8(&mut self) -> Result<u8, StoreError> {
        self.take().map(u8::from_le_bytes)
    }

    fn end(self) -> Result<(), StoreError> {
        if self.rest.is_empty() { Ok(()) } else { Err(corrupt("too long")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status() -> impl Strategy<Value = ReplyStatus> {
        proptest::sample::select(ReplyStatus::ALL)
    }

    proptest! {
        #[test]
        fn a_slot_is_read_as_it_was_written(
            sequence: u64,
            digest: u128,
            identity: u64,
            status in status(),
            is_acked: bool,
            reply: Vec<u8>,
        ) {
            let sequence = Sequence(sequence);
            let record = SlotRecord { sequence, digest, identity, status, is_acked, reply: &reply };
            let row = record.to_row();
            prop_assert_eq!(SlotRecord::decode(&row), Ok(record));
        }

        #[test]
        fn the_others_are_read_as_they_were_written(first: u64, second: u64) {
            let table = GenerationRecord { opened_unix_ms: first, last_contact_unix_ms: second };
            prop_assert_eq!(GenerationRecord::decode(&table.to_row()), Ok(table));
            prop_assert_eq!(MetaRecord::decode(&MetaRecord(first).to_row()), Ok(MetaRecord(first)));
        }

        #[test]
        fn hostile_bytes_are_an_error_with_or_without_a_true_checksum(
            mut bytes: Vec<u8>,
            kind in 0..5_u8,
            layout in 0..3_u8,
        ) {
            let _ = SlotRecord::decode(&bytes);
            bytes.splice(0..0, [kind, layout]);
            let row = sealed(bytes);
            let _ = (SlotRecord::decode(&row), GenerationRecord::decode(&row), MetaRecord::decode(&row));
        }

        #[test]
        fn damage_of_one_byte_is_always_noticed(
            reply: Vec<u8>,
            place: prop::sample::Index,
            damage in 1..=255_u8,
        ) {
            let (sequence, status) = (Sequence(7), ReplyStatus::Returned);
            let record =
                SlotRecord { sequence, digest: 1, identity: 2, status, is_acked: false, reply: &reply };
            let mut row = record.to_row();
            let place = place.index(row.len());
            row[place] ^= damage;
            let error = SlotRecord::decode(&row).unwrap_err();
            prop_assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        }
    }

    #[test]
    fn the_bytes_on_disk_stay_what_they_are() {
        let status = ReplyStatus::CancelledPartial;
        let (sequence, reply) = (Sequence(41), b"ok".as_slice());
        let slot = SlotRecord { sequence, digest: 2, identity: 3, status, is_acked: true, reply };
        let row = slot.to_row();
        let (fields, _checksum) = row.split_at(row.len() - CHECKSUM_BYTES);
        let expected = [
            [3, 1].as_slice(),
            &[41, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[3, 1, b'o', b'k'],
        ];
        assert_eq!(fields, expected.concat());
        let row = GenerationRecord { opened_unix_ms: 1, last_contact_unix_ms: 2 }.to_row();
        assert_eq!(row[..6], [2, 1, 1, 0, 0, 0]);
        assert_eq!(MetaRecord(5).to_row()[..3], [1, 1, 5]);
    }

    #[test]
    fn a_row_of_a_later_release_says_so() {
        let row = sealed(vec![KIND_META, LAYOUT + 1, 9]);
        let error = MetaRecord::decode(&row).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::OtherVersion);
    }
}
