//! Those who call a listener: newcomers who have yet to say what they share, and callers with rings; who
//! of them is looked at, and who is waited for.
//!
//! A caller is *awake* from its wake-up until the listener sleeps: its ring is looked at in turn, which
//! costs no system call on either side. Before the listener sleeps, each of them is asked to wake it, and
//! is then forgotten until it does. So idle callers cost nothing, however many there are.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::Token;
use slab::Slab;
use socket2::Socket;

use super::BELLS_KEPT_MAX;
use super::pipe::{AWAKE, IN_POLL, Pipe, Pushed};
use super::ring::{Hostile, Reader};
use crate::address::{Address, Host};
use crate::time::{Duration, Instant};

/// Where the receiving thread has a caller, and its number.
pub(super) type Place = (usize, u64);

/// Who calls by rings.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) pipe: Pipe,
    pub(super) address: Address,
    pub(super) place: Place,
    /// Whether the receiving thread was told that its ring is full.
    pub(super) is_full: AtomicBool,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is in the ring.
    Yes,
    /// There is no room: it did not leave, and is lost.
    Full,
    /// As before, and somebody is to look whether the caller reads at all.
    Stuck,
    /// The caller is none of ours, or is gone.
    Lost,
}

impl Caller {
    /// Writes a datagram, and wakes the caller.
    pub(super) fn write(&self, datagram: &[u8]) -> Written {
        match self.pipe.push(datagram) {
            Ok(Pushed::Yes) if self.pipe.nudge() => Written::Yes,
            Ok(Pushed::Yes) => Written::Lost, // the poll tells of its end
            Ok(Pushed::Full) if self.is_full.swap(true, Ordering::Relaxed) => Written::Full,
            Ok(Pushed::Full) => Written::Stuck,
            Err(Hostile) => {
                self.pipe.shut(); // the receiving thread finds the end
                Written::Lost
            }
        }
    }
}

/// What the receiving thread knows of who is connected.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) socket: Arc<Socket>,
    /// Behind the user whose process it is.
    pub(super) address: Address,
    pub(super) number: u64,
    /// None for a newcomer.
    pub(super) caller: Option<(Arc<Caller>, Reader)>,
    /// Whether its end is known: what it wrote before may still be read.
    pub(super) is_ending: bool,
    is_awake: bool,
    is_watched: bool,
    /// Bytes of waking that may be in the socket.
    bells: u32,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Peers {
    all: Slab<Peer>,
    /// Those that are looked at, in the order of their turns.
    awake: VecDeque<usize>,
    /// Until when something is awaited of one, the earliest first; and how far it had read then.
    watched: VecDeque<(Instant, Place, Option<u32>)>,
    /// Numbers them.
    numbers: u64,
}

/// What is the matter with one of whom something was awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// It is to be looked at again at that time.
    NotBefore(Instant),
    /// A newcomer who did not say what it shares.
    Silent(usize),
    /// A caller who has not read anything of much.
    Unread(usize),
}

