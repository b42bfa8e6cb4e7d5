//! News from a thread that goes on until somebody has seen enough: Ctrl-C, a time, or a number of them.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;

use rpc_runtime::driver::World;
use rpc_runtime::scheme;
use rpc_runtime::time::{Duration, Instant};

use crate::command::Outcome;
use crate::daemon::Signals;

/// News that wait to be printed.
const NEWS_MAX: usize = 16;
/// How long is waited for news where no end is set.
const FOREVER: Duration = Duration::from_secs(3_600);

/// News as they come.
pub(crate) struct News<T> {
    heard: Receiver<Option<T>>,
    world: Arc<dyn World>,
    until: Option<Instant>,
}

/// Tells news.
pub(crate) struct Teller<T> {
    teller: SyncSender<Option<T>>,
    world: Arc<dyn World>,
}

impl<T: Send + 'static> News<T> {
    /// What `body` tells in a thread of its own, for at most `time`.
    pub(crate) fn of(
        time: Option<Duration>,
        body: impl FnOnce(&Teller<T>) + Send + 'static,
    ) -> Outcome<Self> {
        let world = scheme::here()?;
        let (teller, heard) = sync_channel(NEWS_MAX);
        let until = time.map(|time| world.now() + time);
        let mut signals = Signals::take()?;
        let interrupted = teller.clone();
        start("signals", move || {
            signals.wait();
            let _ended_already = interrupted.send(None);
        })?;
        let teller = Teller { teller, world: Arc::clone(&world) };
        start("news", move || body(&teller))?;
        Ok(Self { heard, world, until })
    }

    /// The next; none after Ctrl-C, or when the time is over.
    pub(crate) fn next(&self) -> Option<T> {
        loop {
            let left = self.until.map_or(FOREVER, |until| self.world.now().until(until));
            match self.heard.recv_timeout(left) {
                Ok(news) => return news,
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if self.until.is_some() => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl<T> Teller<T> {
    /// Tells; says whether somebody listens still.
    pub(crate) fn tell(&self, news: T) -> bool {
        self.teller.send(Some(news)).is_ok()
    }

    /// Waits.
    pub(crate) fn rest(&self, time: Duration) {
        let (gate, until) = (self.world.gate(), self.world.now() + time);
        while self.world.now() < until {
            gate.wait(Some(until));
        }
    }
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}
