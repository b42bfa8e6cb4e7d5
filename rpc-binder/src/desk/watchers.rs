//! Who waits for changes, under which names.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rpc_runtime::address::Host;
use rpc_runtime::binder::{BinderError, Limit, Revision};
use rpc_runtime::time::Instant;

use super::shares::{Shares, asking_host};
use super::{Shared, ended};

/// Those that may wait at a time.
const WATCHERS_MAX: usize = 32_768;

/// All that wait. Each is called once, and waits anew if it still wants to.
#[derive(Debug)]
pub(super) struct Watchers {
    by_name: BTreeMap<String, BTreeMap<u64, Waker>>,
    ends: BTreeSet<(Instant, u64)>,
    names: BTreeMap<u64, String>,
    last: u64,
    shares: Shares,
}

impl Default for Watchers {
    fn default() -> Self {
        Self {
            by_name: BTreeMap::new(),
            ends: BTreeSet::new(),
            names: BTreeMap::new(),
            last: 0,
            shares: Shares::new(WATCHERS_MAX, Limit::Watchers, Limit::WatchersOfHost),
        }
    }
}

impl Watchers {
    /// Takes out those that wait for changes under `name`.
    pub(super) fn of(&mut self, name: &str) -> Vec<Waker> {
        let waiting = self.by_name.get_mut(name).map(std::mem::take).unwrap_or_default();
        waiting.into_values().collect()
    }

    /// Takes out all.
    pub(super) fn all(&mut self) -> Vec<Waker> {
        let waiting = std::mem::take(&mut self.by_name);
        waiting.into_values().flat_map(BTreeMap::into_values).collect()
    }

    /// Takes out those that have waited long enough.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(&(end, number)) = self.ends.first()
            && end <= now
        {
            self.ends.pop_first();
            let waiting = self.names.get(&number).and_then(|name| self.by_name.get_mut(name));
            due.extend(waiting.and_then(|waiting| waiting.remove(&number)));
        }
        due
    }

    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(end, _)| *end)
    }

    fn add(&mut self, name: &str, until: Instant, host: Option<Host>) -> Result<u64, BinderError> {
        self.shares.take(host)?;
        self.last += 1;
        self.names.insert(self.last, name.to_owned());
        self.ends.insert((until, self.last));
        Ok(self.last)
    }

    fn wait(&mut self, number: u64, waker: &Waker) {
        let Some(name) = self.names.get(&number) else { return };
        match self.by_name.get_mut(name) {
            Some(waiting) => drop(waiting.insert(number, waker.clone())),
            None => drop(self.by_name.insert(name.clone(), [(number, waker.clone())].into())),
        }
    }

    fn remove(&mut self, number: u64, until: Instant, host: Option<Host>) {
        self.ends.remove(&(until, number));
        let Some(name) = self.names.remove(&number) else { return };
        self.shares.give_back(host);
        if let Some(waiting) = self.by_name.get_mut(&name) {
            waiting.remove(&number);
            if waiting.is_empty() {
                self.by_name.remove(&name);
            }
        }
    }
}

/// Waits for a change under a name. Gives the time.
#[derive(Debug)]
pub struct Watching {
    shared: Arc<Shared>,
    name: String,
    known: Revision,
    until: Instant,
    /// Who waits.
    host: Option<Host>,
    number: Option<u64>,
}

impl Watching {
    pub(super) fn new(shared: Arc<Shared>, name: String, known: Revision, until: Instant) -> Self {
        Self { shared, name, known, until, host: asking_host(), number: None }
    }
}

impl Future for Watching {
    type Output = Result<(), BinderError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let shared = Arc::clone(&self.shared);
        let mut inner = shared.lock();
        let now = shared.world.now();
        if inner.is_ended {
            return Poll::Ready(Err(ended()));
        }
        if now >= self.until || inner.registry.has_news(&self.name, self.known) {
            return Poll::Ready(Ok(()));
        }
        if inner.registry.limits().is_shared
            && let Some(trouble) = &inner.trouble
        {
            // Another binder may reach the store, and have news.
            return Poll::Ready(Err(BinderError::NotKept { reason: trouble.clone() }));
        }
        let number = match self.number {
            Some(number) => number,
            None => match inner.watchers.add(&self.name, self.until, self.host) {
                Ok(number) => number,
                Err(refusal) => return Poll::Ready(Err(refusal)),
            },
        };
        self.number = Some(number);
        inner.watchers.wait(number, context.waker());
        let is_next_end = inner.watchers.next_end() == Some(self.until);
        drop(inner);
        if is_next_end {
            shared.gate.open(); // the thread that keeps looks at the clock for us
        }
        Poll::Pending
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.shared.lock().watchers.remove(number, self.until, self.host);
        }
    }
}
