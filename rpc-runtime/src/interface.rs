//! An interface as both sides must have it: a name, a version, and a table of methods.
//!
//! The table is static data, made by `#[service]`. Fingerprints are computed once, when first asked
//! for: a method's from its names, semantics and form (the shapes of its types), the interface's
//! from its methods', in any order. Every part is hashed with its length, so that no two lists run
//! into one another.

mod forms;
mod learned;

use std::sync::OnceLock;

pub use forms::Forms;
pub use learned::LearnedMethod;

use crate::hash::{Hasher, SipKey};
use crate::ids::MethodFingerprint;
use crate::protocol::explain::name_hash;
use crate::protocol::{AckProtocol, OrphanPolicy, OrphanStrategy};
use crate::semantics::Semantics;
use crate::time::Duration;

/// The keys are fixed: both sides must come to the same hash.
const METHOD_KEY: SipKey = SipKey([0x7270_632d_6d65_7468, 0x6f64_2d76_312d_6b65]);
const INTERFACE_KEYS: [SipKey; 2] = [
    SipKey([0x7270_632d_696e_7465, 0x7266_6163_652d_6c6f]),
    SipKey([0x7270_632d_696e_7465, 0x7266_6163_652d_6869]),
];

/// The form of a table written by hand that names no types.
const NO_FORM: &str = "()->";

/// One method of an [`Interface`].
#[derive(Clone, Copy, Debug)]
pub struct Method {
    name: &'static str,
    signature: &'static str,
    semantics: Semantics,
    timeout_ns: u64,
    hedge_ns: u64,
    inline: bool,
    worker: bool,
    orphan: Option<OrphanStrategy>,
    quantum_ns: u64,
    no_cancel: bool,
    ack: Option<AckProtocol>,
    parameters: &'static [&'static str],
    forms: fn(&mut Forms),
}

impl Method {
    /// A method with its name on the wire and its canonical signature.
    #[must_use]
    pub const fn new(name: &'static str, signature: &'static str, semantics: Semantics) -> Self {
        Self {
            name,
            signature,
            semantics,
            timeout_ns: 0,
            hedge_ns: 0,
            inline: false,
            worker: false,
            orphan: None,
            quantum_ns: 0,
            no_cancel: false,
            ack: None,
            parameters: &[],
            forms: |_| {},
        }
    }

