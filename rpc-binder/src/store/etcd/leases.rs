//! Until when etcd surely does not end a registration, and the threads that have it prolong leases.
//!
//! A renewal is answered from this table. It has the lease prolonged at etcd when a third of it is over,
//! once however many renewals come, and is refused when less than half is left: so what a server was
//! promised is true whatever becomes of etcd. Does not know what is registered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

use rpc_runtime::binder::RegistrationId;
use rpc_runtime::driver::World;
use rpc_runtime::time::{Duration, Instant};

use super::super::shared::Leases;
use super::gateway::{Gateway, Trouble};
use super::message::{
    Done, GrantAnswer, GrantRequest, KeepAliveAnswer, LeaseRequest, Number, Streamed,
};
use super::rows::lease_of;
use crate::registry::follow::promised;

/// Threads that ask etcd to prolong leases.
pub(super) const KEEPERS: usize = 8;
/// Leases that may wait for one of them.
const QUEUE_MAX: usize = 65_536;
/// How long etcd may take to prolong one.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many leases are known without a thought of those that are over.
const TIDY_MIN: usize = 1_024;
/// How often a lease is begun that goes again at once.
const GRANTS_MAX: usize = 3;

/// gRPC's code for a lease that is there already.
const EXISTS: i64 = 9;

/// How long registrations live.
#[derive(Debug)]
pub(super) struct Table {
    world: Arc<dyn World>,
    gateway: Arc<Gateway>,
    /// How long a lease lasts after it was prolonged.
    duration: Duration,
    book: Mutex<Book>,
    wanted: Condvar,
}

#[derive(Debug, Default)]
struct Book {
    known: BTreeMap<RegistrationId, Known>,
    queue: VecDeque<RegistrationId>,
    is_ended: bool,
    /// How many are known when it is looked next for those that need not be.
    tidy_at: usize,
}

