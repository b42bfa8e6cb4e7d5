//! The thread that watches etcd, and tells the desk step by step what comes to pass.
//!
//! A watch that is silent for a while is opened anew at another member, from where it stood: one that has
//! lost the others says nothing, and does not say so. If members have nothing to tell though there is
//! something, it cannot be had step by step: all is read anew.

use std::sync::atomic::Ordering;

use rpc_runtime::store::{StoreError, StoreErrorKind};
use rpc_runtime::time::{Duration, Instant};

use super::gateway::{Ended, Trouble};
use super::message::{
    Bytes, EtcdRevision, Event, KeyValue, Number, RangeAnswer, RangeRequest, Streamed, WatchAnswer,
    WatchCreate, WatchRequest,
};
use super::{Heard, Shared};
use crate::store::shared::News;

/// How long a watch may be silent.
const IDLE: Duration = Duration::from_secs(1);
/// Pause after a member that does not let itself be watched.
const PAUSE: Duration = Duration::from_millis(50);
/// Pause after all could not be read.
const RETRY: Duration = Duration::from_secs(1);
/// How long it may take to read all.
const READ: Duration = Duration::from_secs(15);
/// How long the desk waits for news that a member does not have, before another one is heard.
const LATE: Duration = Duration::from_secs(1);
/// How long it may take to look how far etcd is.
const LOOK: Duration = Duration::from_secs(2);
/// After so many watches in a row that told nothing, it is looked whether there is something to tell.
const SILENT_MAX: u32 = 2;
/// Keys that are read at a time.
const PAGE_KEYS: i64 = 256;
/// Keys that are read in all.
const KEYS_MAX: usize = 1 << 20;

/// Why it was not read what there is.
#[derive(Debug)]
pub(super) enum Unread {
    /// Etcd does not answer.
    Away(Trouble),
    /// No binder has written that.
    Corrupt(StoreError),
}

impl Unread {
    fn into_error(self) -> StoreError {
        match self {
            Self::Away(trouble) => trouble.certain().into_error(),
            Self::Corrupt(error) => error,
        }
    }
}

/// All that there is, and its revision.
pub(super) fn read_all(
    shared: &Shared,
    deadline: Instant,
) -> Result<(Heard, EtcdRevision), Unread> {
    let mut rows: Vec<KeyValue> = Vec::new();
    let mut revision = None;
    let mut question = RangeRequest {
        key: shared.keys.first(),
        range_end: Some(shared.keys.end()),
        limit: Some(Number(PAGE_KEYS)),
        revision: None,
    };
    loop {
        let page: RangeAnswer =
            shared.gateway.ask("/v3/kv/range", &question, deadline).map_err(Unread::Away)?;
        let at = *revision.get_or_insert(page.header.revision);
        let is_last = !page.more || page.kvs.is_empty();
        rows.extend(page.kvs);
        if rows.len() > KEYS_MAX {
            let text = format!("there are more than {KEYS_MAX} keys under its prefix");
            return Err(Unread::Corrupt(StoreError::new(StoreErrorKind::Corrupt, text)));
        }
        if is_last {
            let heard = shared.keys.whole(shared.revision(at.0), &rows).map_err(Unread::Corrupt)?;
            return Ok((heard, at.0));
        }
        question.revision = Some(at);
        let mut next = rows.last().map(|row| row.key.0.clone()).unwrap_or_default();
        next.push(0);
        question.key = Bytes(next);
    }
}

/// What a watch has come to.
#[derive(Debug, Default)]
struct Watch {
    /// The last revision that was told.
    known: EtcdRevision,
    /// Whether steps after that cannot be had any more.
    is_compacted: bool,
    /// How far the member was that is heard, once it has said that it tells.
    created: Option<EtcdRevision>,
    /// Whether it has told anything.
    has_told: bool,
    /// Watches in a row that told nothing.
    silent: u32,
}

