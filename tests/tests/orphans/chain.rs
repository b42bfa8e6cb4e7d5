//! A link of a chain: works itself, or has the next one work, until somebody calls it off.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rpc_runtime::time::Duration;
use rpc_runtime::{CallError, ErrorKind, Execution, current, service};

#[service]
pub(crate) trait Chain {
    /// Works until nobody wants it.
    #[rpc(timeout = "10m")]
    fn work(&self) -> Result<(), CallError>;
    /// Works so long, unless it is called off.
    #[rpc(timeout = "10m")]
    fn work_for(&self, ms: u64) -> Result<u64, CallError>;
    /// Works so long, whoever goes away.
    #[rpc(timeout = "10m", no_cancel)]
    fn print(&self, ms: u64) -> Result<u64, CallError>;
    /// Works until nobody wants it, asked every tenth of a second.
    #[rpc(timeout = "10m", expires = "100ms", orphan = "expire")]
    fn brief(&self) -> Result<(), CallError>;
    /// How many handlers are at work, if their lock is free.
    #[rpc(at_least_once, timeout = "2s")]
    fn at_work(&self) -> Result<Option<u64>, CallError>;
}

/// What a link's handlers leave behind.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) begun: AtomicU64,
    pub(crate) left: AtomicU64,
    /// Handlers that saw their call cancelled.
    pub(crate) cancelled: AtomicU64,
    /// Callbacks of cancelled calls.
    pub(crate) called: AtomicU64,
    /// Nested calls made after the cancellation, which all failed at once.
    pub(crate) refused: AtomicU64,
    pub(crate) printed: AtomicU64,
}

impl Desk {
    pub(crate) fn at_work(&self) -> u64 {
        self.begun.load(Ordering::SeqCst) - self.left.load(Ordering::SeqCst)
    }
}

/// A handler at work; whatever becomes of it, its seat is free afterwards.
struct Seat<'d>(&'d Desk, fn(&str));

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, Ordering::SeqCst);
        (self.1)("left");
    }
}

/// One link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) next: Option<String>,
    pub(crate) desk: Arc<Desk>,
    /// What handlers hold while they work.
    pub(crate) lock: Mutex<()>,
    /// How this world sleeps.
    pub(crate) pause: fn(Duration),
    /// Told what happens.
    pub(crate) tell: fn(&str),
}

impl Link {
    pub(crate) fn new(next: Option<&str>, desk: &Arc<Desk>, pause: fn(Duration)) -> Self {
        let (next, desk) = (next.map(str::to_owned), Arc::clone(desk));
        Self { next, desk, lock: Mutex::new(()), pause, tell: |_| {} }
    }

    fn sit(&self) -> Seat<'_> {
        self.desk.begun.fetch_add(1, Ordering::SeqCst);
        (self.tell)("begun");
        let desk = Arc::clone(&self.desk);
        current().expect("inside a handler").on_cancel(move || {
            desk.called.fetch_add(1, Ordering::SeqCst);
        });
        Seat(&self.desk, self.tell)
    }

    /// Works for as long as somebody wants it, but no longer than `most`.
    fn toil(&self, most: Duration) -> Result<(), CallError> {
        let context = current().expect("inside a handler");
        let step = Duration::from_millis(5);
        let mut worked = Duration::ZERO;
        while worked < most {
            if context.cancelled() {
                self.desk.cancelled.fetch_add(1, Ordering::SeqCst);
                return Err(CallError::failed("called off"));
            }
            (self.pause)(step);
            worked += step;
        }
        Ok(())
    }

    /// Has the next link work.
    fn delegate(&self, next: &str) -> Result<(), CallError> {
        let next = ChainClient::connect(next)?;
        let worked = next.work();
        if current().is_some_and(|context| context.cancelled()) {
            self.desk.cancelled.fetch_add(1, Ordering::SeqCst);
            let again = next.work().expect_err("a cancelled handler calls nobody");
            assert_eq!(again.kind(), ErrorKind::Cancelled);
            assert_eq!(again.execution(), Execution::NotExecuted);
            self.desk.refused.fetch_add(1, Ordering::SeqCst);
        }
        worked
    }
}

impl Chain for Link {
    fn work(&self) -> Result<(), CallError> {
        let _seat = self.sit();
        let _lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.next {
            Some(next) => self.delegate(next),
            None => self.toil(Duration::MAX),
        }
    }

    fn work_for(&self, ms: u64) -> Result<u64, CallError> {
        let _seat = self.sit();
        self.toil(Duration::from_millis(ms))?;
        Ok(ms)
    }

    fn print(&self, ms: u64) -> Result<u64, CallError> {
        let _seat = self.sit();
        self.toil(Duration::from_millis(ms))?;
        self.desk.printed.fetch_add(1, Ordering::SeqCst);
        Ok(ms)
    }

    fn brief(&self) -> Result<(), CallError> {
        let _seat = self.sit();
        self.toil(Duration::MAX)
    }

    fn at_work(&self) -> Result<Option<u64>, CallError> {
        Ok(self.lock.try_lock().ok().map(|_free| self.desk.at_work()))
    }
}