impl Book {
    /// Forgets leases that are over, from time to time: those of registrations that never began, or that
    /// another binder is asked to renew.
    fn tidy(&mut self, now: Instant) {
        if self.known.len() >= self.tidy_at.max(TIDY_MIN) {
            self.known.retain(|_, known| known.is_queued || known.end.is_some_and(|end| end > now));
            self.tidy_at = self.known.len() * 2;
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// Until when it surely lives.
    end: Option<Instant>,
    /// For how long etcd prolonged it: less than was asked for, if another binder has begun it for less.
    length: Duration,
    is_queued: bool,
    /// Why it was not prolonged, the last time that was tried.
    trouble: Option<String>,
}

impl Known {
    /// Whether it is time to prolong it.
    fn is_due(&self, now: Instant) -> bool {
        self.end.is_none_or(|end| now.until(end) <= self.length * 2 / 3)
    }
}

impl Table {
    pub(super) fn new(world: Arc<dyn World>, gateway: Arc<Gateway>, duration: Duration) -> Self {
        Self { world, gateway, duration, book: Mutex::default(), wanted: Condvar::new() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A registration has ended.
    pub(super) fn forget(&self, id: RegistrationId) {
        self.book().known.remove(&id);
    }

    /// Sees to it that there are leases for these, most of which are not over. Blocks.
    pub(super) fn ensure(&self, ids: &[RegistrationId], deadline: Instant) -> Result<(), Trouble> {
        let now = self.world.now();
        let is_fresh = |id: &RegistrationId| {
            let book = self.book();
            book.known.get(id).is_some_and(|known| !known.is_due(now))
        };
        let wanted: Vec<_> = ids.iter().copied().filter(|id| !is_fresh(id)).collect();
        let share = wanted.len().div_ceil(KEEPERS).max(1);
        std::thread::scope(|threads| {
            let all =
                |ids: &[RegistrationId]| ids.iter().try_for_each(|id| self.grant(*id, deadline));
            let mut shares = wanted.chunks(share);
            let own = shares.next().unwrap_or_default();
            let spawn = |ids| {
                let thread = Builder::new().name("rpc-etcd-grant".into());
                thread.spawn_scoped(threads, move || all(ids)).map_err(|_no_thread| ids)
            };
            let others: Vec<_> = shares.map(spawn).collect();
            let own = all(own);
            let failed = || Trouble::Away { text: "a thread failed".into(), is_doubtful: false };
            others.into_iter().fold(own, |so_far, other| {
                so_far.and(match other {
                    Ok(other) => other.join().unwrap_or_else(|_| Err(failed())),
                    Err(ids) => all(ids),
                })
            })
        })
    }

    /// Has etcd begin a lease, or prolong the one that is there.
    fn grant(&self, id: RegistrationId, deadline: Instant) -> Result<(), Trouble> {
        let ttl = Number(i64::try_from(self.duration.as_secs()).unwrap_or(i64::MAX));
        let lease = lease_of(id);
        let question = GrantRequest { ttl, id: lease };
        for _ in 0..GRANTS_MAX {
            let asked = self.world.now();
            match self.gateway.ask::<GrantAnswer>("/v3/lease/grant", &question, deadline) {
                Ok(granted) => {
                    self.prolonged(id, asked, granted.ttl);
                    return Ok(());
                }
                Err(Trouble::Refused { code: EXISTS, .. }) => {
                    if self.keep_alive(id, deadline)? {
                        return Ok(());
                    }
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Err(Trouble::Away { text: "its leases end at once".into(), is_doubtful: false })
    }

    /// Has etcd prolong a lease. Says whether there is one.
    fn keep_alive(&self, id: RegistrationId, deadline: Instant) -> Result<bool, Trouble> {
        let asked = self.world.now();
        let question = LeaseRequest { id: lease_of(id) };
        let answer: Streamed<KeepAliveAnswer> =
            self.gateway.ask("/v3/lease/keepalive", &question, deadline)?;
        let is_there = answer.result.ttl.0 > 0;
        if is_there {
            self.prolonged(id, asked, answer.result.ttl);
        }
        Ok(is_there)
    }

    /// Etcd was asked at `asked`, and did it, for `ttl` seconds.
    fn prolonged(&self, id: RegistrationId, asked: Instant, ttl: Number) {
        let ttl = Duration::from_secs(u64::try_from(ttl.0).unwrap_or_default());
        let mut book = self.book();
        book.tidy(self.world.now());
        let known = book.known.entry(id).or_default();
        known.length = self.duration.min(ttl);
        known.end = known.end.max(Some(asked + known.length));
        known.trouble = None;
    }

    /// The lease that a registration needs is not there after all.
    pub(super) fn is_away(&self, id: RegistrationId) {
        if let Some(known) = self.book().known.get_mut(&id) {
            known.end = None;
        }
    }

    /// The body of a thread that has leases prolonged.
    pub(super) fn run(&self) {
        while let Some(id) = self.next() {
            let kept = self.keep_alive(id, self.world.now() + PATIENCE);
            let mut book = self.book();
            let Some(known) = book.known.get_mut(&id) else { continue };
            known.is_queued = false;
            known.trouble = match kept {
                Ok(true) => None,
                Ok(false) => {
                    known.end = None;
                    Some("its lease is over".into())
                }
                Err(trouble) => Some(trouble.into_error().to_string()),
            };
        }
    }

    fn next(&self) -> Option<RegistrationId> {
        let mut book = self.book();
        loop {
            if book.is_ended {
                return None;
            }
            if let Some(id) = book.queue.pop_front() {
                return Some(id);
            }
            book = self.wanted.wait(book).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the threads.
    pub(super) fn end(&self) {
        self.book().is_ended = true;
        self.wanted.notify_all();
    }

    /// Ends a lease that is not needed.
    pub(super) fn revoke(gateway: &Gateway, id: Number, deadline: Instant) -> Result<(), Trouble> {
        gateway.ask::<Done>("/v3/lease/revoke", &LeaseRequest { id }, deadline).map(|_| ())
    }
}

impl Leases for Table {
    fn duration(&self) -> Duration {
        self.duration
    }

    fn vouch(&self, now: Instant, id: RegistrationId) -> Result<Instant, String> {
        let mut book = self.book();
        let has_room = book.queue.len() < QUEUE_MAX;
        let known = book.known.entry(id).or_default();
        let end = known.end.filter(|end| *end > now);
        let is_wanted = !known.is_queued && known.is_due(now);
        let length = known.length;
        known.is_queued |= is_wanted && has_room;
        let trouble = known.trouble.clone();
        if is_wanted && has_room {
            book.queue.push_back(id);
            drop(book);
            self.wanted.notify_one();
        }
        match end {
            Some(end) if now.until(end) >= promised(length) => Ok(end),
            Some(_) | None => Err(trouble.unwrap_or_else(|| {
                "the store is being asked to prolong its lease: try again".to_owned()
            })),
        }
    }

    fn end_of(&self, id: RegistrationId) -> Option<Instant> {
        self.book().known.get(&id).and_then(|known| known.end)
    }
}

#[cfg(test)]
mod tests;
