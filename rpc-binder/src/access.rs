//! Who may register under a name, and who may have a server drain.
//!
//! | name | registers | drains |
//! |---|---|---|
//! | without a rule, `default = "allow"` | everybody | everybody on the binder's machine |
//! | without a rule, `default = "deny"` | nobody | nobody |
//! | rule with `register = ["ann"]` | who proves key ann | who proves key ann |
//! | rule with `drain = ["ops"]` | as `register` says | who proves a key of group ops |
//! | rule with `["*"]` | everybody | everybody on the binder's machine |
//! | rule with `[]` | nobody | nobody |
//!
//! A server that takes the place of an earlier life of itself must be allowed to register under that one's
//! names too. The rules count when somebody registers or drains, not afterwards: who is registered when they
//! change stays so until he leaves or his lease is over.
//!
//! A proof is a code over the whole request and a nonce of this binder for that host, which is of use for 10 to
//! 20 s. Within that time who listens on the network can repeat the very same registration from the same
//! address, and gains nothing by it but that a server which has just left is listed for one lease more.
//! Nothing is encrypted: who listens reads the secret of a lease, and can end that registration. Does not know
//! how a registration is kept.

pub mod rules;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rpc_runtime::address::Address;
use rpc_runtime::binder::key::exposure;
use rpc_runtime::binder::{BinderError, Key, Proof, Registration};
use rpc_runtime::hash::{Hasher, SipKey};
use rpc_runtime::ids::ServerId;
use rpc_runtime::random::Rng;
use rpc_runtime::time::{Duration, Instant};

use rules::{Act, FILE_BYTES_MAX, Rules, Who};

/// How long a nonce is given out. It is taken for as long again.
const NONCE_TIME: Duration = Duration::from_secs(10);

/// Who may what, and who has proved what.
#[derive(Debug)]
pub struct Access {
    rules: RwLock<Arc<Rules>>,
    nonces: SipKey,
    refusals: AtomicU64,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// When.
    pub now: Instant,
    /// From where; nowhere within the binder's own process.
    pub from: Option<Address>,
    /// What he proves.
    pub proof: Option<&'a Proof>,
}

impl Access {
    /// Access by no rules.
    #[must_use]
    pub fn new(rng: &mut dyn Rng) -> Self {
        let nonces = SipKey([rng.next_u64(), rng.next_u64()]);
        Self { rules: RwLock::default(), nonces, refusals: AtomicU64::new(0) }
    }

