//! Scripted faults: "drop the next REPLY from bank to till".
//!
//! A [`Rule`] names datagrams and what becomes of them, instead of chance. Rules are tried in the
//! order they were given, before partitions and faults; the first that applies decides.

use std::fmt;

use super::super::hosts::HostId;
use super::pdu_kinds;
use crate::time::Duration;
use crate::wire::Kind;

/// What a rule does with a datagram it applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It never arrives.
    Drop,
    /// It arrives this much later than it would, untouched by faults.
    Delay(Duration),
    /// It arrives, untouched by faults, and again this much later.
    Repeat(Duration),
    /// It arrives damaged.
    Corrupt,
    /// It arrives, whatever faults and partitions are in force.
    Pass,
}

/// Names a rule that was given to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(pub(super) usize);

/// Which datagrams, and what becomes of them. Applies to every datagram until narrowed down.
pub struct Rule {
    from: Option<HostId>,
    to: Option<HostId>,
    kind: Option<Kind>,
    test: Option<Test>,
    skip: u64,
    times: u64,
    hits: u64,
    pub(super) verdict: Verdict,
}

type Test = Box<dyn Fn(&[u8]) -> bool + Send>;

impl Rule {
    /// A rule for all datagrams.
    #[must_use]
    pub fn new(verdict: Verdict) -> Self {
        Self {
            from: None,
            to: None,
            kind: None,
            test: None,
            skip: 0,
            times: u64::MAX,
            hits: 0,
            verdict,
        }
    }

    /// Only what this host sends.
    #[must_use]
    pub fn from(self, host: HostId) -> Self {
        Self { from: Some(host), ..self }
    }

    /// Only what is sent to this host.
    #[must_use]
    pub fn to(self, host: HostId) -> Self {
        Self { to: Some(host), ..self }
    }

    /// Only datagrams that hold a PDU of this kind, alone or among others.
    #[must_use]
    pub fn kind(self, kind: Kind) -> Self {
        Self { kind: Some(kind), ..self }
    }

    /// Only datagrams that pass this test.
    #[must_use]
    pub fn when(self, test: impl Fn(&[u8]) -> bool + Send + 'static) -> Self {
        Self { test: Some(Box::new(test)), ..self }
    }

    /// Not the first `count` of them.
    #[must_use]
    pub fn skip(self, count: u64) -> Self {
        Self { skip: count, ..self }
    }

    /// Only the next `count` of them.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self { times: count, ..self }
    }

    /// How many datagrams it decided about.
    pub(super) fn hits(&self) -> u64 {
        self.hits
    }

    pub(super) fn is_spent(&self) -> bool {
        self.hits == self.times
    }

    /// Retires the rule; its hits can still be read.
    pub(super) fn retire(&mut self) {
        self.times = self.hits;
    }

    /// Whether it decides about this datagram; counts if so.
    pub(super) fn applies(&mut self, from: HostId, to: HostId, datagram: &[u8]) -> bool {
        let named = !self.is_spent()
            && self.from.is_none_or(|host| host == from)
            && self.to.is_none_or(|host| host == to)
            && self.kind.is_none_or(|kind| pdu_kinds(datagram).any(|other| other == kind))
            && self.test.as_ref().is_none_or(|test| test(datagram));
        if named && self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.hits += u64::from(named);
        named
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, kind, skip, times, hits, verdict, .. } = self;
        write!(f, "Rule({verdict:?} {kind:?} {from:?} → {to:?}, {hits}/{times}, skip {skip})")
    }
}
