//! When a server is left alone: one that keeps failing is asked no more for a while, and then by one
//! call, the probe, which decides for all.
//!
//! ```text
//!   closed ── enough failures, for long enough, without any success ──► open, for a growing time
//!     ▲                                                                   │
//!     └── any success ── probing ◄──────── the first call after it ───────┘
//! ```
//!
//! Only calls that were not handed over are kept back, so no verdict changes. Knows no clock: the
//! time is an argument; draws its jitter from the generator it is given. Does not know what is done
//! with the calls that it keeps back. The pattern is Circuit Breaker (Nygard, Release It!, 2007).

use super::verdict::Finished;
use crate::protocol::{DoubtCause, NotSentCause, Outcome};
use crate::random::Rng;
use crate::time::{Duration, Instant};
use crate::wire::{RefuseReason, RejectReason};

/// Failures in a row before a server is left alone.
const FAILURES_MIN: u32 = 5;
/// For how long a server must have failed that does not answer: longer than most restarts take.
const SILENT_FOR_MIN: Duration = Duration::from_secs(1);
/// For how long one must have failed that answers, if only with refusals: it asks for the time it
/// needs itself, and a call of its own may take that long.
const REFUSING_FOR_MIN: Duration = Duration::from_secs(5);
/// How long a server is left alone the first time; doubled for each probe that fails.
const REST_FIRST: Duration = Duration::from_millis(500);
/// The longest time that a server is left alone, without jitter.
const REST_MAX: Duration = Duration::from_secs(10);
/// How much longer than that by chance, so that clients do not come back together.
const JITTER_PERCENT_MAX: u32 = 50;

/// What the end of a call says of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// It serves.
    Alive,
    /// It does not answer.
    Silent,
    /// It answers that it has no room.
    Full,
    /// Nothing.
    Neutral,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// As any other.
    Yes,
    /// As the one that decides.
    Probe,
    /// Not before then; `None` is until the probe under way has ended.
    No(Option<Instant>),
}

/// One server's breaker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Breaker {
    state: State,
    /// Failures since the last success, and those of them without an answer.
    failures: u32,
    silent: u32,
    /// When the first of them was.
    since: Instant,
    /// How often the server was left alone since.
    rests: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    Probing,
}

impl Breaker {
    /// That of a server of which nothing is known.
    pub(super) const fn new() -> Self {
        let since = Instant::START;
        Self { state: State::Closed, failures: 0, silent: 0, since, rests: 0 }
    }

    /// Whether the server would be left alone now.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => false,
            State::Open { until } => now < until,
            State::Probing => true,
        }
    }

    /// Whether a call may be made. Whoever is told to make the probe must tell its end; a call that
    /// learns nothing of the server cannot be one.
    pub(super) fn admit(&mut self, now: Instant, can_probe: bool) -> Admission {
        match self.state {
            State::Closed => Admission::Yes,
            State::Open { until } if now < until => Admission::No(Some(until)),
            State::Open { .. } if can_probe => {
                self.state = State::Probing;
                Admission::Probe
            }
            State::Open { .. } => Admission::Yes,
            State::Probing => Admission::No(None),
        }
    }

    /// A call has ended.
    pub(super) fn ended(&mut self, now: Instant, sign: Sign, is_probe: bool, rng: &mut dyn Rng) {
        match (sign, self.state) {
            (Sign::Alive, _) => *self = Self::new(),
            (Sign::Silent | Sign::Full, State::Closed) => {
                self.count(now, sign);
                if self.is_enough(now) {
                    self.open(now, rng);
                }
            }
            (Sign::Silent | Sign::Full, State::Probing) if is_probe => self.open(now, rng),
            // It told nothing: the next call is the probe.
            (Sign::Neutral, State::Probing) if is_probe => self.state = State::Open { until: now },
            // Calls from before say nothing new.
            (Sign::Silent | Sign::Full, State::Open { .. } | State::Probing)
            | (Sign::Neutral, State::Closed | State::Open { .. } | State::Probing) => {}
        }
    }

    fn count(&mut self, now: Instant, sign: Sign) {
        if self.failures == 0 {
            self.since = now;
        }
        self.failures = self.failures.saturating_add(1);
        self.silent = self.silent.saturating_add(u32::from(sign == Sign::Silent));
    }

    fn is_enough(&self, now: Instant) -> bool {
        let is_silent = self.silent >= FAILURES_MIN;
        let least = if is_silent { SILENT_FOR_MIN } else { REFUSING_FOR_MIN };
        self.failures >= FAILURES_MIN && now.since(self.since) >= least
    }

    fn open(&mut self, now: Instant, rng: &mut dyn Rng) {
        let doubled = REST_FIRST.saturating_mul(1_u32.checked_shl(self.rests).unwrap_or(u32::MAX));
        let least = doubled.min(REST_MAX);
        let rest = rng.between(least, least + least * JITTER_PERCENT_MAX / 100);
        self.rests = self.rests.saturating_add(1);
        self.state = State::Open { until: now + rest };
    }
}

