//! The ways to a binder, or to several before one store: whoever asks begins with the one that answered
//! last, and goes on to the next when that is silent.
//!
//! Does not know what is asked; all of it can be asked again at another binder.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
        let mut first = None;
        for url in urls {
            let (world, place) = scheme::open(&url)?;
            ways.push(Way::open(&world, &place)?);
            first.get_or_insert(world);
        }
        let world = first.map_or_else(scheme::here, Ok)?;
        Ok((Self { ways, first: AtomicUsize::new(0) }, world))
    }

    /// The one at `place` of a world.
    pub(super) fn one(world: &Arc<dyn World>, place: &str) -> Result<Self, CallError> {
        Ok(Self { ways: vec![Way::open(world, place)?], first: AtomicUsize::new(0) })
    }

    /// Whether there are several.
    pub(super) fn are_several(&self) -> bool {
        self.ways.len() > 1
    }

    /// Where the one is that answered last.
    pub(super) fn peer(&self) -> Address {
        self.ways[self.first()].peer
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
            let answer = call(&self.ways[way].within(patience(last - next)));
            let is_silent = answer.as_ref().is_err_and(Silence::is_silence);
            if !is_silent && way != first {
                self.first.store(way, Ordering::Relaxed);
            }
            if !is_silent || next == last {
                return answer;
            }
            next += 1;
        }
    }

    /// Asks the one that answered last; if it is silent, the next is the first to be asked from now on.
    pub(super) fn ask_first<T, E: Silence>(
        &self,
        patience: Duration,
        call: impl FnOnce(&DirectoryClient) -> Result<T, E>,
    ) -> Result<T, E> {
        let first = self.first();
        let answer = call(&self.ways[first].within(patience));
        if answer.as_ref().is_err_and(Silence::is_silence) {
            let next = (first + 1) % self.ways.len();
            // Unless somebody has found another one meanwhile.
            let _other =
                self.first.compare_exchange(first, next, Ordering::Relaxed, Ordering::Relaxed);
        }
        answer
    }
}

impl Way {
    fn open(world: &Arc<dyn World>, place: &str) -> Result<Self, CallError> {
        let channel = Channel::connect_in(world, place)?;
        Ok(Self { peer: channel.peer(), directory: DirectoryClient::on(&channel) })
    }

    /// The stub, whose calls end after `timeout`. Whoever asks a binder that is away waits a while by
    /// himself, and wants to know when it is back.
    fn within(&self, timeout: Duration) -> DirectoryClient {
        self.directory.with(Options::new().timeout(timeout).circuit_breaker(false))
    }
}

/// A failure that may be a binder's silence.
pub(super) trait Silence {
    /// Whether it is, so that another one may be asked.
    fn is_silence(&self) -> bool;
}

impl Silence for CallError {
    fn is_silence(&self) -> bool {
        true
    }
}

impl Silence for Error<BinderError> {
    fn is_silence(&self) -> bool {
        match self {
            Self::Call(_) => true,
            Self::App(_) => false,
        }
    }
}

/// The URLs of a list: `udp://a:7000,udp://b:7000`, or `udp://a:7000,b:7000` where places have no commas.
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
