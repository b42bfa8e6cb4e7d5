//! Datagrams between endpoints of one process: inboxes under names.
//!
//! Sending puts a copy into the receiver's inbox and calls its thread if that waits; the system is
//! asked for nothing else. An inbox that is full takes nothing more, as a socket's buffer does. Does
//! not know what datagrams hold.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use super::number_of;
use crate::address::Address;
use crate::driver::{Link, LinkError, Received, Sent};
use crate::reactor::clock;
use crate::time::Instant;

/// The longest datagram: as over streams.
const DATAGRAM_BYTES_MAX: usize = 64 * 1_024;

/// Datagrams that wait in an inbox, at the most.
const LETTERS_MAX: usize = 16 * 1_024;

/// Their bytes, at the most.
const BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// Buffers kept for datagrams to come.
const SPARE_MAX: usize = 64;

/// All inboxes of the process.
static INBOXES: RwLock<BTreeMap<u64, Weak<Inbox>>> = RwLock::new(BTreeMap::new());

/// Numbers endpoints that have no name.
static CALLERS: AtomicU64 = AtomicU64::new(1);

/// Opens the endpoint called `name`.
///
/// # Errors
///
/// [`LinkError::InUse`] when there is one; [`LinkError::Unresolved`] when that is no name.
pub fn listen(name: &str) -> Result<Arc<dyn Link>, LinkError> {
    let link = Memory::open(number(name)?).ok_or_else(|| LinkError::InUse(name.to_owned()))?;
    Ok(Arc::new(link))
}

/// An endpoint from which to reach the one called `name`, whether or not there is one yet.
///
/// # Errors
///
/// [`LinkError::Unresolved`] when that is no name.
pub fn dial(name: &str) -> Result<(Arc<dyn Link>, Address), LinkError> {
    let to = number(name)?;
    let from = CALLERS.fetch_add(1, Ordering::Relaxed);
    let link = Memory::open(from).ok_or_else(|| LinkError::Other("no number left".to_owned()))?;
    Ok((Arc::new(link), Address::Local(to)))
}

fn number(name: &str) -> Result<u64, LinkError> {
    let is_name = !name.is_empty() && !name.contains(['/', ',', ':']);
    if is_name { Ok(number_of(name.as_bytes())) } else { Err(LinkError::Unresolved(name.into())) }
}

/// An endpoint of this process.
#[derive(Debug)]
pub struct Memory {
    inbox: Arc<Inbox>,
}

