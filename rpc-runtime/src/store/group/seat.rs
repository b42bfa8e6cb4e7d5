//! Where a thread waits for its jobs, or to be told to lead.
//!
//! Does not know what a job is: it is told that one has ended, and counts.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Ended;
use crate::driver::Gate;
use crate::store::StoreError;

/// A place to wait at.
pub(crate) struct Seat {
    gate: Arc<dyn Gate>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    lead: bool,
    /// Jobs that have not ended.
    left: usize,
    /// How the last one ended whose end was kept here.
    ended: Option<Result<Ended, StoreError>>,
}

impl Seat {
    pub(crate) fn new(gate: Arc<dyn Gate>) -> Arc<Self> {
        Arc::new(Self { gate, told: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One job more will be told of.
    pub(crate) fn expect_one(&self) {
        self.lock().left += 1;
    }

    /// A job has ended.
    pub(crate) fn tell(&self) {
        self.tell_with(None);
    }

    /// A job has ended so.
    pub(crate) fn tell_how(&self, how: Result<Ended, StoreError>) {
        self.tell_with(Some(how));
    }

    fn tell_with(&self, how: Option<Result<Ended, StoreError>>) {
        let mut told = self.lock();
        told.left = told.left.checked_sub(1).expect("as many end as were expected");
        if how.is_some() {
            told.ended = how;
        }
        let was_last = told.left == 0;
        drop(told);
        if was_last {
            self.gate.open();
        }
    }

    /// How the job ended whose end was kept here.
    pub(crate) fn take_ended(&self) -> Option<Result<Ended, StoreError>> {
        self.lock().ended.take()
    }

    /// The lead is handed over to the thread that waits here.
    pub(super) fn tell_to_lead(&self) {
        self.lock().lead = true;
        self.gate.open();
    }

    /// Whether all jobs have ended, and whether its thread was told to lead; that once.
    pub(super) fn look(&self) -> (bool, bool) {
        let mut told = self.lock();
        (told.left == 0, std::mem::take(&mut told.lead))
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().left == 0
    }

    pub(super) fn wait(&self) {
        self.gate.wait(None);
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("left", &self.lock().left).finish_non_exhaustive()
    }
}
