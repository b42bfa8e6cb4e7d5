//! Keys by which servers prove to a binder that they may register under a name.
//!
//! A key is shared: who registers has it, and the binder. It never travels. What travels is a code over all
//! that the registration says, and over a nonce that the binder gave a moment ago to that host: so nobody
//! who listens can register anything else by it, or the same some seconds later. Nothing is encrypted: who
//! listens reads all, also what the binder gives out for a lease, by which a registration can be ended. Does
//! not know who may what: the binder's rules do.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::model::Registration;
use crate::hash::{HASH_BYTES, hmac_sha256, is_same_code};
use crate::ids::ServerId;
use crate::random::Rng;

/// Names the file of a server's key, for those that are given none by their program.
pub const KEY_VARIABLE: &str = "RPC_BINDER_KEY";
/// Longest file that is read for a key, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 10;
/// Digits of a key.
const DIGITS: usize = 2 * HASH_BYTES;

/// What a code is made for, so that one for this is none for that.
const FOR_ID: &[u8] = b"rpc-binder key id 1";
const FOR_REGISTRATION: &str = "rpc-binder register 1";
const FOR_DRAIN: &str = "rpc-binder drain 1";

/// A key that a server, or who manages it, shares with a binder: 256 bits. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; HASH_BYTES]);

/// Proves that somebody has a key, for one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Which key: [`Key::id`].
    pub key: u64,
    /// What the binder gave.
    pub nonce: u128,
    /// HMAC-SHA-256 over the nonce and the request.
    pub code: [u8; HASH_BYTES],
}

impl Key {
    /// A new one.
    #[must_use]
    pub fn draw(rng: &mut dyn Rng) -> Self {
        let mut key = [0; HASH_BYTES];
        for bytes in key.chunks_exact_mut(8) {
            bytes.copy_from_slice(&rng.next_u64().to_le_bytes());
        }
        Self(key)
    }