#[derive(Debug)]
struct Inbox {
    number: u64,
    post: Mutex<Post>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Post {
    letters: VecDeque<(Address, Vec<u8>)>,
    bytes: usize,
    spare: Vec<Vec<u8>>,
    is_rung: bool,
    is_waited_on: bool,
}

impl Inbox {
    fn post(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Post {
    /// Moves the first letter into the buffer.
    fn open_letter(&mut self, buffer: &mut [u8]) -> Option<Received> {
        let (from, letter) = self.letters.pop_front()?;
        self.bytes -= letter.len();
        let len = letter.len().min(buffer.len());
        buffer[..len].copy_from_slice(&letter[..len]);
        if self.spare.len() < SPARE_MAX {
            self.spare.push(letter);
        }
        Some(Received::Datagram { len, from })
    }

    fn take_in(&mut self, from: Address, datagram: &[u8]) -> Sent {
        if self.letters.len() == LETTERS_MAX || self.bytes + datagram.len() > BYTES_MAX {
            return Sent::Full;
        }
        let mut letter = self.spare.pop().unwrap_or_default();
        letter.clear();
        letter.extend_from_slice(datagram);
        self.bytes += datagram.len();
        self.letters.push_back((from, letter));
        Sent::Yes
    }
}

impl Memory {
    fn open(number: u64) -> Option<Self> {
        let mut inboxes = INBOXES.write().unwrap_or_else(PoisonError::into_inner);
        if inboxes.get(&number).is_some_and(|inbox| inbox.strong_count() > 0) {
            return None;
        }
        let (post, changed) = (Mutex::default(), Condvar::new());
        let inbox = Arc::new(Inbox { number, post, changed });
        inboxes.insert(number, Arc::downgrade(&inbox));
        Some(Self { inbox })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut inboxes = INBOXES.write().unwrap_or_else(PoisonError::into_inner);
        inboxes.remove(&self.inbox.number);
    }
}

impl Link for Memory {
    fn local(&self) -> Address {
        Address::Local(self.inbox.number)
    }

    fn datagram_bytes_max(&self) -> usize {
        DATAGRAM_BYTES_MAX
    }

    fn send(&self, to: Address, datagram: &[u8]) -> Sent {
        let Address::Local(to) = to else { return Sent::Failed };
        let inboxes = INBOXES.read().unwrap_or_else(PoisonError::into_inner);
        let inbox = inboxes.get(&to).and_then(Weak::upgrade);
        drop(inboxes);
        let Some(inbox) = inbox else { return Sent::Failed };
        if datagram.len() > DATAGRAM_BYTES_MAX {
            return Sent::Failed;
        }
        let mut post = inbox.post();
        let sent = post.take_in(self.local(), datagram);
        let must_call = post.is_waited_on;
        drop(post);
        if must_call {
            inbox.changed.notify_one();
        }
        sent
    }

    fn receive(&self, buffer: &mut [u8], until: Option<Instant>) -> Received {
        let mut post = self.inbox.post();
        loop {
            if std::mem::take(&mut post.is_rung) {
                return Received::Nothing;
            }
            if let Some(received) = post.open_letter(buffer) {
                return received;
            }
            let left = until.map(clock::left);
            if left == Some(None) {
                return Received::Nothing;
            }
            post.is_waited_on = true;
            post = match left.flatten() {
                None => self.inbox.changed.wait(post).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let waited = self.inbox.changed.wait_timeout(post, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            post.is_waited_on = false;
        }
    }

    fn take(&self, buffer: &mut [u8]) -> Received {
        self.inbox.post().open_letter(buffer).unwrap_or(Received::Nothing)
    }

    fn wake(&self) {
        let mut post = self.inbox.post();
        post.is_rung = true;
        drop(post);
        self.inbox.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[test]
    fn a_name_is_had_by_one_at_a_time_and_its_callers_outlive_it() {
        let (caller, to) = dial("memory-restart").unwrap();
        assert_eq!(caller.send(to, b"early"), Sent::Failed);
        let first = listen("memory-restart").unwrap();
        let taken = listen("memory-restart").map(drop);
        assert_eq!(taken, Err(LinkError::InUse("memory-restart".to_owned())));
        drop(first);
        let second = listen("memory-restart").unwrap();
        assert_eq!(caller.send(to, b"hello"), Sent::Yes);
        let mut buffer = [0; 16];
        let came = second.receive(&mut buffer, None);
        assert_eq!(came, Received::Datagram { len: 5, from: caller.local() });
        assert_eq!(second.send(caller.local(), b"good day"), Sent::Yes);
        assert_eq!(caller.take(&mut buffer[..4]), Received::Datagram { len: 4, from: to });
        assert_eq!(caller.take(&mut buffer), Received::Nothing);
    }

    #[test]
    fn a_full_inbox_takes_nothing_and_a_wait_ends_by_time_and_by_wake() {
        let inbox = listen("memory-full").unwrap();
        let (caller, to) = dial("memory-full").unwrap();
        let letter = vec![7; 60_000];
        let taken = (0..).take_while(|_| caller.send(to, &letter) == Sent::Yes).count();
        assert_eq!(taken, BYTES_MAX / letter.len());
        inbox.wake();
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        assert_eq!(inbox.receive(&mut buffer, None), Received::Nothing);
        while inbox.take(&mut buffer) != Received::Nothing {}
        let until = clock::now() + Duration::from_millis(2);
        assert_eq!(inbox.receive(&mut buffer, Some(until)), Received::Nothing);
        assert!(clock::now() >= until);
        for place in ["", "a/b", "a:1", "a,b"] {
            assert_eq!(listen(place).map(drop), Err(LinkError::Unresolved(place.to_owned())));
        }
    }
}
