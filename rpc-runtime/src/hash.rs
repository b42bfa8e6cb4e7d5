//! SipHash-2-4: a keyed 64-bit hash for cookies, session ids and request digests. And SHA-256 with HMAC, where a
//! key is to be proved over a network.
//!
//! Aumasson & Bernstein, "SipHash: a fast short-input PRF" (2012). Not a replacement for a MAC on
//! an open link: whoever reads a digest off the wire can send it again.

mod sha256;

pub use sha256::{HASH_BYTES, hmac_sha256, is_same_code, sha256};

/// The key of a hash: 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipKey(pub [u64; 2]);

/// A hash under way.
#[derive(Clone, Debug)]
pub struct Hasher {
    v: [u64; 4],
    tail: u64,
    tail_bytes: u32,
    total_bytes: u64,
}

impl Hasher {
    /// Starts a hash under `key`.
    #[must_use]
    pub const fn new(key: SipKey) -> Self {
        let [k0, k1] = key.0;
        let v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, tail: 0, tail_bytes: 0, total_bytes: 0 }
    }

    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.total_bytes = self.total_bytes.wrapping_add(bytes.len() as u64);
        let mut rest = bytes;
        if self.tail_bytes == 0 {
            while let Some((word, after)) = rest.split_first_chunk() {
                self.absorb(u64::from_le_bytes(*word));
                rest = after;
            }
        }
        for &byte in rest {
            self.tail |= u64::from(byte) << (8 * self.tail_bytes);
            self.tail_bytes += 1;
            if self.tail_bytes == 8 {
                let word = self.tail;
                (self.tail, self.tail_bytes) = (0, 0);
                self.absorb(word);
            }
        }
    }

    /// Adds a number, little-endian.
    pub fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    /// The hash of all bytes added.
    #[must_use]
    pub fn finish(mut self) -> u64 {
        let last = self.tail | (self.total_bytes << 56);
        self.absorb(last);
        self.v[2] ^= 0xff;
        for _ in 0..4 {
            round(&mut self.v);
        }
        self.v.iter().fold(0, |hash, word| hash ^ word)
    }

    fn absorb(&mut self, word: u64) {
        self.v[3] ^= word;
        round(&mut self.v);
        round(&mut self.v);
        self.v[0] ^= word;
    }
}

/// The hash of `bytes` under `key`.
#[must_use]
pub fn siphash(key: SipKey, bytes: &[u8]) -> u64 {
    let mut hasher = Hasher::new(key);
    hasher.write(bytes);
    hasher.finish()
}

const fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SipKey = SipKey([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);

    /// The first and some later entries of the reference implementation's table.
    #[test]
    fn agrees_with_the_reference_vectors() {
        let vectors = [
            (0, 0x726f_db47_dd0e_0e31_u64),
            (1, 0x74f8_39c5_93dc_67fd),
            (7, 0xab02_00f5_8b01_d137),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
        ];
        for (len, expected) in vectors {
            let bytes: Vec<u8> = (0..len).collect();
            assert_eq!(siphash(KEY, &bytes), expected, "{len} bytes");
        }
    }

    #[test]
    fn the_cut_between_writes_does_not_matter() {
        let bytes: Vec<u8> = (0..40).collect();
        for cut in 0..40 {
            let mut hasher = Hasher::new(KEY);
            hasher.write(&bytes[..cut]);
            hasher.write(&bytes[cut..]);
            assert_eq!(hasher.finish(), siphash(KEY, &bytes));
        }
    }
}
