//! The real world: sockets, the process's threads, the system's clock and entropy.
//!
//! Responsible for a [`World`] on real sockets, of which a process has one, and for the only real
//! clock of the project. Does not know the protocol: it carries datagrams. Whoever waits for one
//! blocks in the receive call itself where a single socket is concerned; several sockets of one
//! endpoint are waited for through mio.

use std::sync::{Arc, OnceLock};

use crate::address::Address;
use crate::driver::{Gate, Link, LinkError, World, fresh_incarnation};
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
    Arc::<Real>::clone(WORLD.get_or_init(|| Arc::new(Real { _only_here: () })))
}

/// The world of real sockets.
#[derive(Debug)]
struct Real {
    _only_here: (),
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

    fn incarnation(&self) -> Incarnation {
        fresh_incarnation(clock::calendar_tenths(), &mut random::SystemRng::new())
    }

    fn gate(&self) -> Arc<dyn Gate> {
        Arc::new(gate::ThreadGate::default())
    }

    /// # Panics
    ///
    /// If the system gives no thread, in the thread that asked for it.
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) {
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        drop(started.expect("the system gives the process one more thread"));
    }

    /// Opens UDP sockets at `place`: `host:port`, or several of them with commas in between.
    fn listen(&self, place: &str) -> Result<Arc<dyn Link>, LinkError> {
        transport::udp::listen(place)
    }

    fn dial(&self, place: &str) -> Result<(Arc<dyn Link>, Address), LinkError> {
        transport::udp::dial(place)
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
    fn a_later_process_has_a_higher_incarnation() {
        let (earlier, later) = (world().incarnation(), world().incarnation());
        assert!(earlier.0 >> 32 <= later.0 >> 32);
        assert!(earlier.is_some());
        assert_ne!(earlier, later);
    }

    #[test]
    fn a_spawned_thread_runs_in_the_real_world() {
        let gate = world().gate();
        let inside = Arc::clone(&gate);
        world().spawn("test", Box::new(move || inside.open()));
        gate.wait(None);
    }
}