    /// Names its parameters, in order: for callers without types, no part of the fingerprint.
    #[must_use]
    pub const fn parameters(mut self, names: &'static [&'static str]) -> Self {
        self.parameters = names;
        self
    }

    /// Names the types of its parameters and its result, in order.
    #[must_use]
    pub const fn forms(mut self, forms: fn(&mut Forms)) -> Self {
        self.forms = forms;
        self
    }

    /// How long a caller waits who says nothing else, in nanoseconds.
    #[must_use]
    pub const fn timeout_ns(mut self, timeout_ns: u64) -> Self {
        self.timeout_ns = timeout_ns;
        self
    }

    /// After how long without an answer the call is made at another server too, in nanoseconds.
    ///
    /// # Panics
    ///
    /// When the table is made, at compile time: the method is not `at_least_once`.
    #[must_use]
    pub const fn hedge_ns(mut self, hedge_ns: u64) -> Self {
        assert!(
            matches!(self.semantics, Semantics::AtLeastOnce),
            "only an `at_least_once` call may run at two servers"
        );
        self.hedge_ns = hedge_ns;
        self
    }

    /// Always runs in the thread that receives: for handlers that return at once.
    #[must_use]
    pub const fn inline(mut self) -> Self {
        self.inline = true;
        self
    }

    /// Always runs in a worker, however quick it has been.
    #[must_use]
    pub const fn worker(mut self) -> Self {
        self.worker = true;
        self
    }

    /// What is done about its calls when their client may be gone, whatever the server says.
    #[must_use]
    pub const fn orphan(mut self, strategy: OrphanStrategy) -> Self {
        self.orphan = Some(strategy);
        self
    }

    /// How long a call runs before its caller is asked whether it still waits, in nanoseconds.
    #[must_use]
    pub const fn expires_ns(mut self, quantum_ns: u64) -> Self {
        self.quantum_ns = quantum_ns;
        self
    }

    /// Runs to its end, whatever becomes of its caller.
    #[must_use]
    pub const fn no_cancel(mut self) -> Self {
        self.no_cancel = true;
        self
    }

    /// How the fragments of its large messages are acknowledged, whatever the two sides say.
    #[must_use]
    pub const fn ack(mut self, protocol: AckProtocol) -> Self {
        self.ack = Some(protocol);
        self
    }

    /// Its name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its signature, as far as the wire is concerned.
    #[must_use]
    pub const fn signature(&self) -> &'static str {
        self.signature
    }

    /// The names of its parameters, in order; none where the table does not say.
    #[must_use]
    pub const fn parameter_names(&self) -> &'static [&'static str] {
        self.parameters
    }

    /// What it promises.
    #[must_use]
    pub const fn semantics(&self) -> Semantics {
        self.semantics
    }

    /// How long a caller waits who says nothing else; `None` is the client's default.
    #[must_use]
    pub const fn timeout(&self) -> Option<Duration> {
        match self.timeout_ns {
            0 => None,
            ns => Some(Duration::from_nanos(ns)),
        }
    }

    /// After how long without an answer the call is made at another server too, if ever.
    #[must_use]
    pub const fn hedge(&self) -> Option<Duration> {
        match self.hedge_ns {
            0 => None,
            ns => Some(Duration::from_nanos(ns)),
        }
    }

    /// What is done about its calls when their client may be gone, on a server whose own strategy and
    /// quantum are these. A quantum of its own has its calls expire under any strategy.
    #[must_use]
    pub const fn orphan_policy(&self, server: OrphanStrategy, quantum: Duration) -> OrphanPolicy {
        let strategy = match self.orphan {
            Some(strategy) => strategy,
            None => server,
        };
        let mut policy = OrphanPolicy::new(strategy, quantum);
        if self.quantum_ns > 0 {
            policy.quantum = Some(Duration::from_nanos(self.quantum_ns));
        }
        if self.no_cancel { policy.no_cancel() } else { policy }
    }

    /// How the fragments of its large messages are acknowledged; `None` is as each side says.
    #[must_use]
    pub const fn ack_protocol(&self) -> Option<AckProtocol> {
        self.ack
    }

    /// Whether what its clients leave is killed by their later lives, from their journals.
    pub(crate) const fn is_exterminated(&self) -> bool {
        matches!(self.orphan, Some(OrphanStrategy::Exterminate))
    }

    /// Whether it always runs in the thread that receives.
    #[must_use]
    pub const fn is_inline(&self) -> bool {
        self.inline
    }

    /// Whether it always runs in a worker.
    #[must_use]
    pub const fn is_worker(&self) -> bool {
        self.worker
    }
}

/// What `#[service]` makes of a trait, beside its stubs.
#[derive(Debug)]
pub struct Interface {
    name: &'static str,
    version: (u16, u16),
    methods: &'static [Method],
    found: OnceLock<Found>,
}

/// What is computed when an interface is first used.
#[derive(Debug)]
struct Found {
    fingerprint: u128,
    methods: Vec<FoundMethod>,
}

#[derive(Debug)]
struct FoundMethod {
    fingerprint: MethodFingerprint,
    name: u32,
    form: String,
    unsendable: Option<String>,
}

impl Interface {
    /// The interface of a service.
    #[must_use]
    pub const fn new(name: &'static str, version: (u16, u16), methods: &'static [Method]) -> Self {
        Self { name, version, methods, found: OnceLock::new() }
    }

