//! The ways to a binder, or to several before one store: whoever asks begins with the one that answered
//! last, and goes on to the next when that is silent, or cannot reach the store.
//!
//! A binder whose name cannot be resolved is as good as silent, as long as there is another one. Does not
//! know what is asked; all of it can be asked again at another binder.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::model::BinderError;
use super::service::DirectoryClient;
use crate::address::Address;
use crate::client::{Channel, Options};
use crate::driver::World;
use crate::error::{CallError, Error, ErrorKind, Execution};
use crate::scheme;
use crate::time::{Duration, Instant};

/// Most binders of one list.
const WAYS_MAX: usize = 16;

/// Binders of which any one will do.
pub(super) struct Ways {
    ways: Vec<Way>,
    /// The one that answered last.
    first: AtomicUsize,
}

/// One binder.
struct Way {
    world: Arc<dyn World>,
    place: String,
    /// Where it was found to be, once it was.
    dialled: OnceLock<Dialled>,
}

struct Dialled {
    peer: Address,
    directory: DirectoryClient,
}

impl Ways {
    /// Those at the URLs of a list, and the world of the first.
    pub(super) fn open(list: &str) -> Result<(Self, Arc<dyn World>), CallError> {
        let urls = urls(list);
        if urls.len() > WAYS_MAX {
            let text = format!("`{list}` names more than {WAYS_MAX} binders");
            let error = CallError::new(ErrorKind::BadAddress, Execution::NotExecuted);
            return Err(error.with_detail(text));
        }
        let mut ways = Vec::new();
        for url in urls {
            let (world, place) = scheme::open(&url)?;
            ways.push(Way { world, place, dialled: OnceLock::new() });
        }
        let world = ways.first().map_or_else(scheme::here, |way| Ok(Arc::clone(&way.world)))?;
        Ok((Self::of(ways)?, world))
    }

    /// The one at `place` of a world.
    pub(super) fn one(world: &Arc<dyn World>, place: &str) -> Result<Self, CallError> {
        let (world, place) = (Arc::clone(world), place.to_owned());
        Self::of(vec![Way { world, place, dialled: OnceLock::new() }])
    }

    /// Of which one can be dialled at least.
    fn of(ways: Vec<Way>) -> Result<Self, CallError> {
        let dialled: Vec<_> = ways.iter().map(|way| way.dial().err()).collect();
        let first = dialled.iter().position(Option::is_none);
        match (first, dialled.into_iter().flatten().next()) {
            (None, Some(error)) => Err(error),
            (first, _) => Ok(Self { ways, first: AtomicUsize::new(first.unwrap_or_default()) }),
        }
    }

    /// Whether there are several.
    pub(super) fn are_several(&self) -> bool {
        self.ways.len() > 1
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.ways.len()).unwrap_or(u32::MAX)
    }

    /// Where the one is that answered last.
    pub(super) fn peer(&self) -> Address {
        let (first, count) = (self.first(), self.ways.len());
        let mut ways = (first..first + count).map(|way| &self.ways[way % count]);
        let dialled = ways.find_map(|way| way.dialled.get());
        dialled.map(|dialled| dialled.peer).expect("one was dialled from the beginning")
    }

    fn first(&self) -> usize {
        self.first.load(Ordering::Relaxed) % self.ways.len()
    }

    /// Asks until `until`: each that is silent has its share of the time that is left.
    pub(super) fn ask<T, E: Silence>(
        &self,
        world: &Arc<dyn World>,
        until: Instant,
        call: impl FnMut(&DirectoryClient) -> Result<T, E>,
    ) -> Result<T, E> {
        let share = |others: usize| {
            let left = world.now().until(until);
            left / u32::try_from(others + 1).unwrap_or(u32::MAX)
        };
        self.try_all(share, call)
    }

    /// Asks: each that is silent has `patience`.
    pub(super) fn ask_each<T, E: Silence>(
        &self,
        patience: Duration,
        call: impl FnMut(&DirectoryClient) -> Result<T, E>,
    ) -> Result<T, E> {
        self.try_all(|_| patience, call)
    }

    /// `patience` is told how many are left to be asked after this one.
    fn try_all<T, E: Silence>(
        &self,
        patience: impl Fn(usize) -> Duration,
        mut call: impl FnMut(&DirectoryClient) -> Result<T, E>,
    ) -> Result<T, E> {
        let (first, last) = (self.first(), self.ways.len() - 1);
        let mut next = 0;
        loop {
            let way = (first + next) % self.ways.len();
            let answer = self.ways[way]
                .within(patience(last - next))
                .map_err(E::from)
                .and_then(|directory| call(&directory));
            let is_in_vain = answer.as_ref().is_err_and(Silence::is_in_vain);
            if !is_in_vain && way != first {
                self.first.store(way, Ordering::Relaxed);
            }
            if !is_in_vain || next == last {
                return answer;
            }
            next += 1;
        }
    }

    /// Asks the one that answered last; if that is in vain, the next is the first to be asked from now on.
    pub(super) fn ask_first<T, E: Silence>(
        &self,
        patience: Duration,
        call: impl FnOnce(&DirectoryClient) -> Result<T, E>,
    ) -> Result<T, E> {
        let first = self.first();
        let directory = self.ways[first].within(patience);
        let answer = directory.map_err(E::from).and_then(|directory| call(&directory));
        if answer.as_ref().is_err_and(Silence::is_in_vain) {
            let next = (first + 1) % self.ways.len();
            // Unless somebody has found another one meanwhile.
            let _other =
                self.first.compare_exchange(first, next, Ordering::Relaxed, Ordering::Relaxed);
        }
        answer
    }
}

