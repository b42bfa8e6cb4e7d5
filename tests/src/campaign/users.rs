//! Who calls and who answers in a campaign: scripts drawn from the seed.

use rpc_runtime::ids::CallId;
use rpc_runtime::ids::MethodFingerprint;
use rpc_runtime::protocol::limits::REPLY_BYTES_MAX;
use rpc_runtime::protocol::{CallSpec, Execute, HandlerEnd, Outcome};
use rpc_runtime::random::Rng;
use rpc_runtime::sim::nodes::{Action, Behaviour, Planned, Script, Work};
use rpc_runtime::time::{Duration, Instant};

use super::knobs::Calls;
use super::servers::Day;
use super::{content, journals};

/// Handlers of every temper: quick and slow, obedient and not, failing in every way.
#[derive(Debug)]
pub(super) struct Handlers {
    rng: Box<dyn Rng>,
    executions: u64,
    /// Their work takes long, as a rule, so that callers are asked, give up or die meanwhile.
    are_slow: bool,
    day: Day,
}

impl Handlers {
    pub(super) fn new(mut rng: Box<dyn Rng>, day: Day) -> Self {
        let are_slow = rng.chance(0.3);
        Self { rng, executions: 0, are_slow, day }
    }
}

impl Behaviour for Handlers {
    fn execute(&mut self, now: Instant, execute: &Execute, reply: &mut Vec<u8>) -> Work {
        self.day.delivered.request(now, &execute.arguments, &self.day.journal);
        // No two executions reply alike, so that a reply of another one is noticed.
        self.executions += 1;
        let execution = [self.executions, self.rng.next_u64()];
        let (end, length) = match self.rng.below(100) {
            0..=4 => (HandlerEnd::Panicked, 0),
            5..=7 => (HandlerEnd::HandlerFailed, 0),
            8..=9 => (HandlerEnd::BadArguments, 0),
            10..=11 => (HandlerEnd::Returned, REPLY_BYTES_MAX),
            12..=19 => (HandlerEnd::Returned, 700),
            20 => (HandlerEnd::Returned, 20_000),
            _ => (HandlerEnd::Returned, 0),
        };
        content::reply(&execute.arguments, execution, length, reply);
        let takes = self.day.weather.takes(&mut *self.rng, self.are_slow);
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
    longest: u64,
    day: Day,
    at_once: usize,
    is_patient: bool,
    resting: bool,
}

impl Caller {
    pub(super) fn new(mut rng: Box<dyn Rng>, connections: usize, calls: u64, day: &Day) -> Self {
        let kinds = day.weather.kinds(day.kinds, &mut *rng);
        let at_once = 1 + usize::try_from(rng.below(6)).unwrap_or(0);
        let is_patient = rng.chance(0.3);
        let longest = kinds.longest(&mut *rng, day.transport);
        let (left, resting, day) = (calls, false, day.clone());
        Self { rng, connections, left, kinds, longest, day, at_once, is_patient, resting }
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
            ack: None,
            opens_within: None,
            extension_bytes: 0,
        };
        let spec = journals::ask(spec, self.left);
        let gives_up = self.rng.chance(0.15);
        let cancel_at = gives_up.then(|| now + Duration::from_micros(1 + self.rng.below(300_000)));
        let longest = if self.rng.chance(0.5) { self.longest } else { 64 };
        let length = usize::try_from(self.rng.below(longest)).unwrap_or(0);
        Action::Call(Planned {
            connection: usize::try_from(self.rng.below(self.connections as u64)).unwrap_or(0),
            spec,
            arguments: vec![0; length],
            cancel_at,
        })
    }

    fn numbered(&mut self, call: u64, arguments: &mut Vec<u8>) {
        let length = arguments.len();
        arguments.clear();
        content::arguments(call, length, arguments);
    }

    fn told(&mut self, now: Instant, call: u64, _id: CallId, outcome: &Outcome) {
        if let Outcome::Returned(reply) = outcome {
            self.day.delivered.reply(now, call, reply, &self.day.journal);
        }
    }

    fn ended(&mut self, now: Instant, _outcome: &Outcome) -> Option<Instant> {
        self.rng.chance(0.6).then(|| now + Duration::from_millis(800))
    }
}
