//! The states of simulated threads, and whose turn is next: first come, first served.
//!
//! Knows states and turns; does not know how a turn is handed over.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::thread::JoinHandle;

use slab::Slab;

use super::super::hosts::HostId;
use super::baton::Baton;
use super::{Body, HostWorld, Shared};
use crate::address::Address;
use crate::time::Instant;

/// Numbers the threads of a world; numbers are used again.
pub(in crate::sim) type ThreadId = usize;

/// All threads of a world.
#[derive(Debug, Default)]
pub(in crate::sim) struct Threads {
    slots: Slab<Thread>,
    ready: VecDeque<ThreadId>,
    foreground: usize,
    /// Threads that ended while the world was taken down, to be joined.
    ended: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Thread {
    name: String,
    host: HostId,
    state: State,
    is_doomed: bool,
    is_foreground: bool,
    baton: Arc<Baton>,
    handle: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the queue for a turn.
    Ready,
    /// Has the baton.
    Running,
    /// Waits to be woken, or for this moment by its host's clock.
    Waiting(Option<Instant>),
}

impl Threads {
    /// Starts a real thread, which waits for its first turn.
    pub(in crate::sim) fn spawn(
        &mut self,
        shared: &Arc<Shared>,
        world: &Arc<HostWorld>,
        name: &str,
        is_foreground: bool,
        body: Body,
    ) {
        let baton = Arc::new(Baton::default());
        let thread = self.slots.insert(Thread {
            name: name.to_owned(),
            host: world.host(),
            state: State::Ready,
            is_doomed: false,
            is_foreground,
            baton: Arc::clone(&baton),
            handle: None,
        });
        let root =
            super::root(Arc::clone(shared), Arc::clone(world), thread, Arc::clone(&baton), body);
        let handle = std::thread::Builder::new()
            .name(format!("{}/{name}", world.name()))
            .spawn(root)
            .expect("the system gives the simulator a thread");
        baton.belongs_to(handle.thread().clone());
        self.slots[thread].handle = Some(handle);
        self.foreground += usize::from(is_foreground);
        self.ready.push_back(thread);
    }

    /// Takes the next turn, and names the host whose it is.
    pub(in crate::sim) fn next(&mut self) -> Option<(ThreadId, HostId)> {
        let id = self.ready.pop_front()?;
        let thread = &mut self.slots[id];
        debug_assert_eq!(thread.state, State::Ready, "only the ready are queued");
        thread.state = State::Running;
        Some((id, thread.host))
    }

    pub(in crate::sim) fn block(&mut self, id: ThreadId, until: Option<Instant>) {
        let thread = &mut self.slots[id];
        assert_eq!(thread.state, State::Running, "who blocks has the baton");
        thread.state = State::Waiting(until);
    }

    /// Queues a waiting thread; says whether it was one.
    pub(in crate::sim) fn ready(&mut self, id: ThreadId) -> bool {
        let thread = &mut self.slots[id];
        let waits = matches!(thread.state, State::Waiting(_));
        if waits {
            thread.state = State::Ready;
            self.ready.push_back(id);
        }
        waits
    }

    /// Lets all others have a turn before the running thread has the next.
    pub(super) fn give_way(&mut self, id: ThreadId) {
        self.block(id, None);
        self.ready(id);
    }

    pub(in crate::sim) fn doom(&mut self, id: ThreadId) {
        self.slots[id].is_doomed = true;
    }

    pub(super) fn is_doomed(&self, id: ThreadId) -> bool {
        self.slots[id].is_doomed
    }

    pub(super) fn baton(&self, id: ThreadId) -> Arc<Baton> {
        Arc::clone(&self.slots[id].baton)
    }

    /// Its host and name, for messages.
    pub(super) fn who(&self, id: ThreadId) -> (HostId, &str) {
        let thread = &self.slots[id];
        (thread.host, &thread.name)
    }

    /// Forgets a thread that is about to end. Its handle is kept if the world is taken down.
    pub(super) fn finish(&mut self, id: ThreadId, stopping: bool) {
        let thread = self.slots.remove(id);
        self.foreground -= usize::from(thread.is_foreground);
        if stopping {
            self.ended.extend(thread.handle);
        }
    }

    pub(super) fn take_ended(&mut self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.ended)
    }

    pub(in crate::sim) fn foreground(&self) -> usize {
        self.foreground
    }

    pub(in crate::sim) fn all(&self) -> Vec<ThreadId> {
        self.slots.iter().map(|(id, _)| id).collect()
    }

    pub(in crate::sim) fn of_host(&self, host: HostId) -> Vec<ThreadId> {
        let of_host = self.slots.iter().filter(|(_, thread)| thread.host == host);
        of_host.map(|(id, _)| id).collect()
    }

    /// What every thread does, a line each: the running one first.
    pub(in crate::sim) fn report(&self, name: &dyn Fn(HostId) -> String) -> String {
        let mut text = String::new();
        let mut threads: Vec<_> = self.slots.iter().map(|(_, thread)| thread).collect();
        threads.sort_by_key(|thread| thread.state != State::Running);
        for Thread { name: thread, host, state, .. } in threads {
            let host = name(*host);
            let state = match state {
                State::Running => "has the baton".to_owned(),
                State::Ready => "is ready for its turn".to_owned(),
                State::Waiting(None) => "waits to be woken".to_owned(),
                State::Waiting(Some(until)) => format!("waits until {until}"),
            };
            let _ = writeln!(text, "  thread `{thread}` on `{host}` {state}");
        }
        text
    }
}

/// One host's way to send and receive, as the scheduler sees it.
#[derive(Debug, Default)]
pub(in crate::sim) struct Endpoint {
    pub(in crate::sim) inbox: VecDeque<(Address, Vec<u8>)>,
    pub(in crate::sim) receiver: Option<ThreadId>,
    pub(super) is_woken: bool,
    /// Whether the stream broke by which this endpoint calls, and nobody was told.
    pub(in crate::sim) is_broken: bool,
}
