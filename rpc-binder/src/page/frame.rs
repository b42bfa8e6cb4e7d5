//! A frame: all blocks of one instant, and what changed since the frame before.
//!
//! A viewer who has the frame before is sent what changed, any other one everything. Both are made once,
//! for all viewers.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::body::Bytes;
use serde::Serialize;

use super::html::Block;

/// What viewers see.
#[derive(Debug)]
pub(super) struct Frame {
    /// Tells it from all others, those of the binder's other lives too.
    pub(super) id: String,
    number: u64,
    before: String,
    now_ms: u64,
    blocks: Vec<Block>,
    changes: Bytes,
    whole: OnceLock<Bytes>,
}

/// What the script is told. The names are its own too.
#[derive(Serialize)]
struct Message<'a> {
    frame: &'a str,
    /// In ms on the binder's clock.
    now: u64,
    /// Each with its container and its content.
    blocks: Vec<(&'a str, &'a str, &'a str)>,
    /// What stands in a container, in this order and nothing else.
    order: BTreeMap<&'a str, Vec<&'a str>>,
}

impl Frame {
    /// The first one of a binder's life.
    pub(super) fn first(life: u64, now_ms: u64, blocks: Vec<Block>) -> Self {
        Self {
            id: format!("{life:x}-0"),
            number: 0,
            before: String::new(),
            now_ms,
            blocks,
            changes: Bytes::new(),
            whole: OnceLock::new(),
        }
    }

    /// The next one, if anything changed.
    pub(super) fn next(&self, now_ms: u64, blocks: Vec<Block>) -> Option<Self> {
        if self.blocks == blocks {
            return None;
        }
        let number = self.number + 1;
        let (life, _) = self.id.split_once('-').unwrap_or_default();
        let id = format!("{life}-{number}");
        let known: BTreeMap<&str, &Block> =
            self.blocks.iter().map(|block| (&*block.id, block)).collect();
        let changed = |block: &&Block| known.get(&*block.id) != Some(block);
        let former = order(&self.blocks);
        let mut order = order(&blocks);
        for (within, ids) in former {
            match order.get(within) {
                Some(present) if *present == ids => {
                    order.remove(within);
                }
                Some(_) => {}
                // Nothing stands there any more, or the container is gone with its own block.
                None => {
                    order.insert(within, Vec::new());
                }
            }
        }
        let blocks_changed = blocks.iter().filter(changed);
        let changes = event(&id, now_ms, blocks_changed, order);
        let before = self.id.clone();
        Some(Self { id, number, before, now_ms, changes, blocks, whole: OnceLock::new() })
    }

    /// What somebody is sent who has frame `known`; nothing if that is this one.
    pub(super) fn since(&self, known: &str) -> Option<Bytes> {
        if known == self.id {
            return None;
        }
        if known == self.before && !self.changes.is_empty() {
            return Some(self.changes.clone());
        }
        let whole = || event(&self.id, self.now_ms, self.blocks.iter(), order(&self.blocks));
        Some(self.whole.get_or_init(whole).clone())
    }
}

/// What tells the script that the binder is there, and what time it is.
pub(super) fn beat(now_ms: u64) -> Bytes {
    Bytes::from(format!("event: beat\ndata: {now_ms}\n\n"))
}

fn event<'a>(
    id: &str,
    now_ms: u64,
    blocks: impl Iterator<Item = &'a Block>,
    order: BTreeMap<&str, Vec<&str>>,
) -> Bytes {
    let blocks = blocks.map(|block| (&*block.id, &*block.within, &*block.html)).collect();
    let message = Message { frame: id, now: now_ms, blocks, order };
    // JSON has no line breaks but those between its values, of which there are none here.
    let json = serde_json::to_string(&message).expect("strings and numbers become JSON");
    Bytes::from(format!("id: {id}\ndata: {json}\n\n"))
}

fn order(blocks: &[Block]) -> BTreeMap<&str, Vec<&str>> {
    let mut order = BTreeMap::<&str, Vec<&str>>::new();
    for block in blocks {
        order.entry(&block.within).or_default().push(&block.id);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(id: &str, within: &str, html: &str) -> Block {
        Block { id: id.into(), within: within.into(), html: html.into() }
    }

    fn text(bytes: Option<Bytes>) -> String {
        String::from_utf8(bytes.unwrap().to_vec()).unwrap()
    }

    #[test]
    fn only_what_changed_is_sent_to_those_who_have_the_frame_before() {
        let first = vec![block("a", "x", "1"), block("b", "x", "2")];
        let frame = Frame::first(0xab, 5, first.clone());
        assert!(frame.next(6, first).is_none());
        assert_eq!(frame.since("ab-0"), None);
        let next = frame.next(7, vec![block("a", "x", "1"), block("b", "x", "\n\"3")]).unwrap();
        assert_eq!(
            text(next.since("ab-0")),
            "id: ab-1\ndata: {\"frame\":\"ab-1\",\"now\":7,\"blocks\":[[\"b\",\"x\",\"\\n\\\"3\"]],\"order\":{}}\n\n"
        );
        assert!(text(next.since("of another life")).contains("[\"a\",\"x\",\"1\"]"));
        assert_eq!(next.since("ab-1"), None);
    }

    #[test]
    fn what_comes_and_goes_changes_the_order_of_its_container() {
        let frame = Frame::first(1, 0, vec![block("a", "x", "1"), block("c", "y", "2")]);
        let next = frame.next(0, vec![block("b", "x", "3"), block("a", "x", "1")]).unwrap();
        let told = text(next.since("1-0"));
        assert!(told.contains("\"blocks\":[[\"b\",\"x\",\"3\"]]"), "{told}");
        assert!(told.contains("\"order\":{\"x\":[\"b\",\"a\"],\"y\":[]}"), "{told}");
    }
}
