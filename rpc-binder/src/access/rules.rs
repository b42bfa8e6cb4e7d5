//! The rules as they are written down: which keys there are, and which of them may what under which names.
//!
//! Pure: text in, rules out. The most exact rule for a name is the only one that counts: one for the name
//! itself before one for what it begins with, and of those the longest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rpc_runtime::binder::Key;
use rpc_runtime::binder::model::{NAME_BYTES_MAX, check_name};
use serde::Deserialize;

/// Longest file of rules, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most keys.
const KEYS_MAX: usize = 1_024;
/// Most rules.
const RULES_MAX: usize = 4_096;
/// Stands for everybody, with a key or without.
const EVERYBODY: &str = "*";

/// What somebody wants to do under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// To offer a service.
    Register,
    /// To have clients leave a server, or a server end.
    Drain,
}

/// Who may do something under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'r> {
    /// Everybody.
    Everybody,
    /// Everybody on the binder's own machine.
    Here,
    /// Nobody.
    Nobody,
    /// Who proves one of these keys.
    Owners(&'r Owners),
}

/// Those who have one of some keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// As they are written down: `group payments or key ann`.
    words: String,
    /// The names of the keys.
    keys: BTreeSet<String>,
}

/// Who may what.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    is_closed: bool,
    /// By their ids.
    keys: BTreeMap<u64, (String, Key)>,
    exact: BTreeMap<String, Rule>,
    /// By what names begin with.
    prefixes: BTreeMap<String, Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    register: Allowed,
    drain: Allowed,
}

#[derive(Clone, Debug)]
enum Allowed {
    Everybody,
    Nobody,
    Owners(Owners),
}

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    default: Otherwise,
    #[serde(default)]
    keys: BTreeMap<String, PathBuf>,
    #[serde(default)]
    groups: BTreeMap<String, Vec<String>>,
    #[serde(default, rename = "rule")]
    rules: Vec<WrittenRule>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Otherwise {
    #[default]
    Allow,
    Deny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    name: String,
    register: Vec<String>,
    drain: Option<Vec<String>>,
}

impl Rules {
    /// Reads rules; `key` reads the file of a key.
    ///
    /// # Errors
    ///
    /// What is wrong with them, in words; then none of them counts.
    pub fn parse(
        text: &str,
        mut key: impl FnMut(&Path) -> Result<Key, String>,
    ) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|error| error.to_string())?;
        limit("keys", written.keys.len(), KEYS_MAX)?;
        limit("rules", written.rules.len(), RULES_MAX)?;
        let mut rules = Self { is_closed: written.default == Otherwise::Deny, ..Self::default() };
        for (name, path) in &written.keys {
            let read = key(path).map_err(|reason| format!("key {name:?}: {reason}"))?;
            if let Some((other, _)) = rules.keys.insert(read.id(), (name.clone(), read)) {
                return Err(format!("keys {other:?} and {name:?} are the same"));
            }
        }
        for (group, members) in &written.groups {
            if written.keys.contains_key(group) {
                return Err(format!("{group:?} names a key and a group"));
            }
            if let Some(unknown) = members.iter().find(|one| !written.keys.contains_key(*one)) {
                return Err(format!("group {group:?} has {unknown:?}, and there is no such key"));
            }
        }
        for rule in &written.rules {
            let register = written.allowed(&rule.name, &rule.register)?;
            let drain = rule.drain.as_ref().map(|drain| written.allowed(&rule.name, drain));
            let drain = drain.transpose()?.unwrap_or_else(|| register.clone());
            rules.add(&rule.name, Rule { register, drain })?;
        }
        Ok(rules)
    }

    fn add(&mut self, pattern: &str, rule: Rule) -> Result<(), String> {
        let (among, name) = match pattern.strip_suffix('*') {
            Some(prefix) => (&mut self.prefixes, prefix),
            None => (&mut self.exact, pattern),
        };
        let is_all = name.is_empty() && pattern == EVERYBODY;
        if !is_all {
            check_name(name).map_err(|flaw| format!("the rule for {pattern:?}: {flaw}"))?;
        }
        match among.insert(name.to_owned(), rule) {
            None => Ok(()),
            Some(_) => Err(format!("there are two rules for {pattern:?}")),
        }
    }

    /// How many keys and rules there are.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.keys.len(), self.exact.len() + self.prefixes.len())
    }

    /// Whether everybody may register under every name.
    #[must_use]
    pub fn are_none(&self) -> bool {
        !self.is_closed && self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// Who may `act` under `name`.
    #[must_use]
    pub fn who(&self, act: Act, name: &str) -> Who<'_> {
        let Some(rule) = self.rule(name) else {
            return match (self.is_closed, act) {
                (true, _) => Who::Nobody,
                (false, Act::Register) => Who::Everybody,
                (false, Act::Drain) => Who::Here,
            };
        };
        let allowed = match act {
            Act::Register => &rule.register,
            Act::Drain => &rule.drain,
        };
        match (allowed, act) {
            // Nobody ends servers from afar without a key, whatever else is open.
            (Allowed::Everybody, Act::Drain) => Who::Here,
            (Allowed::Everybody, Act::Register) => Who::Everybody,
            (Allowed::Nobody, _) => Who::Nobody,
            (Allowed::Owners(owners), _) => Who::Owners(owners),
        }
    }

    fn rule(&self, name: &str) -> Option<&Rule> {
        let longest = name.len().min(NAME_BYTES_MAX);
        self.exact.get(name).or_else(|| {
            let beginnings = (0..=longest).rev().filter_map(|end| name.get(..end));
            beginnings.into_iter().find_map(|beginning| self.prefixes.get(beginning))
        })
    }

    /// A key and its name, by its id.
    #[must_use]
    pub fn key(&self, id: u64) -> Option<(&str, &Key)> {
        self.keys.get(&id).map(|(name, key)| (name.as_str(), key))
    }
}

impl Written {
    /// Who is meant by a list of keys and groups.
    fn allowed(&self, rule: &str, members: &[String]) -> Result<Allowed, String> {
        if members.iter().any(|member| member == EVERYBODY) {
            return Ok(Allowed::Everybody);
        }
        let mut words = Vec::new();
        let mut keys = BTreeSet::new();
        for member in members {
            if let Some(group) = self.groups.get(member) {
                words.push(format!("group {member}"));
                keys.extend(group.iter().cloned());
            } else if self.keys.contains_key(member) {
                words.push(format!("key {member}"));
                keys.insert(member.clone());
            } else {
                return Err(format!(
                    "the rule for {rule:?} names {member:?}, and there is no such key or group"
                ));
            }
        }
        if keys.is_empty() {
            return Ok(Allowed::Nobody);
        }
        Ok(Allowed::Owners(Owners { words: words.join(" or "), keys }))
    }
}

impl Owners {
    /// Who they are, in words.
    #[must_use]
    pub fn words(&self) -> &str {
        &self.words
    }

    /// Whether the key of that name is one of theirs.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }
}

fn limit(what: &str, count: usize, max: usize) -> Result<(), String> {
    if count <= max { Ok(()) } else { Err(format!("there are {count} {what}, and {max} may be")) }
}