impl Sign {
    /// What the end of a call says.
    pub(super) const fn of(finished: &Finished) -> Self {
        match finished.outcome {
            Outcome::Returned(_) | Outcome::Failed { .. } | Outcome::Sealed => Self::Alive,
            Outcome::Refused { reason, .. } => match reason {
                RefuseReason::Overload => Self::Full,
                RefuseReason::Draining | RefuseReason::Expired => Self::Neutral,
                RefuseReason::UnknownMethod
                | RefuseReason::ChangedMethod
                | RefuseReason::BadArguments
                | RefuseReason::TooLarge
                | RefuseReason::Unauthorised
                | RefuseReason::Generation
                | RefuseReason::IdentityInUse => Self::Alive,
            },
            Outcome::Rejected { reason, .. } => match reason {
                RejectReason::NoRoom => Self::Full,
                RejectReason::StaleBinding
                | RejectReason::OldIncarnation
                | RejectReason::Version
                | RejectReason::Draining => Self::Neutral,
            },
            Outcome::NotSent(NotSentCause::Unreachable) => Self::Silent,
            // One that was heard at work is slow, not dead.
            Outcome::InDoubt(DoubtCause::NoReply) if finished.evidence.is_silence() => Self::Silent,
            Outcome::InDoubt(DoubtCause::RefusedAfterDoubt) => Self::Full,
            Outcome::InDoubt(
                DoubtCause::NoReply
                | DoubtCause::ServerRestarted
                | DoubtCause::ServerDied
                | DoubtCause::SessionLost
                | DoubtCause::Closed
                | DoubtCause::Cancelled
                | DoubtCause::GenerationEnded
                | DoubtCause::JournalFailed,
            )
            | Outcome::NotSent(
                NotSentCause::NoFreeSlot
                | NotSentCause::QueueFull
                | NotSentCause::Cancelled
                | NotSentCause::TooLarge
                | NotSentCause::Draining
                | NotSentCause::Expired
                | NotSentCause::ConnectionClosed
                | NotSentCause::Unsupported
                | NotSentCause::JournalFailed,
            )
            | Outcome::Sent => Self::Neutral,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws the least it may, or the most.
    #[derive(Debug)]
    struct Fixed(u64);

    impl Rng for Fixed {
        fn next_u64(&mut self) -> u64 {
            self.0
        }
    }

    const fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    fn end(breaker: &mut Breaker, millis: u64, sign: Sign) {
        breaker.ended(at(millis), sign, false, &mut Fixed(0));
    }

    fn probe_ends(breaker: &mut Breaker, millis: u64, sign: Sign) {
        breaker.ended(at(millis), sign, true, &mut Fixed(0));
    }

    /// One that opened after five silent failures, the last of them at 1,000 ms: until 1,500.
    fn open() -> Breaker {
        let mut breaker = Breaker::new();
        for millis in [0, 250, 500, 750, 1_000] {
            assert_eq!(breaker.admit(at(millis), true), Admission::Yes);
            end(&mut breaker, millis, Sign::Silent);
        }
        breaker
    }

    #[test]
    fn five_failures_in_a_second_open_it_and_nothing_less_does() {
        assert_eq!(open().admit(at(1_000), true), Admission::No(Some(at(1_500))));
        let mut hasty = Breaker::new();
        for _ in 0..1_000 {
            end(&mut hasty, 0, Sign::Silent);
            end(&mut hasty, 999, Sign::Silent);
        }
        assert_eq!(hasty.admit(at(999), true), Admission::Yes, "a restart takes that long");
        let mut seldom = Breaker::new();
        for minute in 0..4 {
            end(&mut seldom, minute * 60_000, Sign::Silent);
        }
        assert_eq!(seldom.admit(at(240_000), true), Admission::Yes, "four are not five");
    }

    #[test]
    fn any_success_begins_the_count_anew() {
        let mut breaker = Breaker::new();
        for round in 0..100 {
            for millis in [0, 400, 800, 1_200] {
                end(&mut breaker, round * 2_000 + millis, Sign::Silent);
            }
            end(&mut breaker, round * 2_000 + 1_300, Sign::Alive);
            assert_eq!(breaker.admit(at(round * 2_000 + 1_300), true), Admission::Yes);
        }
    }

    #[test]
    fn what_says_nothing_of_the_server_counts_for_nothing() {
        let mut breaker = Breaker::new();
        for millis in 0..10_000 {
            end(&mut breaker, millis, Sign::Neutral);
        }
        assert_eq!(breaker.admit(at(10_000), true), Admission::Yes);
    }

    #[test]
    fn a_server_that_answers_with_refusals_is_given_more_time() {
        let mut breaker = Breaker::new();
        for millis in (0..5_000).step_by(100) {
            end(&mut breaker, millis, Sign::Full);
            assert_eq!(breaker.admit(at(millis), true), Admission::Yes, "at {millis} ms");
        }
        end(&mut breaker, 5_000, Sign::Full);
        assert_eq!(breaker.admit(at(5_000), true), Admission::No(Some(at(5_500))));
    }

    #[test]
    fn when_it_has_rested_one_call_asks_and_the_others_wait_for_its_end() {
        let mut breaker = open();
        assert!(breaker.is_open(at(1_499)));
        assert!(!breaker.is_open(at(1_500)));
        assert_eq!(breaker.admit(at(1_500), true), Admission::Probe);
        assert!(breaker.is_open(at(1_500)));
        assert_eq!(breaker.admit(at(1_501), true), Admission::No(None));
        end(&mut breaker, 1_502, Sign::Silent);
        assert_eq!(breaker.admit(at(1_503), true), Admission::No(None), "a call from before");
        probe_ends(&mut breaker, 1_600, Sign::Alive);
        assert_eq!(breaker.admit(at(1_600), true), Admission::Yes);
        end(&mut breaker, 1_700, Sign::Silent);
        assert_eq!(breaker.admit(at(9_000), true), Admission::Yes, "all is forgotten");
    }

    #[test]
    fn a_call_that_learns_nothing_is_no_probe() {
        let mut breaker = open();
        assert_eq!(breaker.admit(at(1_400), false), Admission::No(Some(at(1_500))));
        assert_eq!(breaker.admit(at(1_600), false), Admission::Yes);
        assert_eq!(breaker.admit(at(1_600), true), Admission::Probe);
        probe_ends(&mut breaker, 1_700, Sign::Neutral);
        assert_eq!(breaker.admit(at(1_700), true), Admission::Probe, "the next one asks");
    }

    #[test]
    fn each_probe_that_fails_doubles_the_rest_up_to_a_bound() {
        let mut breaker = open();
        let mut rests = Vec::new();
        let mut now = 1_500;
        for _ in 0..40 {
            assert_eq!(breaker.admit(at(now), true), Admission::Probe);
            probe_ends(&mut breaker, now, Sign::Full);
            let Admission::No(Some(until)) = breaker.admit(at(now), true) else {
                panic!("it is left alone again")
            };
            let rest = u64::try_from(until.since(at(now)).as_millis()).unwrap();
            rests.push(rest);
            now += rest;
        }
        assert_eq!(rests[..6], [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        assert_eq!(rests[39], 10_000);
    }

    #[test]
    fn no_two_clients_come_back_together() {
        let rest = |drawn| {
            let mut breaker = open();
            assert_eq!(breaker.admit(at(1_500), true), Admission::Probe);
            breaker.ended(at(1_500), Sign::Silent, true, &mut Fixed(drawn));
            let Admission::No(Some(until)) = breaker.admit(at(1_500), true) else {
                panic!("it is left alone again")
            };
            until.since(at(1_500))
        };
        assert_eq!(rest(0), Duration::from_secs(1));
        assert!(rest(u64::MAX) > Duration::from_millis(1_490), "{:?}", rest(u64::MAX));
        assert!(rest(u64::MAX) <= Duration::from_millis(1_500), "{:?}", rest(u64::MAX));
    }

    #[test]
    fn failures_from_before_do_not_prolong_the_rest() {
        let mut breaker = open();
        for millis in 1_000..1_500 {
            end(&mut breaker, millis, Sign::Silent);
        }
        assert_eq!(breaker.admit(at(1_500), true), Admission::Probe);
        let mut breaker = open();
        end(&mut breaker, 1_100, Sign::Alive);
        assert_eq!(breaker.admit(at(1_100), true), Admission::Yes, "any success closes it");
    }
}
