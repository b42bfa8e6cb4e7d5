//! Futures in the simulated world: a thread that waits for one as it waits for a call.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::current_host;
use crate::driver::{Gate, World};

/// Waits for a future in virtual time: what `block_on` of an async runtime is in real time.
///
/// # Panics
///
/// When called from outside of a simulated world.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let gate = current_host("sim::block_on").gate();
    let waker = Waker::from(Arc::new(Opens(Arc::clone(&gate))));
    let mut task = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut task) {
            return output;
        }
        gate.wait(None);
    }
}

/// Wakes a future by opening the gate that its thread waits at.
struct Opens(Arc<dyn Gate>);

impl Wake for Opens {
    fn wake(self: Arc<Self>) {
        self.0.open();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.open();
    }
}