    /// The name that servers register under.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Major and minor version.
    #[must_use]
    pub const fn version(&self) -> (u16, u16) {
        self.version
    }

    /// The methods, in the trait's order.
    #[must_use]
    pub const fn methods(&self) -> &'static [Method] {
        self.methods
    }

    /// Changes whenever a method does, is added or removed; not when the order does.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        self.found().fingerprint
    }

    /// Names a method on the wire.
    ///
    /// # Panics
    ///
    /// Here and below: there is no such method.
    #[must_use]
    pub fn method_fingerprint(&self, method: usize) -> MethodFingerprint {
        self.found().methods[method].fingerprint
    }

    /// Hash of `service.method`, half of it the service's: stays when the signature changes.
    #[must_use]
    pub fn name_hash(&self, method: usize) -> u32 {
        self.found().methods[method].name
    }

    /// How a method's parameters and result look on the wire: `(str,u64)->{number:u64}!<NoFunds>`.
    #[must_use]
    pub fn form(&self, method: usize) -> &str {
        &self.found().methods[method].form
    }

    /// How a method is called, for people: its semantics and its form, or its signature where the
    /// table names no types.
    pub(crate) fn described(&self, method: usize) -> String {
        let (form, described) = (self.form(method), &self.methods[method]);
        let form = if form == NO_FORM { described.signature } else { form };
        // A method without an error of its own: nothing is told of an error that cannot be.
        format!("{} {}", described.semantics.word(), form.trim_end_matches("!<>"))
    }

    /// Why a method's types cannot be sent, if they cannot.
    #[must_use]
    pub fn unsendable(&self, method: usize) -> Option<&str> {
        self.found().methods[method].unsendable.as_deref()
    }

    fn found(&self) -> &Found {
        self.found.get_or_init(|| {
            Found::of(self.name, self.methods.iter().map(|method| self.find(method)).collect())
        })
    }

    /// The service's half of its methods' name hashes.
    pub(crate) fn service_hash(&self) -> u16 {
        hash_of(self.name)
    }

    fn find(&self, method: &Method) -> FoundMethod {
        let mut forms = Forms::default();
        (method.forms)(&mut forms);
        let (form, unsendable) = forms.finish();
        let name = name_hash(self.service_hash(), hash_of(method.name));
        let fingerprint = method_fingerprint_of(
            (self.name, method.name),
            method.semantics,
            (&form, method.signature),
        );
        FoundMethod { fingerprint, name, form, unsendable }
    }
}

impl Found {
    fn of(name: &str, methods: Vec<FoundMethod>) -> Self {
        let fingerprints = methods.iter().map(|found| found.fingerprint);
        Self { fingerprint: fingerprint_of(name, fingerprints), methods }
    }
}

/// The fingerprint of a method: from the names of its service and its own, its semantics, its form, and where the
/// form does not say all, its signature.
#[must_use]
pub fn method_fingerprint_of(
    (service, name): (&str, &str),
    semantics: Semantics,
    (form, signature): (&str, &str),
) -> MethodFingerprint {
    let mut hasher = Hasher::new(METHOD_KEY);
    write_part(&mut hasher, service.as_bytes());
    write_part(&mut hasher, name.as_bytes());
    write_part(&mut hasher, semantics.word().as_bytes());
    write_part(&mut hasher, form.as_bytes());
    // Parts that took no sample are known by their names only.
    let is_known = form.len() > NO_FORM.len() && !form.contains('?');
    write_part(&mut hasher, if is_known { b"" } else { signature.as_bytes() });
    MethodFingerprint(hasher.finish().max(1))
}

/// The fingerprint of an interface, from its name and those of its methods in any order.
#[must_use]
pub fn fingerprint_of(name: &str, methods: impl Iterator<Item = MethodFingerprint>) -> u128 {
    let mut sorted: Vec<u64> = methods.map(|fingerprint| fingerprint.0).collect();
    sorted.sort_unstable();
    let [low, high] = INTERFACE_KEYS.map(|key| {
        let mut hasher = Hasher::new(key);
        write_part(&mut hasher, name.as_bytes());
        hasher.write_u64(sorted.len() as u64);
        for &print in &sorted {
            hasher.write_u64(print);
        }
        hasher.finish()
    });
    u128::from(high) << 64 | u128::from(low)
}