/// The thread's body: tells what comes after `known`.
pub(super) fn run(shared: &Shared, known: EtcdRevision) {
    let gate = shared.world.gate();
    let mut watch = Watch { known, ..Watch::default() };
    let mut member = 0;
    while !shared.is_ended() {
        watch.is_compacted |= shared.is_doubted.swap(false, Ordering::Relaxed);
        if watch.is_compacted {
            match read_all(shared, shared.world.now() + READ) {
                Ok((heard, revision)) => {
                    watch = Watch { known: revision, ..Watch::default() };
                    shared.gateway.start_over(revision);
                    *shared.awaited() = None;
                    shared.tell(heard);
                }
                Err(unread) => {
                    if shared.has_room() {
                        let news = News::Deaf { error: unread.into_error() };
                        shared.tell(Heard { news, epoch: None });
                    }
                    gate.wait(Some(shared.world.now() + RETRY));
                    continue;
                }
            }
        }
        let Some(next) = watch.known.checked_add(1) else {
            watch.is_compacted = true; // nothing comes after that
            gate.wait(Some(shared.world.now() + RETRY));
            continue;
        };
        let question = WatchRequest {
            create_request: WatchCreate {
                key: shared.keys.first(),
                range_end: shared.keys.end(),
                start_revision: Number(next),
            },
        };
        let (opened, head) = (shared.world.now(), shared.gateway.head());
        (watch.created, watch.has_told) = (None, false);
        let mut hear = |item: &[u8]| watch.hear(shared, item);
        let ended = shared.gateway.stream(member, "/v3/watch", &question, IDLE, &mut hear);
        watch.look(shared, ended.is_ok_and(|ended| ended == Ended::TooLong), head);
        member = (member + 1) % shared.gateway.members();
        if shared.world.now().since(opened) < PAUSE {
            gate.wait(Some(opened + PAUSE));
        }
    }
}

impl Watch {
    /// Takes in one item; says whether to go on.
    fn hear(&mut self, shared: &Shared, item: &[u8]) -> bool {
        if shared.is_ended() || shared.is_doubted.load(Ordering::Relaxed) {
            return false;
        }
        let Ok(Streamed { result }) = serde_json::from_slice::<Streamed<WatchAnswer>>(item) else {
            return false; // another member may make more sense
        };
        if shared.gateway.check(result.header).is_err() {
            return false;
        }
        if result.created {
            self.created = Some(result.header.revision.0);
        }
        if result.canceled {
            self.is_compacted = result.compact_revision.0 > 0;
            return false;
        }
        self.tell(shared, &result.events);
        !self.is_late(shared)
    }

    /// Whether the desk has waited long enough for what this member does not tell.
    fn is_late(&self, shared: &Shared) -> bool {
        let now = shared.world.now();
        let mut awaited = shared.awaited();
        let Some((revision, since)) = *awaited else { return false };
        let is_late = revision > self.known && now.since(since) >= LATE;
        *awaited = match (revision > self.known, is_late) {
            (false, _) => None,
            (true, false) => Some((revision, since)),
            (true, true) => Some((revision, now)), // the next one has its time too
        };
        is_late
    }

    /// A watch has ended: finds out whether the steps after what is known can be had at all. `head` is how
    /// far etcd was when it began.
    fn look(&mut self, shared: &Shared, is_too_long: bool, head: EtcdRevision) {
        let Some(created) = self.created else { return };
        self.is_compacted |= is_too_long;
        self.silent = if self.has_told { 0 } else { self.silent + 1 };
        let is_before = created < self.known;
        let is_silent = self.silent >= SILENT_MAX && head > self.known;
        if self.is_compacted || !is_before && !is_silent {
            return;
        }
        // What a majority says: a member may be behind by itself.
        let question = RangeRequest { key: shared.keys.epoch(), ..RangeRequest::default() };
        let deadline = shared.world.now() + LOOK;
        let Ok(answer) = shared.gateway.ask::<RangeAnswer>("/v3/kv/range", &question, deadline)
        else {
            return;
        };
        let epoch = answer.kvs.first().map_or(0, |row| row.mod_revision.0);
        let is_missed = is_silent && self.known < epoch && epoch <= head;
        self.is_compacted = is_missed || answer.header.revision.0 < self.known;
    }

    /// Tells of events, those of one revision together.
    fn tell(&mut self, shared: &Shared, events: &[Event]) {
        let gate = shared.world.gate();
        let at = |event: &Event| event.kv.mod_revision.0;
        for events in events.chunk_by(|one, other| at(one) == at(other)) {
            let revision = events.first().map(at).unwrap_or_default();
            if revision <= self.known {
                continue;
            }
            while !shared.has_room() && !shared.is_ended() {
                gate.wait(Some(shared.world.now() + PAUSE)); // etcd waits with us
            }
            let heard = shared.keys.step(shared.revision(revision), events);
            if let News::Step { step, .. } = &heard.news {
                step.ended.iter().chain(&step.expired).for_each(|id| shared.leases.forget(*id));
            }
            shared.tell(heard);
            self.known = revision;
            self.has_told = true;
        }
    }
}

#[cfg(test)]
mod tests;
