//! The names of rows, and their bytes: ordered so that what belongs to one client stands together.
//!
//! Does not know what is in a row.

use crate::ids::{ClientId, GenerationId, SlotIndex};

/// Names a row of the runtime in a store.
///
/// | bytes of the key | row |
/// |---|---|
/// | `00 00` | [`RowKey::Format`] |
/// | `00 01` | [`RowKey::Server`] |
/// | `00 02` | [`RowKey::Incarnation`] |
/// | `01`, client, generation, `00` | [`RowKey::Generation`] |
/// | `01`, client, generation, `01`, slot | [`RowKey::Slot`] |
///
/// Numbers are big-endian, so that the order of the bytes is the order of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// The version of the rows' format.
    Format,
    /// The server's id, over all its lives.
    Server,
    /// The server's last incarnation.
    Incarnation,
    /// One table of durable slots.
    Generation(ClientId, GenerationId),
    /// One durable slot.
    Slot(ClientId, GenerationId, SlotIndex),
}

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 1 + 8 + 8 + 1 + 4;

/// The bytes of a key, or of the place between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyBytes {
    bytes: [u8; KEY_BYTES_MAX],
    len: usize,
}

impl KeyBytes {
    const fn new() -> Self {
        Self { bytes: [0; KEY_BYTES_MAX], len: 0 }
    }

    fn with(mut self, part: &[u8]) -> Self {
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
        self
    }

    /// The bytes themselves.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

const META: u8 = 0;
const CLIENTS: u8 = 1;
const GENERATION: u8 = 0;
const SLOT: u8 = 1;

impl RowKey {
    /// The key as bytes.
    #[must_use]
    pub fn to_bytes(self) -> KeyBytes {
        let key = KeyBytes::new();
        match self {
            Self::Format => key.with(&[META, 0]),
            Self::Server => key.with(&[META, 1]),
            Self::Incarnation => key.with(&[META, 2]),
            Self::Generation(client, generation) => {
                of_generation(client, generation).with(&[GENERATION])
            }
            Self::Slot(client, generation, slot) => {
                of_generation(client, generation).with(&[SLOT]).with(&slot.0.to_be_bytes())
            }
        }
    }

    /// The key that these bytes are, if they are one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&space, rest) = bytes.split_first()?;
        if space == META {
            return match rest {
                [0] => Some(Self::Format),
                [1] => Some(Self::Server),
                [2] => Some(Self::Incarnation),
                _ => None,
            };
        }
        let (client, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let client = ClientId(u64::from_be_bytes(*client));
        let generation = GenerationId(u64::from_be_bytes(*generation));
        match (space, rest) {
            (CLIENTS, [GENERATION]) => Some(Self::Generation(client, generation)),
            (CLIENTS, [SLOT, slot @ ..]) => {
                let slot = u32::from_be_bytes(slot.try_into().ok()?);
                Some(Self::Slot(client, generation, SlotIndex(slot)))
            }
            _ => None,
        }
    }
}

fn of_client(client: ClientId) -> KeyBytes {
    KeyBytes::new().with(&[CLIENTS]).with(&client.0.to_be_bytes())
}

fn of_generation(client: ClientId, generation: GenerationId) -> KeyBytes {
    of_client(client).with(&generation.0.to_be_bytes())
}

/// A run of neighbouring rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The first key's bytes, included.
    from: KeyBytes,
    /// The bytes behind the last key's.
    to: KeyBytes,
}

impl Rows {
    /// All rows but those about the store itself.
    #[must_use]
    pub fn of_all_clients() -> Self {
        let from = KeyBytes::new().with(&[CLIENTS]);
        Self { from, to: KeyBytes::new().with(&[CLIENTS + 1]) }
    }

    /// The rows of one client.
    #[must_use]
    pub fn of_client(client: ClientId) -> Self {
        Self::below(of_client(client))
    }

    /// The rows of one table of durable slots: its own row first, then its slots.
    #[must_use]
    pub fn of_generation(client: ClientId, generation: GenerationId) -> Self {
        Self::below(of_generation(client, generation))
    }

    /// The durable slots alone of one table.
    #[must_use]
    pub fn of_slots(client: ClientId, generation: GenerationId) -> Self {
        Self::below(of_generation(client, generation).with(&[SLOT]))
    }

    /// One row.
    #[must_use]
    pub fn of_key(key: RowKey) -> Self {
        Self::below(key.to_bytes())
    }

