//! The thread that watches etcd, and tells the desk step by step what comes to pass.
//!
//! A watch that is silent for a while is opened anew at another member, from where it stood: one that has
//! lost the others says nothing, and does not say so.

use rpc_runtime::store::{StoreError, StoreErrorKind};
use rpc_runtime::time::{Duration, Instant};

use super::gateway::Trouble;
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
/// How long it may take to read all.
const READ: Duration = Duration::from_secs(15);
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
}

/// The thread's body: tells what comes after `known`.
pub(super) fn run(shared: &Shared, known: EtcdRevision) {
    let gate = shared.world.gate();
    let mut watch = Watch { known, is_compacted: false };
    let mut member = 0;
    while !shared.is_ended() {
        if watch.is_compacted {
            let deadline = shared.world.now() + READ;
            if let Ok((heard, revision)) = read_all(shared, deadline) {
                watch = Watch { known: revision, is_compacted: false };
                shared.tell(heard);
            }
        }
        let question = WatchRequest {
            create_request: WatchCreate {
                key: shared.keys.first(),
                range_end: shared.keys.end(),
                start_revision: Number(watch.known + 1),
            },
        };
        let opened = shared.world.now();
        let mut hear = |item: &[u8]| watch.hear(shared, item);
        let _ended = shared.gateway.stream(member, "/v3/watch", &question, IDLE, &mut hear);
        member = (member + 1) % shared.gateway.members();
        if shared.world.now().since(opened) < PAUSE {
            gate.wait(Some(opened + PAUSE));
        }
    }
}

impl Watch {
    /// Takes in one item; says whether to go on.
    fn hear(&mut self, shared: &Shared, item: &[u8]) -> bool {
        if shared.is_ended() {
            return false;
        }
        let Ok(Streamed { result }) = serde_json::from_slice::<Streamed<WatchAnswer>>(item) else {
            return false; // another member may make more sense
        };
        if result.canceled {
            self.is_compacted = result.compact_revision.0 > 0;
            return false;
        }
        self.tell(shared, &result.events);
        true
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
        }
    }
}
