//! The real world: sockets, the process's threads, the system's clock and entropy.
//!
//! Responsible for a [`World`] on real sockets, of which a process has one, and for the only real
//! clock of the project. Does not know the protocol: it carries datagrams, and finds where PDUs end in
//! a stream. Whoever waits blocks in the receive call itself where a single socket is concerned, and at a
//! word of the memory where that is shared with one peer; several sockets of one endpoint are waited for
//! through mio.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::address::Address;
use crate::driver::{Gate, Link, LinkError, NoThread, World};
use crate::ids::Incarnation;
use crate::random::Rng;
use crate::time::Instant;

pub mod clock;
pub mod faulty;
pub mod gate;
pub mod random;
pub mod transport;

pub use faulty::Faulty;

/// The process's real world. All endpoints and clients that are not simulated live in it.
#[must_use]
pub fn world() -> Arc<dyn World> {
    static WORLD: OnceLock<Arc<Real>> = OnceLock::new();
    Arc::<Real>::clone(WORLD.get_or_init(|| Arc::new(Real { last_life: AtomicU64::new(0) })))
}

/// The world of real sockets.
#[derive(Debug)]
struct Real {
    /// The last incarnation that was given.
    last_life: AtomicU64,
}

/// Bits of an incarnation below the microseconds.
const SALT_BITS: u32 = 15;

/// The incarnation of a process that began at this microsecond of the calendar: tenths of a second
/// count the lives, and the salt begins with the microseconds since the last tenth.
fn life_at(micros: u64, rng: &mut dyn Rng) -> Incarnation {
    let (tenths, rest) = (micros / 100_000, micros % 100_000);
    let count = u32::try_from(tenths + 1).unwrap_or(u32::MAX);
    let salt = (rest << SALT_BITS) | rng.below(1 << SALT_BITS);
    Incarnation::new(count, u32::try_from(salt).expect("100,000 take 17 bits"))
}

impl World for Real {
    fn now(&self) -> Instant {
        clock::now()
    }

    #[expect(clippy::disallowed_methods, reason = "the calendar, for records only")]
    fn unix_ms(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn rng(&self) -> Box<dyn Rng> {
        Box::new(random::SystemRng::new())
    }

    /// Within one process each is higher than the last. Of two processes the later one's is, as far
    /// as the calendar knows which that is: it must not be set back in between, nor differ between
    /// machines by more than lies between the two. Who cannot promise that counts its lives itself.
    fn incarnation(&self) -> Incarnation {
        let fresh = life_at(clock::calendar_micros(), &mut random::SystemRng::new()).0;
        let last = self.last_life.fetch_max(fresh, Ordering::Relaxed);
        if last < fresh {
            return Incarnation(fresh);
        }
        Incarnation(self.last_life.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn gate(&self) -> Arc<dyn Gate> {
        Arc::new(gate::ThreadGate::default())
    }

    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> Result<(), NoThread> {
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        started.map(drop).map_err(|error| NoThread(error.to_string()))
    }

    fn processors(&self) -> usize {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }

    fn yield_now(&self) {
        std::thread::yield_now();
    }

    /// Opens sockets at `place`: `host:port` for UDP, or with the transport in front as a URL has it.
    /// Several addresses of UDP or TCP stand with commas in between.
    fn listen(&self, place: &str) -> Result<Arc<dyn Link>, LinkError> {
        transport::listen(place)
    }

    fn dial(&self, place: &str) -> Result<(Arc<dyn Link>, Address), LinkError> {
        transport::dial(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_real_world() {
        assert!(Arc::ptr_eq(&world(), &world()));
    }

    #[test]
    fn every_later_life_in_a_process_has_a_higher_incarnation() {
        let draw = || (0..1_000).map(|_| world().incarnation()).collect::<Vec<_>>();
        let is_rising = |lives: &[Incarnation]| lives.windows(2).all(|pair| pair[0] < pair[1]);
        let (ours, theirs) = std::thread::scope(|threads| {
            let theirs = threads.spawn(draw);
            (draw(), theirs.join().unwrap())
        });
        assert!(ours[0].is_some());
        assert!(is_rising(&ours) && is_rising(&theirs));
        let mut all = [ours, theirs].concat();
        all.sort_unstable();
        assert!(is_rising(&all), "two lives have one incarnation");
    }

    #[test]
    fn of_two_processes_the_one_that_began_a_microsecond_later_has_the_higher_incarnation() {
        let mut rng = random::SystemRng::new();
        for micros in [0, 1, 99_998, 99_999, 100_000, 25_000_000_099_999] {
            assert!(life_at(micros, &mut rng) < life_at(micros + 1, &mut rng), "{micros}");
        }
    }

    #[test]
    fn a_spawned_thread_runs_in_the_real_world() {
        let gate = world().gate();
        let inside = Arc::clone(&gate);
        world().spawn("test", Box::new(move || inside.open())).unwrap();
        gate.wait(None);
    }
}