impl Peers {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&mut self, index: usize) -> Option<&mut Peer> {
        self.all.get_mut(index)
    }

    /// The one at a place, if it is still the one that was there.
    pub(super) fn at(&mut self, (index, number): Place) -> Option<&mut Peer> {
        self.all.get_mut(index).filter(|peer| peer.number == number)
    }

    /// A newcomer; gives its place.
    pub(super) fn enter(&mut self, socket: Arc<Socket>, address: Address) -> Place {
        self.numbers += 1;
        let number = self.numbers;
        let index = self.all.insert(Peer {
            socket,
            address,
            number,
            caller: None,
            is_ending: false,
            is_awake: false,
            is_watched: false,
            bells: 0,
        });
        (index, number)
    }

    /// Which is to go for one of `newcomer`, if any is: the oldest of the host that has most of them,
    /// as long as that has more than the newcomer's would have.
    pub(super) fn who_gives_way(&self, newcomer: Host) -> Option<usize> {
        let mut hosts = BTreeMap::<Host, usize>::new();
        for (_, peer) in &self.all {
            *hosts.entry(peer.address.host()).or_default() += 1;
        }
        let own = hosts.get(&newcomer).copied().unwrap_or(0);
        let (&richest, &most) = hosts.iter().max_by_key(|(_, count)| **count)?;
        let of_host = self.all.iter().filter(|(_, peer)| peer.address.host() == richest);
        let (oldest, _) = of_host.min_by_key(|(_, peer)| peer.number)?;
        (most > own + 1).then_some(oldest)
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Peer> {
        let peer = self.all.try_remove(index)?;
        if peer.is_awake {
            self.awake.retain(|other| *other != index);
        }
        Some(peer)
    }

    /// The poll told of one.
    pub(super) fn on_event(&mut self, Token(index): Token, is_end: bool) {
        let Some(peer) = self.all.get_mut(index) else { return };
        peer.is_ending |= is_end;
        if let Some((caller, _)) = &peer.caller {
            caller.pipe.rise();
            peer.bells += 1;
            if peer.bells > BELLS_KEPT_MAX {
                peer.bells = 0;
                peer.is_ending |= caller.pipe.has_ended();
            }
        }
        self.rouse(index);
    }

    /// It is to be looked at.
    pub(super) fn rouse(&mut self, index: usize) {
        let Some(peer) = self.all.get_mut(index) else { return };
        if !std::mem::replace(&mut peer.is_awake, true) {
            self.awake.push_back(index);
        }
    }

    /// Whose turn it is, who comes last from here on; and how many have one.
    pub(super) fn next(&mut self) -> Option<usize> {
        let index = self.awake.pop_front()?;
        self.awake.push_back(index);
        Some(index)
    }

    pub(super) fn awake_count(&self) -> usize {
        self.awake.len()
    }

    /// One whose turn it was, and who comes last, is not looked at until it says so.
    pub(super) fn forget(&mut self, index: usize) {
        let Some(peer) = self.all.get_mut(index) else { return };
        peer.is_awake = false;
        if self.awake.back() == Some(&index) {
            self.awake.pop_back();
        } else {
            self.awake.retain(|other| *other != index);
        }
    }

    /// The only one, if it is awake.
    pub(super) fn alone(&self) -> Option<&(Arc<Caller>, Reader)> {
        let index = self.awake.front().filter(|_| self.all.len() == 1)?;
        let peer = self.all.get(*index).filter(|peer| !peer.is_ending)?;
        peer.caller.as_ref()
    }

    /// Whether any that is awake has something, as far as can be seen at a glance.
    pub(super) fn has_news(&self) -> bool {
        self.awake.iter().any(|index| {
            self.all.get(*index).is_some_and(|peer| {
                let has_news =
                    |(caller, reader): &(Arc<Caller>, Reader)| caller.pipe.has_news(reader);
                peer.is_ending || peer.caller.as_ref().is_some_and(has_news)
            })
        })
    }

    /// Asks those who are awake to wake this side; says whether none of them has anything, and then forgets
    /// them.
    pub(super) fn doze(&mut self) -> bool {
        let announce = |peers: &Self, how| {
            for index in &peers.awake {
                let peer = peers.all.get(*index).and_then(|peer| peer.caller.as_ref());
                if let Some((caller, _)) = peer {
                    caller.pipe.announce(how);
                }
            }
        };
        announce(self, IN_POLL);
        if self.has_news() {
            announce(self, AWAKE);
            return false;
        }
        for index in self.awake.drain(..) {
            if let Some(peer) = self.all.get_mut(index) {
                peer.is_awake = false;
            }
        }
        true
    }

    /// Sees to it that what is awaited of one does not take for ever.
    pub(super) fn guard(&mut self, index: usize, now: Instant, patience: Duration) {
        let Some(peer) = self.all.get_mut(index) else { return };
        if std::mem::replace(&mut peer.is_watched, true) {
            return;
        }
        let read = peer.caller.as_ref().map(|(caller, _)| caller.pipe.ever_read());
        self.watched.push_back((now + patience, (index, peer.number), read));
    }

    /// The next of whom something was awaited for too long, or when to look again.
    pub(super) fn overdue(&mut self, now: Instant, patience: Duration) -> Option<Overdue> {
        loop {
            let (until, place, read) = *self.watched.front()?;
            if now < until {
                return Some(Overdue::NotBefore(until));
            }
            self.watched.pop_front();
            let Some(peer) = self.at(place) else { continue };
            peer.is_watched = false;
            let Some((caller, _)) = &peer.caller else { return Some(Overdue::Silent(place.0)) };
            caller.is_full.store(false, Ordering::Relaxed);
            if caller.pipe.is_choked() == Ok(false) {
                continue;
            }
            if read == Some(caller.pipe.ever_read()) {
                return Some(Overdue::Unread(place.0));
            }
            self.guard(place.0, now, patience);
        }
    }
}
