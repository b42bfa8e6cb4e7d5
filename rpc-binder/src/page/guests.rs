//! Who is connected, and how many may be.
//!
//! | limit | at it |
//! |---|---|
//! | [`GUESTS_MAX`] connections | the oldest that is no viewer makes room |
//! | [`VIEWERS_MAX`] viewers | one more is answered 503 |
//!
//! So whoever comes is let in, and no crowd of silent connections keeps anybody out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// Connections at a time.
pub(super) const GUESTS_MAX: usize = 128;
/// Of these, how many may look on.
pub(super) const VIEWERS_MAX: usize = 64;
const _: () = assert!(VIEWERS_MAX < GUESTS_MAX, "somebody can always make room");

/// All who are connected.
#[derive(Debug, Default)]
pub(super) struct Guests {
    present: Mutex<Present>,
    pub(super) turned_away: TurnedAway,
}

/// How many were not served, and why.
#[derive(Debug, Default)]
pub(super) struct TurnedAway {
    /// Connections that made room for others.
    pub(super) crowded: AtomicU64,
    /// Viewers beyond [`VIEWERS_MAX`].
    pub(super) viewers: AtomicU64,
    /// Requests under a name that is not ours.
    pub(super) host: AtomicU64,
    /// Connections that were too slow to ask or to take the answer.
    pub(super) slow: AtomicU64,
}

#[derive(Debug, Default)]
struct Present {
    next: u64,
    by_arrival: BTreeMap<u64, Seat>,
    viewers: usize,
}

#[derive(Debug, Default)]
struct Seat {
    views: bool,
    /// Ends the connection.
    abort: Option<AbortHandle>,
}

impl Guests {
    /// Lets one more connection in.
    pub(super) fn enter(self: &Arc<Self>) -> Arc<Guest> {
        let mut present = self.lock();
        if present.by_arrival.len() >= GUESTS_MAX {
            let oldest = present.by_arrival.iter().find(|(_, seat)| !seat.views);
            let oldest = *oldest.expect("there are fewer viewers").0;
            let seat = present.by_arrival.remove(&oldest).expect("it is there");
            if let Some(abort) = seat.abort {
                abort.abort();
            }
            count(&self.turned_away.crowded);
        }
        let id = present.next;
        present.next += 1;
        present.by_arrival.insert(id, Seat::default());
        Arc::new(Guest { id, guests: Arc::clone(self) })
    }

    /// Connections and, of these, viewers.
    pub(super) fn numbers(&self) -> (usize, usize) {
        let present = self.lock();
        (present.by_arrival.len(), present.viewers)
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection; leaves when it is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    id: u64,
    guests: Arc<Guests>,
}

impl Guest {
    /// Says how the connection is ended when it is to make room.
    pub(super) fn seated(&self, abort: AbortHandle) {
        match self.guests.lock().by_arrival.get_mut(&self.id) {
            Some(seat) => seat.abort = Some(abort),
            None => abort.abort(), // it has made room already
        }
    }

    /// Becomes a viewer, if there is room for one more.
    pub(super) fn view(self: &Arc<Self>) -> Option<Viewer> {
        let mut present = self.guests.lock();
        if present.viewers >= VIEWERS_MAX {
            drop(present);
            count(&self.guests.turned_away.viewers);
            return None;
        }
        // A connection has one answer at a time, so it is no viewer yet.
        present.by_arrival.get_mut(&self.id)?.views = true;
        present.viewers += 1;
        Some(Viewer { guest: Arc::clone(self) })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.guests.lock().by_arrival.remove(&self.id);
    }
}

/// A connection that looks on, for as long as this is kept.
#[derive(Debug)]
pub(super) struct Viewer {
    guest: Arc<Guest>,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let mut present = self.guest.guests.lock();
        present.viewers -= 1;
        if let Some(seat) = present.by_arrival.get_mut(&self.guest.id) {
            seat.views = false;
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_is_let_in_and_the_oldest_that_is_no_viewer_makes_room() {
        let guests = Arc::<Guests>::default();
        let first = guests.enter();
        let viewer = first.view().unwrap();
        let others: Vec<_> = (1..GUESTS_MAX).map(|_| guests.enter()).collect();
        assert_eq!(guests.numbers(), (GUESTS_MAX, 1));
        let _one_more = guests.enter();
        assert_eq!(guests.numbers(), (GUESTS_MAX, 1));
        assert!(others[0].view().is_none(), "it made room");
        assert!(others[1].view().is_some());
        drop(viewer);
        assert_eq!(guests.numbers(), (GUESTS_MAX, 0));
        drop((others, first));
        assert_eq!(guests.numbers(), (1, 0));
        assert_eq!(guests.turned_away.crowded.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn there_is_room_for_so_many_viewers_and_no_more() {
        let guests = Arc::<Guests>::default();
        let all: Vec<_> = (0..=VIEWERS_MAX).map(|_| guests.enter()).collect();
        let mut viewers: Vec<_> = all.iter().filter_map(|guest| guest.view()).collect();
        assert_eq!(viewers.len(), VIEWERS_MAX);
        viewers.pop();
        assert!(all[VIEWERS_MAX].view().is_some());
    }
}
