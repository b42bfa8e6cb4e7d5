//! Orphans, as users see them: what servers do about work whose client is gone, and how long a
//! restarted client waits until none of its own is left.
//!
//! A server chooses with [`Server::orphans`](crate::Server::orphans), a method overrules it with
//! `#[rpc(orphan = "gentle")]`, `#[rpc(expires = "30s")]` or `#[rpc(no_cancel)]`. Whatever the
//! strategy, a cancelled handler is asked to stop, not killed: it sees
//! [`cancelled`](crate::CallContext::cancelled), its nested calls fail and are cancelled themselves,
//! and what it holds is released when it returns.
//!
//! Extermination needs the client's help: its calls are in its journal before they are sent, and its
//! next life kills what is left ([`Channel::exterminate`](crate::Channel::exterminate)). Calls of
//! methods marked `orphan = "exterminate"` are recorded on any channel with a journal, and on one
//! without they are not made: nobody could ever kill what they leave. A server-wide
//! `Server::orphans(OrphanStrategy::Exterminate)` is not known to clients; those that do not record
//! their calls ([`Options::journal_all`](crate::Options::journal_all)) leave work that ends at its
//! deadline. Does not know the protocol's side of it.

use crate::protocol::limits::CLOCK_RATE_PPM;
use crate::time::Duration;

pub use crate::protocol::OrphanStrategy;

/// How long after its first contact with every server a restarted client must wait until no
/// cancellable orphan of its former lives is left, where servers give calls `quantum` and wait
/// `grace` for an answer.
///
/// `depth` is how far calls reach: 1 for a server that calls nobody, 2 for one that calls another.
/// An orphan at each step may live for a quantum and a grace period, by clocks whose rates differ;
/// only then are its nested calls known to have been cancelled too.
///
/// ```
/// use rpc_runtime::orphans;
/// use rpc_runtime::time::Duration;
///
/// let wait = orphans::wait_time(2, Duration::from_secs(10), Duration::from_secs(3));
/// assert_eq!(wait, Duration::from_millis(26_008));
/// ```
#[must_use]
pub fn wait_time(depth: u32, quantum: Duration, grace: Duration) -> Duration {
    let drift = quantum.saturating_mul(CLOCK_RATE_PPM * 2) / 1_000_000;
    quantum.saturating_add(drift).saturating_add(grace).saturating_mul(depth)
}

/// Waits out the orphans of this client's former lives, on servers with the default grace period:
/// see [`wait_time`].
///
/// Call it after each server has answered a first call: its HELLO was welcomed by then, and nothing
/// of a former life begins any more. Methods marked `no_cancel` and handlers that ignore their
/// cancellation are not covered; servers count them.
#[cfg(any(feature = "reactor", feature = "sim"))]
pub fn wait_out(depth: u32, quantum: Duration) {
    let grace = crate::protocol::Limits::default().grace;
    let Some(world) = here() else { return };
    let gate = world.gate();
    let until = world.now() + wait_time(depth, quantum, grace);
    while world.now() < until {
        gate.wait(Some(until));
    }
}

/// The world of the calling thread: the simulated one if there is one.
#[cfg(any(feature = "reactor", feature = "sim"))]
fn here() -> Option<std::sync::Arc<dyn crate::driver::World>> {
    #[cfg(feature = "sim")]
    if let Some(world) = crate::sim::current_world() {
        return Some(world);
    }
    #[cfg(feature = "reactor")]
    return Some(crate::reactor::world());
    #[cfg(not(feature = "reactor"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_with_the_depth_and_never_overflows() {
        let (quantum, grace) = (Duration::from_secs(10), Duration::from_secs(3));
        assert_eq!(wait_time(0, quantum, grace), Duration::ZERO);
        assert_eq!(wait_time(1, quantum, grace), Duration::from_millis(13_004));
        assert_eq!(wait_time(3, quantum, grace), Duration::from_millis(39_012));
        assert_eq!(wait_time(2, Duration::MAX, grace), Duration::MAX);
    }

    #[test]
    #[cfg(feature = "sim")]
    fn waiting_out_takes_as_long_in_virtual_time() {
        use crate::sim::{Ended, Simulation, now};
        use crate::time::Instant;

        let simulation = Simulation::new(1);
        simulation.with(|world| {
            let host = world.add_host("client");
            world.spawn(host, "main", true, || {
                let before = now();
                wait_out(2, Duration::from_secs(10));
                assert_eq!(now().since(before), Duration::from_millis(26_008));
            });
        });
        let end = Instant::START + Duration::from_secs(60);
        assert_eq!(simulation.run_until_finished(end), Ended::Reached);
    }
}
