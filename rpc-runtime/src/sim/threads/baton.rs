//! The baton: who holds it runs. One flag a thread, and the system's parking lot.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

/// Where one thread waits for its turn.
#[derive(Debug, Default)]
pub(super) struct Baton {
    is_here: AtomicBool,
    holder: OnceLock<Thread>,
}

impl Baton {
    /// The calling thread's.
    pub(super) fn mine() -> Self {
        Self { is_here: AtomicBool::new(false), holder: std::thread::current().into() }
    }

    pub(super) fn belongs_to(&self, thread: Thread) {
        // Set once, by whoever made the thread, before anybody gives it the baton.
        let _ = self.holder.set(thread);
    }

    /// Gives the baton to this thread.
    pub(super) fn give(&self) {
        self.is_here.store(true, Ordering::Release);
        self.holder.get().expect("a baton is given to a known thread").unpark();
    }

    /// Waits for the baton. Only its own thread calls this.
    pub(super) fn take(&self) {
        while !self.is_here.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
    }

    /// Waits for the baton for about this long, in real time; says whether it came.
    pub(super) fn take_within(&self, patience: Duration) -> bool {
        if self.is_here.swap(false, Ordering::Acquire) {
            return true;
        }
        std::thread::park_timeout(patience);
        self.is_here.swap(false, Ordering::Acquire)
    }
}