    /// From now on these rules count.
    pub fn set(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Whether everybody may register under every name.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).are_none()
    }

    /// How often somebody was refused.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Whether a server may register, and take the place of its earlier life under the names `former`.
    ///
    /// # Errors
    ///
    /// [`BinderError::ProofWanted`], [`BinderError::NotAllowed`].
    pub fn register(
        &self,
        asker: Asker<'_>,
        registration: &Registration,
        former: &BTreeSet<String>,
    ) -> Result<(), BinderError> {
        let others = former.iter().map(String::as_str).filter(|name| *name != registration.name);
        let names = std::iter::once(registration.name.as_str()).chain(others);
        self.check(asker, Act::Register, names, |key, proof| key.is_proved_by(proof, registration))
    }

    /// Whether somebody may have a server drain that is registered under `names`: as a whole, or for clients of
    /// the service `name`.
    ///
    /// # Errors
    ///
    /// As [`Access::register`].
    pub fn drain(
        &self,
        asker: Asker<'_>,
        names: &BTreeSet<String>,
        (server, name): (ServerId, Option<&str>),
    ) -> Result<(), BinderError> {
        let names =
            names.iter().map(String::as_str).filter(|one| name.is_none_or(|name| name == *one));
        self.check(asker, Act::Drain, names, |key, proof| {
            key.is_proved_for_drain(proof, server, name)
        })
    }

    fn check<'n>(
        &self,
        asker: Asker<'_>,
        act: Act,
        names: impl Iterator<Item = &'n str>,
        is_proved: impl Fn(&Key, &Proof) -> bool,
    ) -> Result<(), BinderError> {
        let rules = Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner));
        let judged = self.judge(&rules, asker, act, names, is_proved);
        if let Err(BinderError::NotAllowed { .. }) = judged {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }
        judged
    }

    fn judge<'n>(
        &self,
        rules: &Rules,
        asker: Asker<'_>,
        act: Act,
        names: impl Iterator<Item = &'n str>,
        is_proved: impl Fn(&Key, &Proof) -> bool,
    ) -> Result<(), BinderError> {
        let refused = |reason: String| Err(BinderError::NotAllowed { reason });
        let mut owned = Vec::new();
        for name in names {
            match rules.who(act, name) {
                Who::Everybody => {}
                Who::Here if asker.from.is_none_or(is_here) => {}
                Who::Here => {
                    return refused(format!(
                        "servers of {name} are drained from the binder's own machine only: its access \
                         rules name nobody else"
                    ));
                }
                Who::Nobody => {
                    return refused(format!(
                        "the binder's access rules let nobody {} {name}",
                        words(act)
                    ));
                }
                Who::Owners(owners) => owned.push((name, owners)),
            }
        }
        let Some((name, owners)) = owned.first() else { return Ok(()) };
        let reason = owned_by(act, name, owners.words());
        let Some(proof) = asker.proof else {
            let nonce = self.nonce(slot(asker.now), asker.from);
            return Err(BinderError::ProofWanted { nonce, reason });
        };
        let Some((holder, key)) = rules.key(proof.key) else {
            return refused(format!("{reason}; key {:016x} is not known to the binder", proof.key));
        };
        if let Some((name, owners)) = owned.iter().find(|(_, owners)| !owners.has(holder)) {
            let reason = owned_by(act, name, owners.words());
            return refused(format!("{reason}; this is key {holder}"));
        }
        // Before anything is computed: what is not for now costs nothing.
        if !self.is_current(asker, proof.nonce) {
            let nonce = self.nonce(slot(asker.now), asker.from);
            return Err(BinderError::ProofWanted { nonce, reason });
        }
        if is_proved(key, proof) {
            return Ok(());
        }
        refused(format!("{reason}; the proof of key {holder} is wrong"))
    }

    fn is_current(&self, asker: Asker<'_>, nonce: u128) -> bool {
        let now = slot(asker.now);
        [Some(now), now.checked_sub(1)]
            .into_iter()
            .flatten()
            .any(|slot| self.nonce(slot, asker.from) == nonce)
    }

    /// What proofs cover that come from that host in that time. Nothing is remembered of it.
    fn nonce(&self, slot: u64, from: Option<Address>) -> u128 {
        let mut hasher = Hasher::new(self.nonces);
        hasher.write_u64(slot);
        hasher.write(format!("{:?}", from.map(Address::host)).as_bytes());
        u128::from(slot) << 64 | u128::from(hasher.finish())
    }
}

fn slot(now: Instant) -> u64 {
    now.since(Instant::START).as_secs() / NONCE_TIME.as_secs()
}

const fn words(act: Act) -> &'static str {
    match act {
        Act::Register => "register",
        Act::Drain => "drain servers of",
    }
}

fn owned_by(act: Act, name: &str, owners: &str) -> String {
    match act {
        Act::Register => format!("{name} is owned by {owners}"),
        Act::Drain => format!("servers of {name} are drained by {owners}"),
    }
}

/// Whether somebody asks from the binder's own machine.
fn is_here(from: Address) -> bool {
    match from {
        Address::Ip(address) | Address::Tcp(address) => address.ip().to_canonical().is_loopback(),
        Address::Local(_) => true,
        // Which host of a simulation the binder is, it does not know.
        Address::Virtual(_) | Address::VirtualStream(_) => false,
    }
}

/// Reads rules from a file, and the keys from the files that it names, as seen from its folder. With them comes
/// what is to be said of files that others may read.
///
/// # Errors
///
/// What is wrong, in words.
pub fn read(path: &Path) -> Result<(Rules, Vec<String>), String> {
    let shown = path.display();
    let unread = |error: std::io::Error| format!("{shown}: {error}");
    if fs::metadata(path).map_err(unread)?.len() > FILE_BYTES_MAX {
        return Err(format!("{shown}: rules have at most {FILE_BYTES_MAX} bytes"));
    }
    let text = fs::read_to_string(path).map_err(unread)?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let mut warnings = Vec::new();
    let read = |key: &Path| {
        let key = folder.join(key);
        let read = Key::from_file(&key).map_err(|error| error.to_string())?;
        warnings.extend(exposure(&key));
        Ok(read)
    };
    let rules = Rules::parse(&text, read).map_err(|flaw| format!("{shown}: {flaw}"))?;
    Ok((rules, warnings))
}

#[cfg(test)]
mod tests;