    /// Those of these rows that stand behind a key: how to go on after a limit.
    #[must_use]
    pub fn behind(self, key: RowKey) -> Self {
        let next = Self::of_key(key).to;
        if next.as_slice() > self.from.as_slice() { Self { from: next, ..self } } else { self }
    }

    /// Those of these rows that stand behind a whole table of slots: how to go from one table's row
    /// to the next without reading the slots between.
    #[must_use]
    pub fn behind_generation(self, client: ClientId, generation: GenerationId) -> Self {
        let next = Self::of_generation(client, generation).to;
        if next.as_slice() > self.from.as_slice() { Self { from: next, ..self } } else { self }
    }

    /// The bytes of the first key, included.
    #[must_use]
    pub fn from(&self) -> &[u8] {
        self.from.as_slice()
    }

    /// The bytes behind the last key, excluded. May lie before [`Rows::from`]: then there are none.
    #[must_use]
    pub fn to(&self) -> &[u8] {
        self.to.as_slice()
    }

    /// Every key that begins with these bytes.
    fn below(from: KeyBytes) -> Self {
        let mut to = from;
        while to.len > 0 && to.bytes[to.len - 1] == u8::MAX {
            to.len -= 1;
            to.bytes[to.len] = 0;
        }
        assert!(to.len > 0, "every key begins with its space, which is not 255");
        to.bytes[to.len - 1] += 1;
        Self { from, to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<RowKey> {
        let mut keys = vec![RowKey::Format, RowKey::Server, RowKey::Incarnation];
        for client in [0, 1, 255, 256, u64::MAX] {
            for generation in [0, 255, u64::MAX] {
                let (client, generation) = (ClientId(client), GenerationId(generation));
                keys.push(RowKey::Generation(client, generation));
                for slot in [0, 1, 255, 256, u32::MAX] {
                    keys.push(RowKey::Slot(client, generation, SlotIndex(slot)));
                }
            }
        }
        keys
    }

    fn within(rows: Rows) -> Vec<RowKey> {
        let is_in = |key: &RowKey| {
            let bytes = key.to_bytes();
            rows.from() <= bytes.as_slice() && bytes.as_slice() < rows.to()
        };
        keys().into_iter().filter(is_in).collect()
    }

    #[test]
    fn the_order_of_the_bytes_is_the_order_of_the_keys() {
        let keys = keys();
        assert!(keys.is_sorted_by(|a, b| a.to_bytes().as_slice() < b.to_bytes().as_slice()));
    }

    #[test]
    fn bytes_that_are_a_key_are_that_key_and_no_others_are() {
        for key in keys() {
            let bytes = key.to_bytes();
            assert_eq!(RowKey::from_bytes(bytes.as_slice()), Some(key));
            let longer = [bytes.as_slice(), &[7]].concat();
            assert_eq!(RowKey::from_bytes(&longer), None);
            let shorter = &bytes.as_slice()[..bytes.as_slice().len() - 1];
            assert_ne!(RowKey::from_bytes(shorter), Some(key));
        }
        assert_eq!(RowKey::from_bytes(&[2, 0]), None);
    }

    #[test]
    fn what_belongs_to_a_client_or_a_table_stands_together() {
        for client in [0, 255, u64::MAX].map(ClientId) {
            let rows = within(Rows::of_client(client));
            assert_eq!(rows.len(), 3 * 6);
            for generation in [0, 255, u64::MAX].map(GenerationId) {
                let rows = within(Rows::of_generation(client, generation));
                assert_eq!(rows.len(), 6);
                assert_eq!(rows[0], RowKey::Generation(client, generation));
                assert_eq!(within(Rows::of_slots(client, generation)), rows[1..]);
                let later = within(Rows::of_client(client).behind_generation(client, generation));
                let count = later.iter().filter(|key| matches!(key, RowKey::Generation(..)));
                let expected = match generation.0 {
                    0 => 2,
                    255 => 1,
                    _ => 0,
                };
                assert_eq!(count.count(), expected);
            }
        }
        assert_eq!(within(Rows::of_all_clients()).len(), keys().len() - 3);
    }

    #[test]
    fn a_scan_goes_on_behind_any_key() {
        let all = within(Rows::of_all_clients());
        for (index, &key) in all.iter().enumerate() {
            assert_eq!(within(Rows::of_all_clients().behind(key)), all[index + 1..]);
        }
        assert_eq!(within(Rows::of_all_clients().behind(RowKey::Format)), all);
        for key in keys() {
            assert_eq!(within(Rows::of_key(key)).first(), Some(&key));
        }
    }
}