impl Way {
    fn dial(&self) -> Result<&Dialled, CallError> {
        if let Some(dialled) = self.dialled.get() {
            return Ok(dialled);
        }
        let channel = Channel::connect_in(&self.world, &self.place)?;
        let (peer, directory) = (channel.peer(), DirectoryClient::on(&channel));
        Ok(self.dialled.get_or_init(|| Dialled { peer, directory }))
    }

    /// The stub, whose calls end after `timeout`. Whoever asks a binder that is away waits a while by
    /// himself, and wants to know when it is back.
    fn within(&self, timeout: Duration) -> Result<DirectoryClient, CallError> {
        let options = Options::new().timeout(timeout).circuit_breaker(false);
        Ok(self.dial()?.directory.with(options))
    }
}

/// A failure after which another binder may be asked.
pub(super) trait Silence: From<CallError> {
    /// Whether it comes from this binder's silence, or from its store's.
    fn is_in_vain(&self) -> bool;
}

impl Silence for CallError {
    fn is_in_vain(&self) -> bool {
        true
    }
}

impl Silence for Error<BinderError> {
    fn is_in_vain(&self) -> bool {
        match self {
            // Another binder may reach the store that this one does not.
            Self::Call(_) | Self::App(BinderError::NotKept { .. }) => true,
            Self::App(_) => false,
        }
    }
}

/// The URLs of a list of binders: `udp://a:7000,udp://b:7000`, or `udp://a:7000,b:7000` where places have
/// no commas.
#[must_use]
fn urls(list: &str) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for item in list.split(',') {
        let scheme = urls.last().and_then(|last| last.split_once("://")).map(|(scheme, _)| scheme);
        match (scheme, item.contains("://")) {
            (_, true) | (None, false) => urls.push(item.trim().to_owned()),
            (Some(scheme @ ("udp" | "tcp" | "sim")), false) => {
                urls.push(format!("{scheme}://{}", item.trim()));
            }
            (Some(_), false) => {
                if let Some(last) = urls.last_mut() {
                    last.push(',');
                    last.push_str(item);
                }
            }
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_binders_by_urls_or_places() {
        assert_eq!(urls("udp://a:1"), ["udp://a:1"]);
        assert_eq!(
            urls("udp://a:1,b:2, tcp://c:3,d:4"),
            ["udp://a:1", "udp://b:2", "tcp://c:3", "tcp://d:4"]
        );
        assert_eq!(urls("unix:///a,b,udp://c:1"), ["unix:///a,b", "udp://c:1"]);
        assert_eq!(urls("udp://a:1,"), ["udp://a:1", "udp://"]);
        assert_eq!(urls("nonsense"), ["nonsense"]);
    }
}
