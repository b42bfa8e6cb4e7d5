//! Who calls and who answers in a campaign: scripts drawn from the seed.

use rpc_runtime::ids::MethodFingerprint;
use rpc_runtime::protocol::limits::REPLY_BYTES_MAX;
use rpc_runtime::protocol::{CallSpec, Execute, HandlerEnd, Outcome};
use rpc_runtime::random::Rng;
use rpc_runtime::sim::nodes::{Action, Behaviour, Planned, Script, Work};
use rpc_runtime::time::{Duration, Instant};

use super::knobs::Calls;

/// Handlers of every temper: quick and slow, obedient and not, failing in every way.
#[derive(Debug)]
pub(super) struct Handlers {
    rng: Box<dyn Rng>,
    executions: u64,
    /// Their work takes long, as a rule, so that callers are asked, give up or die meanwhile.
    are_slow: bool,
}

impl Handlers {
    pub(super) fn new(mut rng: Box<dyn Rng>) -> Self {
        let are_slow = rng.chance(0.3);
        Self { rng, executions: 0, are_slow }
    }
}

impl Behaviour for Handlers {
    fn execute(&mut self, _now: Instant, execute: &Execute, reply: &mut Vec<u8>) -> Work {
        // No two executions reply alike, so that a reply of another one is noticed.
        self.executions += 1;
        reply.extend_from_slice(&execute.arguments);
        reply.extend_from_slice(&self.executions.to_le_bytes());
        reply.extend_from_slice(&self.rng.next_u64().to_le_bytes());
        let (end, length) = match self.rng.below(100) {
            0..=4 => (HandlerEnd::Panicked, 0),
            5..=7 => (HandlerEnd::HandlerFailed, 0),
            8..=9 => (HandlerEnd::BadArguments, 0),
            10..=11 => (HandlerEnd::Returned, REPLY_BYTES_MAX),
            12..=20 => (HandlerEnd::Returned, 700),
            _ => (HandlerEnd::Returned, 0),
        };
        reply.resize(reply.len() + length, 7);
        let takes = match (self.rng.below(10), self.are_slow) {
            (0..=5, false) | (0..=1, true) => 0,
            (6..=8, false) | (2..=3, true) => self.rng.below(60_000),
            (_, false) => self.rng.below(1_500_000),
            (_, true) => self.rng.below(4_000_000),
        };
        let takes = Duration::from_micros(takes);
        Work { takes, end, heeds_cancel: self.rng.chance(0.7) }
    }
}

/// A user who calls this and that, gives up now and then, and sometimes asks again.
#[derive(Debug)]
pub(super) struct Caller {
    rng: Box<dyn Rng>,
    connections: usize,
    left: u64,
    kinds: Calls,
    at_once: usize,
    is_patient: bool,
    resting: bool,
}

impl Caller {
    pub(super) fn new(mut rng: Box<dyn Rng>, connections: usize, calls: u64, kinds: Calls) -> Self {
        let at_once = 1 + usize::try_from(rng.below(6)).unwrap_or(0);
        let is_patient = rng.chance(0.3);
        let kinds = kinds.of_one_caller(&mut *rng);
        Self { rng, connections, left: calls, kinds, at_once, is_patient, resting: false }
    }
}

impl Script for Caller {
    fn next(&mut self, now: Instant, outstanding: usize) -> Action {
        let over = now > Instant::START + super::CALLS_LAST;
        if self.left == 0 || over || outstanding >= self.at_once {
            return Action::Await;
        }
        if !self.resting && self.rng.chance(0.5) {
            self.resting = true;
            return Action::Idle(now + Duration::from_micros(1 + self.rng.below(400_000)));
        }
        self.resting = false;
        self.left -= 1;
        let (method, semantics) = self.kinds.pick(&mut *self.rng);
        let longest = if self.is_patient { 5_000_000 } else { 2_000_000 };
        let patience = Duration::from_micros(20_000 + self.rng.below(longest));
        let spec = CallSpec {
            method: MethodFingerprint(method),
            name: u32::try_from(method).unwrap_or(0),
            semantics,
            deadline: now + patience,
            depth: u8::from(self.rng.chance(0.2)),
            recorded: false,
        };
        let gives_up = self.rng.chance(0.15);
        let cancel_at = gives_up.then(|| now + Duration::from_micros(1 + self.rng.below(300_000)));
        let length = usize::try_from(self.rng.below(64)).unwrap_or(0);
        Action::Call(Planned {
            connection: usize::try_from(self.rng.below(self.connections as u64)).unwrap_or(0),
            spec,
            arguments: vec![3; length],
            cancel_at,
        })
    }

    fn ended(&mut self, now: Instant, _outcome: &Outcome) -> Option<Instant> {
        self.rng.chance(0.6).then(|| now + Duration::from_millis(800))
    }
}
