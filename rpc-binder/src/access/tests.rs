//! Who may what: the table of the module's documentation, and what is tried against it.

use super::*;
use crate::samples::bank;

const RULES: &str = r#"
[keys]
ann = "a"
bob = "b"
eve = "e"

[groups]
payments = ["ann", "bob"]
ops = ["bob"]

[[rule]]
name = "bank"
register = ["payments"]

[[rule]]
name = "bank.*"
register = ["ann"]
drain = ["ops"]

[[rule]]
name = "bank.free"
register = ["*"]
drain = ["*"]

[[rule]]
name = "old"
register = []
"#;

fn key(letter: &str) -> Key {
    Key::parse(&letter.repeat(64)).unwrap()
}

fn rules(text: &str) -> Result<Rules, String> {
    Rules::parse(text, |path| Ok(key(path.to_str().unwrap())))
}

#[derive(Debug)]
struct Counting(u64);

impl Rng for Counting {
    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

fn access(text: &str) -> Access {
    let access = Access::new(&mut Counting(0));
    access.set(rules(text).unwrap());
    access
}

fn at(seconds: u64) -> Instant {
    Instant::START + Duration::from_secs(seconds)
}

fn address(text: &str) -> Address {
    Address::Ip(text.parse().unwrap())
}

fn far() -> Address {
    address("192.0.2.1:9")
}

fn registration(name: &str) -> Registration {
    Registration { name: name.into(), ..bank(7) }
}

fn none() -> BTreeSet<String> {
    BTreeSet::new()
}

/// Asks with a key if a proof is wanted; gives the refusal.
fn registers(access: &Access, letter: Option<&str>, name: &str) -> Result<(), String> {
    let said = registration(name);
    let asker = Asker { now: at(0), from: Some(far()), proof: None };
    let mut answer = access.register(asker, &said, &none());
    if let (Err(BinderError::ProofWanted { nonce, .. }), Some(letter)) = (&answer, letter) {
        let proof = key(letter).prove_registration(*nonce, &said);
        answer = access.register(Asker { proof: Some(&proof), ..asker }, &said, &none());
    }
    answer.map_err(|refusal| refusal.to_string())
}

fn drains(access: &Access, letter: Option<&str>, from: Address, name: &str) -> Result<(), String> {
    let what = (ServerId(7), None);
    let names = [name.to_owned()].into();
    let asker = Asker { now: at(0), from: Some(from), proof: None };
    let mut answer = access.drain(asker, &names, what);
    if let (Err(BinderError::ProofWanted { nonce, .. }), Some(letter)) = (&answer, letter) {
        let proof = key(letter).prove_drain(*nonce, what.0, what.1);
        answer = access.drain(Asker { proof: Some(&proof), ..asker }, &names, what);
    }
    answer.map_err(|refusal| refusal.to_string())
}

#[test]
fn who_may_register_is_as_the_rules_say() {
    let access = access(RULES);
    for (name, key, refusal) in [
        ("bank", Some("a"), None),
        ("bank", Some("b"), None),
        ("bank", Some("e"), Some("bank is owned by group payments; this is key eve")),
        ("bank", None, Some("bank is owned by group payments; no proof of a key did")),
        ("bank.loans", Some("a"), None),
        ("bank.loans", Some("b"), Some("bank.loans is owned by key ann; this is key bob")),
        ("bank.free", None, None),
        ("old", Some("a"), Some("the binder's access rules let nobody register old")),
        ("banks", None, None),
        ("note", None, None),
    ] {
        let expected = refusal.map_or(Ok(()), |text| Err(text.to_owned()));
        assert_eq!(registers(&access, key, name), expected, "{name} with {key:?}");
    }
    assert_eq!(access.refusals(), 3);
}

#[test]
fn who_may_drain_is_as_the_rules_say_and_without_one_only_who_is_here() {
    let access = access(RULES);
    let here = address("127.0.0.1:9");
    let far_is_refused = |name: &str| {
        let text = format!(
            "servers of {name} are drained from the binder's own machine only: its access rules name \
             nobody else"
        );
        (text.clone(), Some(text))
    };
    let (free, note) = (far_is_refused("bank.free").1, far_is_refused("note").1);
    for (name, key, from, refusal) in [
        ("bank", Some("a"), far(), None),
        (
            "bank",
            Some("e"),
            here,
            Some("servers of bank are drained by group payments; this is key eve"),
        ),
        ("bank.loans", Some("b"), far(), None),
        (
            "bank.loans",
            Some("a"),
            far(),
            Some("servers of bank.loans are drained by group ops; this is key ann"),
        ),
        ("bank.free", None, here, None),
        ("bank.free", None, far(), free.as_deref()),
        ("old", None, here, Some("the binder's access rules let nobody drain servers of old")),
        ("note", None, here, None),
        ("note", None, address("[::1]:9"), None),
        ("note", None, address("[::ffff:127.0.0.1]:9"), None),
        ("note", None, Address::Local(7), None),
        ("note", None, far(), note.as_deref()),
    ] {
        let expected = refusal.map_or(Ok(()), |text| Err(text.to_owned()));
        assert_eq!(drains(&access, key, from, name), expected, "{name} with {key:?} from {from}");
    }
}

#[test]
fn by_default_nobody_may_anything_if_the_rules_say_so() {
    let access = access(
        "default = \"deny\"\nkeys = { ann = \"a\" }\nrule = [{ name = \"*\", register = [\"ann\"] }]",
    );
    assert_eq!(registers(&access, Some("a"), "note"), Ok(()));
    let closed = self::access("default = \"deny\"");
    let refusal = registers(&closed, Some("a"), "note").unwrap_err();
    assert_eq!(refusal, "the binder's access rules let nobody register note");
    assert!(drains(&closed, None, address("127.0.0.1:9"), "note").is_err());
}

#[test]
fn a_proof_is_for_one_request_one_host_and_some_seconds() {
    let access = access(RULES);
    let said = registration("bank");
    let asker = Asker { now: at(9), from: Some(far()), proof: None };
    let Err(BinderError::ProofWanted { nonce, .. }) = access.register(asker, &said, &none()) else {
        panic!("a proof is wanted");
    };
    let proof = key("a").prove_registration(nonce, &said);
    let with = |now, from, said: &Registration| {
        access.register(Asker { now, from: Some(from), proof: Some(&proof) }, said, &none())
    };
    assert_eq!(with(at(9), far(), &said), Ok(()));
    assert_eq!(with(at(19), address("192.0.2.1:10"), &said), Ok(()), "the same host");
    let is_wanted = |answer| matches!(answer, Err(BinderError::ProofWanted { .. }));
    assert!(is_wanted(with(at(20), far(), &said)), "it is too old");
    assert!(is_wanted(with(at(9), address("192.0.2.2:9"), &said)), "another host");
    let elsewhere = Registration { addresses: vec!["udp://10.0.0.8:1".into()], ..said };
    assert_eq!(
        with(at(9), far(), &elsewhere).unwrap_err().to_string(),
        "bank is owned by group payments; the proof of key ann is wrong"
    );
    let unknown = Proof { key: 1, ..proof.clone() };
    let asker = Asker { proof: Some(&unknown), ..asker };
    assert_eq!(
        access.register(asker, &registration("bank"), &none()).unwrap_err().to_string(),
        "bank is owned by group payments; key 0000000000000001 is not known to the binder"
    );
}

#[test]
fn nobody_takes_the_place_of_a_server_whose_names_he_does_not_own() {
    let access = access(RULES);
    let asker = Asker { now: at(0), from: Some(far()), proof: None };
    let said = registration("note");
    assert_eq!(access.register(asker, &said, &none()), Ok(()));
    let former = ["bank".to_owned(), "note".to_owned()].into();
    let refusal = access.register(asker, &said, &former).unwrap_err();
    assert!(matches!(refusal, BinderError::ProofWanted { .. }), "{refusal}");
}

#[test]
fn rules_that_are_wrong_are_refused_in_words() {
    for (text, flaw) in [
        ("defult = \"deny\"", "unknown field `defult`"),
        ("default = \"maybe\"", "unknown variant `maybe`"),
        ("[groups]\nx = [\"ann\"]", "group \"x\" has \"ann\", and there is no such key"),
        ("[keys]\nann = \"a\"\nbob = \"a\"", "keys \"ann\" and \"bob\" are the same"),
        ("[keys]\nx = \"a\"\n[groups]\nx = []", "\"x\" names a key and a group"),
        (
            "[[rule]]\nname = \"bank\"\nregister = [\"ann\"]",
            "the rule for \"bank\" names \"ann\", and there is no such key or group",
        ),
        ("[[rule]]\nname = \"Bank\"\nregister = []", "'B' is none of a-z 0-9 . _ -"),
        ("[[rule]]\nname = \"b*k\"\nregister = []", "'*' is none of a-z 0-9 . _ -"),
        ("[[rule]]\nname = \"bank\"", "missing field `register`"),
        (
            "rule = [{ name = \"a\", register = [] }, { name = \"a\", register = [] }]",
            "there are two rules for \"a\"",
        ),
        ("[keys", "TOML parse error"),
    ] {
        let said = rules(text).unwrap_err();
        assert!(said.contains(flaw), "{text}: {said}");
    }
    let many: String =
        (0..=4096).map(|n| format!("[[rule]]\nname = \"n{n}\"\nregister = []\n")).collect();
    assert_eq!(rules(&many).unwrap_err(), "there are 4097 rules, and 4096 may be");
}

#[test]
fn rules_and_keys_are_read_from_files_beside_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.toml");
    let text = "[keys]\nann = \"ann.key\"\n[[rule]]\nname = \"bank\"\nregister = [\"ann\"]\n";
    fs::write(&path, text).unwrap();
    let missing = read(&path).unwrap_err();
    assert!(missing.contains("key \"ann\": no key in "), "{missing}");
    fs::write(folder.path().join("ann.key"), "a".repeat(64)).unwrap();
    let (rules, _warnings) = read(&path).unwrap();
    assert_eq!(rules.size(), (1, 1));
    assert_eq!(rules.key(key("a").id()).map(|(name, _)| name), Some("ann"));
}
