//! The kinds of error that only calls of `exactly_once` reach, and what a store's failure becomes.

use std::cell::RefCell;
use std::error::Error as _;

use rpc_runtime::client::journal::JournalError;
use rpc_runtime::ids::Space;
use rpc_runtime::server::Running;
use rpc_runtime::sim::SimDisk;
use rpc_runtime::store::Durable;
use rpc_runtime::store::memory::{MemoryStore, MemoryTx, StoreFaults};
use rpc_runtime::wire::{self, Pdu};
use rpc_runtime::{Channel, ErrorKind, Execution, Journal, Resolution, reactor, sim};

use super::kinds::{Cell, lasting_place, own_place, within};
use super::middle::Middle;
use super::*;
use Execution::{NotExecuted, Unknown};

#[service(name = "till")]
trait Till {
    /// Takes `cents`, and its time.
    #[rpc(exactly_once, timeout = "9s")]
    fn pay(&self, cents: u64) -> Result<u64, CallError>;
    #[rpc(at_least_once)]
    fn total(&self) -> Result<u64, CallError>;
}

/// A till around an open transaction.
struct Open<'t>(RefCell<&'t mut MemoryTx>);

impl Till for Open<'_> {
    fn pay(&self, cents: u64) -> Result<u64, CallError> {
        rest(Duration::from_millis(100));
        let total = self.total()? + cents;
        self.0.borrow_mut().put(b"total", &total.to_le_bytes());
        Ok(total)
    }

    fn total(&self) -> Result<u64, CallError> {
        let row = self.0.borrow_mut().get(b"total").map_err(CallError::failed)?;
        Ok(row.map_or(0, |row| u64::from_le_bytes(row.try_into().expect("8 bytes"))))
    }
}

/// A till in that store.
fn till(place: &str, store: MemoryStore) -> Running {
    let store = Durable::start(store).unwrap();
    let service = TillService::durable(&store, |tx, call| call.on(&Open(RefCell::new(tx))));
    Server::bind(place).unwrap().export(service).spawn().unwrap()
}

/// A till that comes back with an empty store: somebody restored the wrong backup.
pub(crate) fn generation_ended() -> Vec<Cell> {
    let case = Case::of(|url| {
        let url = lasting_place(url, 20_002);
        let first = till(&url, MemoryStore::new());
        let client = TillClient::connect(&url).unwrap();
        assert_eq!(client.pay(1).unwrap(), 1);
        first.stop();
        let call = client.start().pay(1);
        rest(Duration::from_millis(150));
        let _second = till(&url, MemoryStore::new());
        call.wait().unwrap_err()
    });
    vec![Cell::new("GenerationEnded", Unknown, case)]
}

/// As a cloned machine would, under the same name: the call, before it, with another content.
fn clone(datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut both = Vec::new();
    if let Ok((envelope, Pdu::Request(request), _)) = wire::decode(datagram)
        && envelope.space == Space::Durable
    {
        let other = wire::Request { digest: request.digest ^ 1, ..request };
        let mut out = Vec::new();
        wire::encode(&envelope, &Pdu::Request(other), &mut out);
        both.push(out);
    }
    both.push(datagram.to_vec());
    both
}

pub(crate) fn identity_in_use() -> Vec<Cell> {
    let case = Case::of(|url| {
        let server = till(&own_place(url), MemoryStore::new());
        let middle = Middle::before(&server.url(), clone);
        TillClient::connect(&middle.url).unwrap().pay(1).unwrap_err()
    });
    vec![Cell::new("IdentityInUse", NotExecuted, case)]
}

/// A client with a journal on that disk.
fn journaling(url: &str, disk: &SimDisk) -> TillClient {
    let world = sim::current_world().unwrap_or_else(reactor::world);
    let journal = Journal::open_file(Box::new(disk.open().unwrap()), world).unwrap();
    TillClient::on(&Channel::connect(url).unwrap().with_journal(&journal).unwrap())
}

