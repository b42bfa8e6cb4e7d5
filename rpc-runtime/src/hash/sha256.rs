//! SHA-256 (FIPS 180-4), and HMAC over it (RFC 2104): for proofs of a shared key.
//!
//! By hand, because nothing else of the runtime needs a crate of ciphers; checked against one in the tests.

/// Bytes of a block.
const BLOCK_BYTES: usize = 64;
/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

/// The first words of the square roots of the first primes.
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The same of their cube roots, one for each round.
const ROUNDS: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// A hash under way.
#[derive(Clone, Debug)]
struct Sha256 {
    state: [u32; 8],
    tail: [u8; BLOCK_BYTES],
    tail_bytes: usize,
    total_bytes: u64,
}

impl Sha256 {
    const fn new() -> Self {
        Self { state: START, tail: [0; BLOCK_BYTES], tail_bytes: 0, total_bytes: 0 }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.total_bytes = self.total_bytes.wrapping_add(bytes.len() as u64);
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.tail_bytes == 0
                && let Some((block, after)) = rest.split_first_chunk()
            {
                absorb(&mut self.state, block);
                rest = after;
                continue;
            }
            let taken = rest.len().min(BLOCK_BYTES - self.tail_bytes);
            let (now, after) = rest.split_at(taken);
            self.tail[self.tail_bytes..self.tail_bytes + taken].copy_from_slice(now);
            self.tail_bytes += taken;
            rest = after;
            if self.tail_bytes == BLOCK_BYTES {
                self.tail_bytes = 0;
                let block = self.tail;
                absorb(&mut self.state, &block);
            }
        }
    }

    fn finish(mut self) -> [u8; HASH_BYTES] {
        let bits = self.total_bytes.wrapping_mul(8).to_be_bytes();
        self.write(&[0x80]);
        while self.tail_bytes != BLOCK_BYTES - bits.len() {
            self.write(&[0]);
        }
        self.write(&bits);
        let mut hash = [0; HASH_BYTES];
        for (bytes, word) in hash.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        hash
    }
}

fn absorb(state: &mut [u32; 8], block: &[u8; BLOCK_BYTES]) {
    let mut words = [0; 64];
    let (given, _) = block.as_chunks::<4>();
    for (word, bytes) in words.iter_mut().zip(given) {
        *word = u32::from_be_bytes(*bytes);
    }
    for at in 16..64 {
        let (near, far) = (words[at - 2], words[at - 15]);
        let s0 = far.rotate_right(7) ^ far.rotate_right(18) ^ (far >> 3);
        let s1 = near.rotate_right(17) ^ near.rotate_right(19) ^ (near >> 10);
        words[at] = words[at - 16].wrapping_add(s0).wrapping_add(words[at - 7]).wrapping_add(s1);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (word, constant) in words.into_iter().zip(ROUNDS) {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let one = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(constant).wrapping_add(word);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        let two = s0.wrapping_add(majority);
        (h, g, f, e) = (g, f, e, d.wrapping_add(one));
        (d, c, b, a) = (c, b, a, one.wrapping_add(two));
    }
    for (word, more) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(more);
    }
}

/// The hash of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; HASH_BYTES] {
    let mut hasher = Sha256::new();
    hasher.write(bytes);
    hasher.finish()
}

/// The code by which who has `key` shows that `message` is his.
#[must_use]
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; HASH_BYTES] {
    let mut padded = [0; BLOCK_BYTES];
    if key.len() <= BLOCK_BYTES {
        padded[..key.len()].copy_from_slice(key);
    } else {
        padded[..HASH_BYTES].copy_from_slice(&sha256(key));
    }
    let mut inner = Sha256::new();
    inner.write(&padded.map(|byte| byte ^ 0x36));
    inner.write(message);
    let mut outer = Sha256::new();
    outer.write(&padded.map(|byte| byte ^ 0x5c));
    outer.write(&inner.finish());
    outer.finish()
}

/// Whether two codes are the same: it takes as long for any two, so that nobody feels his way to the right one.
#[must_use]
pub fn is_same_code(one: &[u8; HASH_BYTES], other: &[u8; HASH_BYTES]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use sha2::Digest as _;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Of FIPS 180-4 and of RFC 4231.
    #[test]
    fn agrees_with_the_published_vectors() {
        assert_eq!(
            hex(&sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn agrees_with_a_library(
            key in vec(any::<u8>(), 0..150),
            bytes in vec(any::<u8>(), 0..300),
            cut in 0..300_usize,
        ) {
            let cut = cut.min(bytes.len());
            let mut hasher = Sha256::new();
            hasher.write(&bytes[..cut]);
            hasher.write(&bytes[cut..]);
            prop_assert_eq!(&hasher.finish()[..], &sha2::Sha256::digest(&bytes)[..]);
            let mut theirs = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
            theirs.update(&bytes);
            let theirs = theirs.finalize().into_bytes();
            prop_assert_eq!(&hmac_sha256(&key, &bytes)[..], &theirs[..]);
        }

        #[test]
        fn codes_that_differ_anywhere_differ(code in any::<[u8; 32]>(), at in 0..256_usize) {
            let mut other = code;
            prop_assert!(is_same_code(&code, &other));
            other[at / 8] ^= 1 << (at % 8);
            prop_assert!(!is_same_code(&code, &other));
        }
    }
}
