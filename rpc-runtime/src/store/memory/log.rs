//! The simulated database's log: transactions with a length and a checksum in front.
//!
//! | bytes | a transaction |
//! |---:|---|
//! | 4 | length of the rest behind the checksum |
//! | 4 | CRC-32 of that rest |
//! | 1 + 4 + n | table, length of the key, key: for every write |
//! | 1 + 4 + n | 1, length of the row, row; or a 0 for a deletion |

use std::collections::BTreeMap;

use super::{Key, Table};

/// The bytes of one transaction.
pub(super) fn record(writes: &BTreeMap<Key, Option<Vec<u8>>>) -> Vec<u8> {
    let mut body = Vec::new();
    for ((table, key), row) in writes {
        body.push(match table {
            Table::Runtime => 0,
            Table::Application => 1,
        });
        push(&mut body, key);
        match row {
            Some(row) => {
                body.push(1);
                push(&mut body, row);
            }
            None => body.push(0),
        }
    }
    let mut record = Vec::with_capacity(8 + body.len());
    record.extend_from_slice(&len(&body).to_le_bytes());
    record.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    record.append(&mut body);
    record
}

fn push(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend_from_slice(&len(bytes).to_le_bytes());
    body.extend_from_slice(bytes);
}

fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a simulated transaction is shorter than 4 GiB")
}

/// Hands out the writes of all whole transactions; how many bytes those are.
pub(super) fn replay<T>(bytes: &[u8], mut write: impl FnMut(Key, Option<Vec<u8>>) -> T) -> usize {
    let mut rest = bytes;
    while let Some((writes, behind)) = transaction(rest) {
        for (key, row) in writes {
            write(key, row);
        }
        rest = behind;
    }
    bytes.len() - rest.len()
}

type Writes = Vec<(Key, Option<Vec<u8>>)>;

/// The first transaction, if it is whole.
fn transaction(bytes: &[u8]) -> Option<(Writes, &[u8])> {
    let (length, rest) = number(bytes)?;
    let (checksum, rest) = number(rest)?;
    let (mut body, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    if crc32fast::hash(body) != checksum {
        return None;
    }
    let mut writes = Vec::new();
    while let Some((&table, rest)) = body.split_first() {
        let table = match table {
            0 => Table::Runtime,
            1 => Table::Application,
            _ => return None,
        };
        let (key, rest) = field(rest)?;
        let (&is_row, rest) = rest.split_first()?;
        let (row, rest) = if is_row == 0 {
            (None, rest)
        } else {
            let (row, rest) = field(rest)?;
            (Some(row.to_vec()), rest)
        };
        writes.push(((table, key.to_vec()), row));
        body = rest;
    }
    Some((writes, behind))
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_replayed_up_to_the_first_transaction_that_is_not_whole() {
        let key = |n: u8| (Table::Application, vec![n]);
        let first = BTreeMap::from([(key(1), Some(vec![7; 300])), (key(2), Some(vec![]))]);
        let second = BTreeMap::from([(key(1), None), (key(3), Some(vec![9]))]);
        let (first, second) = (record(&first), record(&second));
        let log = [first.as_slice(), &second].concat();
        for cut in 0..=log.len() {
            let mut writes = 0;
            let whole = replay(&log[..cut], |_, _| writes += 1);
            let expected = match cut {
                cut if cut < first.len() => (0, 0),
                cut if cut < log.len() => (first.len(), 2),
                _ => (log.len(), 4),
            };
            assert_eq!((whole, writes), expected);
        }
        for place in 0..log.len() {
            let mut damaged = log.clone();
            damaged[place] ^= 0x40;
            let whole = replay(&damaged, |_, _| ());
            assert_eq!(whole, if place < first.len() { 0 } else { first.len() });
        }
    }
}