/// A journal whose disk is full: before a call leaves, and before the server's promise never to run
/// it is told, which a later life would not know of.
pub(crate) fn journal_failed() -> Vec<Cell> {
    let before = Case::of(|url| {
        let server = till(&own_place(url), MemoryStore::new());
        let disk = SimDisk::new(1, 0);
        let client = journaling(&server.url(), &disk);
        assert_eq!(client.pay(1).unwrap(), 1);
        disk.set_room(0);
        let error = client.pay(1).unwrap_err();
        disk.set_room(usize::MAX);
        assert_eq!(client.pay(1).unwrap(), 2, "the other never left");
        assert!(error.source().is_some_and(|source| source.is::<JournalError>()), "{error:?}");
        error
    });
    let afterwards = Case::of(|url| {
        let server = till(&own_place(url), MemoryStore::new());
        let disk = SimDisk::new(1, 0);
        let middle = Middle::before(&server.url(), |datagram| vec![datagram.to_vec()]);
        let client = journaling(&middle.url, &disk);
        assert_eq!(client.pay(1).unwrap(), 1);
        middle.cut(true);
        let call = client.start().pay(1);
        rest(Duration::from_millis(50));
        let id = call.id().expect("it has a place");
        call.cancel();
        assert_eq!(call.wait().unwrap_err().execution(), Unknown);
        disk.set_room(0);
        middle.cut(false);
        let error = client.resolve(id).unwrap_err();
        disk.set_room(usize::MAX);
        assert_eq!(client.resolve(id).unwrap(), Resolution::NotExecuted, "there is room again");
        error
    });
    vec![
        Cell::new("JournalFailed", NotExecuted, before),
        Cell::new("JournalFailed, afterwards", Unknown, afterwards),
    ]
}

/// A call of `exactly_once` to a server that never heard of stores.
pub(crate) const fn without_a_store() -> Case {
    Case::of(|url| TillClient::connect(url).unwrap().pay(1).unwrap_err())
}

/// A store that breaks in every transaction of a call that may run again.
pub(crate) const fn failing_store() -> Case {
    Case::of(|url| {
        let store = MemoryStore::new();
        let server = till(&own_place(url), store.clone());
        let client = TillClient::connect(&server.url()).unwrap();
        assert_eq!(client.total().unwrap(), 0);
        store.set_faults(StoreFaults { lost_before_commit: 1.0, ..StoreFaults::default() });
        client.total().unwrap_err()
    })
}

/// Nothing is committed, and nothing else is true than that: the client asks on until its deadline.
#[test]
fn a_full_disk_leaves_an_exactly_once_call_unknown_until_it_is_resolved() {
    let case = Case::of(|url| {
        let disk = SimDisk::new(1, 0);
        let server = till(&own_place(url), MemoryStore::open(&disk).unwrap());
        let client = TillClient::connect(&server.url()).unwrap();
        assert_eq!(client.pay(1).unwrap(), 1);
        disk.set_room(0);
        let error = client.with(within(600)).pay(1).unwrap_err();
        disk.set_room(usize::MAX);
        // The last attempt may have found room, or the server itself has stopped it at the deadline and
        // said so in time. Whatever it was, the server says so now.
        let ran = error.execution() == Unknown && {
            let answer = client.resolve(error.call()).unwrap();
            let ran = matches!(answer, Resolution::Returned(_));
            assert!(ran || answer == Resolution::NotExecuted, "{answer:?}");
            ran
        };
        assert_eq!(client.pay(1).unwrap(), 2 + u64::from(ran), "the truth: {ran}");
        error
    });
    for (_, error) in case.everywhere() {
        let told = (error.kind(), error.execution());
        let honest = [(ErrorKind::NoReply, Unknown), (ErrorKind::Cancelled, NotExecuted)];
        assert!(honest.contains(&told), "{error}");
    }
}