#[expect(clippy::cast_possible_truncation, reason = "a quarter of a hash is a hash")]
fn hash_of(name: &str) -> u16 {
    let mut hasher = Hasher::new(METHOD_KEY);
    hasher.write(name.as_bytes());
    hasher.finish() as u16
}

fn write_part(hasher: &mut Hasher, part: &[u8]) {
    hasher.write_u64(part.len() as u64);
    hasher.write(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: Method = Method::new("put", "(u32)->Result<(),E>", Semantics::AtMostOnce);
    const GET: Method = Method::new("get", "()->Result<u32,E>", Semantics::AtLeastOnce);

    fn print(methods: &'static [Method]) -> u128 {
        Interface::new("store", (1, 0), methods).fingerprint()
    }

    #[test]
    fn the_fingerprint_follows_the_interface_and_not_its_order() {
        const CHANGED: Method = Method::new("put", "(u64)->Result<(),E>", Semantics::AtMostOnce);
        const REPEATABLE: Method =
            Method::new("put", "(u32)->Result<(),E>", Semantics::AtLeastOnce);
        assert_eq!(print(&[PUT, GET]), print(&[GET, PUT]));
        for other in [print(&[PUT]), print(&[CHANGED, GET]), print(&[REPEATABLE, GET])] {
            assert_ne!(print(&[PUT, GET]), other);
        }
    }

    #[test]
    fn a_type_that_changes_inside_changes_the_fingerprint_and_its_name_does_not() {
        type Output<T> = Result<T, crate::error::CallError>;
        const fn with(signature: &'static str, forms: fn(&mut Forms)) -> Method {
            Method::new("put", signature, Semantics::AtMostOnce).forms(forms)
        }
        let print = |method: Method| {
            let interface = Interface::new("store", (1, 0), Box::leak(Box::new([method])));
            (interface.fingerprint(), interface.form(0).to_owned())
        };
        let old = print(with("(Item)->Result<(),CallError>", |forms| {
            forms.parameter::<(u8, &str)>();
            forms.output::<Output<()>>();
        }));
        let renamed = print(with("(Thing)->R<()>", |forms| {
            forms.parameter::<(u8, String)>();
            forms.output::<Output<()>>();
        }));
        let changed = print(with("(Item)->Result<(),CallError>", |forms| {
            forms.parameter::<(u16, &str)>();
            forms.output::<Output<()>>();
        }));
        assert_eq!(old, renamed);
        assert_ne!(old.0, changed.0);
        assert_eq!((&*old.1, &*changed.1), ("((u8,str))->()!<>", "((u16,str))->()!<>"));
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u8),
            Text(String),
        }
        let forms: fn(&mut Forms) = |forms| {
            forms.parameter::<u8>();
            forms.parameter::<Either>();
        };
        let method = Method::new("put", "()->", Semantics::AtMostOnce).forms(forms);
        let interface = Interface::new("store", (1, 0), Box::leak(Box::new([method])));
        let why = interface.unsendable(0).unwrap();
        assert!(why.starts_with("parameter 2 cannot be sent: it asks the message"), "{why}");
    }

    #[test]
    fn a_changed_method_keeps_the_hash_of_its_name() {
        let before = Interface::new("store", (1, 0), &[PUT]);
        let after = Interface::new(
            "store",
            (1, 0),
            const { &[Method::new("put", "()->", Semantics::Maybe)] },
        );
        assert_eq!(before.name_hash(0), after.name_hash(0));
        assert_ne!(before.method_fingerprint(0), after.method_fingerprint(0));
    }
}