    /// The key in a file: 64 hexadecimal digits.
    ///
    /// A file that others than its owner may read is taken, and warned of by [`tracing`].
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds no key.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        let failure = |reason: String| KeyError { path: path.to_owned(), reason };
        let unread = |error: io::Error| failure(error.to_string());
        let meta = fs::metadata(path).map_err(unread)?;
        if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
            return Err(failure("it is no file of 64 hexadecimal digits".into()));
        }
        let text = fs::read_to_string(path).map_err(unread)?;
        let key = Self::parse(text.trim()).map_err(|reason| failure(reason.into()))?;
        if let Some(warning) = exposure(path) {
            tracing::warn!("{warning}");
        }
        Ok(key)
    }

    /// The key in the file that the environment names by [`KEY_VARIABLE`], if it names one.
    ///
    /// # Errors
    ///
    /// As [`Key::from_file`].
    pub fn from_environment() -> Result<Option<Self>, KeyError> {
        let path = std::env::var_os(KEY_VARIABLE).filter(|path| !path.is_empty());
        path.map(Self::from_file).transpose()
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// They are none; what they are is not said.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const NO_KEY: &str =
            "a key is 64 hexadecimal digits: make one by `rpc-binder key new FILE`";
        if text.len() != DIGITS {
            return Err(NO_KEY);
        }
        let mut key = [0; HASH_BYTES];
        for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(NO_KEY);
            *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).map_err(|_| NO_KEY)?;
        }
        Ok(Self(key))
    }

    /// The key in 64 hexadecimal digits, for its file.
    #[must_use]
    pub fn to_secret_text(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Names the key without giving it away.
    #[must_use]
    pub fn id(&self) -> u64 {
        let hash = hmac_sha256(&self.0, FOR_ID);
        hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// Proves this key for a registration.
    #[must_use]
    pub fn prove_registration(&self, nonce: u128, registration: &Registration) -> Proof {
        self.prove(nonce, &(FOR_REGISTRATION, nonce, registration))
    }

    /// Proves this key for having a server drain, as a whole or for one service.
    #[must_use]
    pub fn prove_drain(&self, nonce: u128, server: ServerId, name: Option<&str>) -> Proof {
        self.prove(nonce, &(FOR_DRAIN, nonce, server, name))
    }

    /// Whether `proof` proves this key for `registration`.
    #[must_use]
    pub fn is_proved_by(&self, proof: &Proof, registration: &Registration) -> bool {
        is_same_code(&self.prove_registration(proof.nonce, registration).code, &proof.code)
    }

    /// Whether `proof` proves this key for draining.
    #[must_use]
    pub fn is_proved_for_drain(&self, proof: &Proof, server: ServerId, name: Option<&str>) -> bool {
        is_same_code(&self.prove_drain(proof.nonce, server, name).code, &proof.code)
    }

    fn prove(&self, nonce: u128, said: &impl Serialize) -> Proof {
        let bytes = postcard::to_allocvec(said).expect("plain data becomes bytes");
        Proof { key: self.id(), nonce, code: hmac_sha256(&self.0, &bytes) }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Why a file gives no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError {
    path: PathBuf,
    reason: String,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no key in {}: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for KeyError {}

/// What is to be said of a file with a secret that others than its owner may read or change.
#[cfg(unix)]
#[must_use]
pub fn exposure(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = fs::metadata(path).ok()?.permissions().mode();
    let path = path.display();
    (mode & 0o077 != 0).then(|| {
        let mode = mode & 0o777;
        format!("others than its owner may use {path} (mode {mode:03o}): chmod 600 {path}")
    })
}

/// What is to be said of a file with a secret: nothing is known of it here.
#[cfg(not(unix))]
#[must_use]
pub fn exposure(_path: &Path) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::super::model::Traits;
    use super::super::version::Version;
    use super::*;
    use crate::ids::Incarnation;

    fn key(digit: &str) -> Key {
        Key::parse(&digit.repeat(DIGITS)).unwrap()
    }

    fn registration() -> Registration {
        Registration {
            name: "bank".into(),
            version: Version::new(1, 0),
            server: ServerId(7),
            incarnation: Incarnation::new(1, 0),
            addresses: vec!["udp://10.0.0.7:4000".into()],
            fingerprint: 9,
            traits: Traits::default(),
            claim: 3,
        }
    }

    #[test]
    fn a_proof_is_for_one_key_one_nonce_and_all_that_is_said() {
        let proof = key("a").prove_registration(5, &registration());
        assert!(key("a").is_proved_by(&proof, &registration()));
        assert!(!key("b").is_proved_by(&proof, &registration()));
        assert!(!key("a").is_proved_by(&Proof { nonce: 6, ..proof.clone() }, &registration()));
        let changes: [fn(&mut Registration); 8] = [
            |said| said.name = "banc".into(),
            |said| said.version = Version::new(1, 1),
            |said| said.server = ServerId(8),
            |said| said.incarnation = Incarnation::new(2, 0),
            |said| said.addresses = vec!["udp://10.0.0.8:4000".into()],
            |said| said.fingerprint = 8,
            |said| said.traits.weight = 1,
            |said| said.claim = 4,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut other = registration();
            change(&mut other);
            assert!(!key("a").is_proved_by(&proof, &other), "change {number}");
        }
        let drain = key("a").prove_drain(5, ServerId(7), None);
        assert!(key("a").is_proved_for_drain(&drain, ServerId(7), None));
        assert!(!key("a").is_proved_for_drain(&drain, ServerId(7), Some("bank")));
        assert!(!key("a").is_proved_for_drain(&proof, ServerId(7), None));
    }

    #[test]
    fn a_key_does_not_print_and_its_name_does_not_give_it_away() {
        let key = key("a");
        assert_eq!(format!("{key:?}"), "Key(..)");
        assert_eq!(Key::parse(&key.to_secret_text()), Ok(key.clone()));
        assert_ne!(key.id(), u64::from_be_bytes([0xaa; 8]));
        assert_ne!(key.id(), 0);
    }

    #[test]
    fn a_file_holds_a_key_or_it_is_said_that_it_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let text = |path: &Path| Key::from_file(path).unwrap_err().to_string();
        assert!(text(&path).contains("No such file"), "{}", text(&path));
        for wrong in ["", "x", &"g".repeat(64), &"a".repeat(63), &"ä".repeat(32), &"a".repeat(5000)]
        {
            fs::write(&path, wrong).unwrap();
            let text = text(&path);
            assert!(text.contains("64 hexadecimal digits"), "{text}");
        }
        assert!(text(folder.path()).contains("it is no file"));
        fs::write(&path, format!("{}\n", "A".repeat(64))).unwrap();
        assert_eq!(Key::from_file(&path).unwrap(), key("a"));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_warned_of() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "").unwrap();
        for (mode, is_exposed) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(exposure(&path).is_some(), is_exposed, "{mode:o}");
        }
    }
}
