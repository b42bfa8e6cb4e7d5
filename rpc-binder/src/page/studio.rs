//! Where samples become frames, a few times a second, for all viewers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::desk::Desk;

use super::frame::Frame;
use super::guests::Guests;
use super::history::History;
use super::html::{self, About};
use super::metrics;
use super::sample::Sample;
use super::view::View;

/// How often the registry is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What all requests share.
#[derive(Debug)]
pub(super) struct Studio {
    pub(super) desk: Arc<Desk>,
    about: About,
    seen: Mutex<Seen>,
    frames: watch::Sender<Arc<Frame>>,
}

#[derive(Debug)]
struct Seen {
    history: History,
    view: Arc<View>,
}

impl Studio {
    /// `life` tells the frames of one life of the binder from those of another.
    pub(super) fn open(desk: Arc<Desk>, url: String, life: u64) -> Self {
        let about = About { url };
        let mut history = History::default();
        let view = Arc::new(history.take(Sample::take(&desk)));
        let first = Frame::first(life, view.now_ms, html::blocks(&about, &view));
        let frames = watch::Sender::new(Arc::new(first));
        Self { desk, about, seen: Mutex::new(Seen { history, view }), frames }
    }

    /// Looks at the registry; whoever looks on sees what changed.
    pub(super) fn look(&self) {
        let sample = Sample::take(&self.desk);
        let mut seen = self.lock();
        let view = Arc::new(seen.history.take(sample));
        seen.view = Arc::clone(&view);
        drop(seen);
        let next = self.frames.borrow().next(view.now_ms, html::blocks(&self.about, &view));
        if let Some(next) = next {
            self.frames.send_replace(Arc::new(next));
        }
    }

    /// The frames from here on.
    pub(super) fn frames(&self) -> watch::Receiver<Arc<Frame>> {
        self.frames.subscribe()
    }

    /// The binder's time, in ms.
    pub(super) fn now_ms(&self) -> u64 {
        self.desk.with(|now, _| now.as_micros() / 1_000)
    }

    /// The page as it is.
    pub(super) fn page(&self) -> String {
        let view = Arc::clone(&self.lock().view);
        let frame = self.frames.borrow().id.clone();
        html::page(&self.about, &view, &frame)
    }

    /// What is counted, as of the last look.
    pub(super) fn metrics(&self, guests: &Guests) -> String {
        let registrations = self.desk.with(|_, registry| registry.len());
        let seen = self.lock();
        metrics::text(&seen.view, &seen.history.counts, registrations, guests)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
