//! The keys under a prefix, and what stands there.
//!
//! ```text
//!   /PREFIX/format              {"format":1,"founded_min":29700000}, written once
//!   /PREFIX/epoch               the batch that was kept last
//!   /PREFIX/interface/FINGER    its methods
//!   /PREFIX/registration/ID     what its server said, and its secret; with a lease
//!   /PREFIX/mark/ID             what is marked of it, one byte; with the same lease
//! ```

use std::collections::BTreeMap;

use rpc_runtime::binder::{RegistrationId, Revision};
use rpc_runtime::store::{StoreError, StoreErrorKind};

use super::super::shared::{BatchId, News};
use super::super::{read, written};
use super::Heard;
use super::message::{
    Bytes, DeleteRequest, Event, EventKind, KeyValue, Number, Operation, PutRequest,
};
use crate::registry::follow::{Step, Whole};
use crate::registry::marks::Marks;
use crate::registry::plan::Change;

/// Names keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    root: String,
}

/// What a key is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Epoch,
    Interface(u128),
    Registration(RegistrationId),
    Mark(RegistrationId),
    /// Nothing of ours, or nothing that changes.
    Other,
}

/// The lease of a registration.
pub(super) fn lease_of(id: RegistrationId) -> Number {
    let positive = i64::try_from(id.0 & u64::MAX >> 1).expect("the highest bit is not set");
    Number(positive.max(1))
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { root: format!("/{prefix}/") }
    }

    /// The first key of all.
    pub(super) fn first(&self) -> Bytes {
        Bytes(self.root.clone().into_bytes())
    }

    /// What comes after all of them.
    pub(super) fn end(&self) -> Bytes {
        let mut end = self.root.clone().into_bytes();
        end.pop();
        end.push(b'/' + 1);
        Bytes(end)
    }

    pub(super) fn format(&self) -> Bytes {
        self.key("format")
    }

    pub(super) fn epoch(&self) -> Bytes {
        self.key("epoch")
    }

    fn key(&self, rest: &str) -> Bytes {
        Bytes(format!("{}{rest}", self.root).into_bytes())
    }

    fn interface(&self, fingerprint: u128) -> Bytes {
        self.key(&format!("interface/{fingerprint:032x}"))
    }

    pub(super) fn registration(&self, id: RegistrationId) -> Bytes {
        self.key(&format!("registration/{:016x}", id.0))
    }

    fn mark(&self, id: RegistrationId) -> Bytes {
        self.key(&format!("mark/{:016x}", id.0))
    }

    fn about(&self, key: &Bytes) -> About {
        let text = std::str::from_utf8(&key.0).ok();
        let Some(rest) = text.and_then(|key| key.strip_prefix(&self.root)) else {
            return About::Other;
        };
        let id = |text| u64::from_str_radix(text, 16).ok().map(RegistrationId);
        let about = match rest.split_once('/') {
            None if rest == "epoch" => Some(About::Epoch),
            Some(("interface", print)) => {
                u128::from_str_radix(print, 16).ok().map(About::Interface)
            }
            Some(("registration", text)) => id(text).map(About::Registration),
            Some(("mark", text)) => id(text).map(About::Mark),
            None | Some(_) => None,
        };
        about.unwrap_or(About::Other)
    }

    /// What is to be written, and what to be deleted: each key once, as the last of `changes` says.
    pub(super) fn operations(&self, changes: &[Change<'_>]) -> Vec<Operation> {
        let mut last: BTreeMap<Bytes, Option<PutRequest>> = BTreeMap::new();
        for change in changes {
            let (key, put) = match change {
                Change::Forget(print) => (self.interface(*print), None),
                Change::Describe(print, methods) => {
                    (self.interface(*print), Some((written(methods), None)))
                }
                Change::Begin(id, kept) => {
                    (self.registration(*id), Some((written(kept), Some(lease_of(*id)))))
                }
                Change::Mark(id, marks) => {
                    (self.mark(*id), Some((vec![marks.byte()], Some(lease_of(*id)))))
                }
                Change::End(id) => (self.registration(*id), None),
            };
            let put = put.map(|(value, lease)| PutRequest {
                key: key.clone(),
                value: Bytes(value),
                lease,
            });
            last.insert(key, put);
        }
        let operation = |(key, put): (Bytes, Option<PutRequest>)| match put {
            Some(put) => Operation::Put(put),
            None => Operation::Delete(DeleteRequest { key }),
        };
        last.into_iter().map(operation).collect()
    }

    /// That a batch was kept.
    pub(super) fn sign(&self, batch: BatchId) -> Operation {
        let value = Bytes(format!("{:032x}", batch.0).into_bytes());
        Operation::Put(PutRequest { key: self.epoch(), value, lease: None })
    }

    /// What has come to pass by `events` of one revision. What cannot be read is as if
    /// it were not there: no binder has written it.
    pub(super) fn step(&self, revision: Revision, events: &[Event]) -> Heard {
        let mut step = Step { revision, ..Step::default() };
        let mut batch = None;
        let mut epoch = None;
        let mut deleted = Vec::new();
        for Event { kind, kv } in events {
            match (self.about(&kv.key), kind) {
                (About::Epoch, EventKind::Put) => {
                    batch = batch_of(kv);
                    epoch = Some(kv.mod_revision.0);
                }
                (About::Epoch, EventKind::Delete) => epoch = Some(0),
                (About::Interface(print), EventKind::Put) => {
                    if let Ok(methods) = read(&kv.value.0, String::new) {
                        step.described.push((print, methods));
                    }
                }
                (About::Interface(print), EventKind::Delete) => step.forgotten.push(print),
                (About::Registration(id), EventKind::Put) => {
                    if let Ok(kept) = read(&kv.value.0, String::new) {
                        step.begun.push((id, kept));
                    }
                }
                (About::Registration(id), EventKind::Delete) => deleted.push(id),
                (About::Mark(id), EventKind::Put) => {
                    step.marked.extend(marks_of(kv).map(|marks| (id, marks)));
                }
                (About::Mark(id), EventKind::Delete) => step.marked.push((id, Marks::NONE)),
                (About::Other, _) => {}
            }
        }
        // A binder's batch ends what somebody ended; nothing else but the end of a lease deletes anything.
        match epoch {
            Some(_) => step.ended = deleted,
            None => step.expired = deleted,
        }
        Heard { news: News::Step { step, batch }, epoch }
    }

    /// What `rows` hold all together at `revision`.
    ///
    /// # Errors
    ///
    /// One cannot be read.
    pub(super) fn whole(&self, revision: Revision, rows: &[KeyValue]) -> Result<Heard, StoreError> {
        let mut whole = Whole { revision, ..Whole::default() };
        let mut batch = None;
        let mut epoch = 0;
        for row in rows {
            match self.about(&row.key) {
                About::Epoch => {
                    batch = batch_of(row);
                    epoch = row.mod_revision.0;
                }
                About::Interface(print) => {
                    let methods = read(&row.value.0, || format!("interface {print:032x}"))?;
                    whole.interfaces.push((print, methods));
                }
                About::Registration(id) => {
                    let kept = read(&row.value.0, || format!("registration {id}"))?;
                    whole.registrations.push((id, kept));
                }
                About::Mark(id) => {
                    let bytes = row.value.0.len();
                    let corrupt = || {
                        let text = format!("the mark of registration {id} has {bytes} bytes");
                        StoreError::new(StoreErrorKind::Corrupt, text)
                    };
                    whole.marked.push((id, marks_of(row).ok_or_else(corrupt)?));
                }
                About::Other => {}
            }
        }
        Ok(Heard { news: News::Whole { whole, batch }, epoch: Some(epoch) })
    }
}

fn marks_of(row: &KeyValue) -> Option<Marks> {
    match row.value.0.as_slice() {
        [byte] => Some(Marks::from_byte(*byte)),
        [] | [_, _, ..] => None,
    }
}

/// The batch that a value of the epoch's key names.
pub(super) fn batch_of(row: &KeyValue) -> Option<BatchId> {
    let text = std::str::from_utf8(&row.value.0).ok()?;
    u128::from_str_radix(text, 16).ok().map(BatchId)
}
