//! Durable services over real stores: what their callers see when a process is killed or a database
//! goes away in the middle of a call.
#![expect(clippy::disallowed_methods, reason = "callers and a slow handler of real processes")]

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use rpc_runtime::fault::Faults;
use rpc_runtime::reactor::Faulty;
use rpc_runtime::store::postgres::Postgres;
use rpc_runtime::store::redb::Redb;
use rpc_runtime::store::{Commit, Durable};
use rpc_runtime::{CallError, ErrorKind, Execution, Resolution, Server, service};

use crate::conformance::{Application, world};
use crate::disasters::Playing;
use crate::proxy::Proxy;
use crate::server::Server as Database;

const ACCOUNT: &str = "till";

#[service(name = "till")]
trait Till {
    /// Adds `cents`; what is in it then.
    #[rpc(exactly_once, timeout = "30s")]
    fn pay(&self, cents: u64) -> Result<u64, CallError>;
    /// The same, after `ms` in the transaction: its caller is gone by then.
    #[rpc(exactly_once, timeout = "1s")]
    fn pay_late(&self, cents: u64, ms: u64) -> Result<u64, CallError>;
    /// The same, for a caller who waits.
    #[rpc(exactly_once, timeout = "30s")]
    fn pay_slowly(&self, cents: u64, ms: u64) -> Result<u64, CallError>;
    /// The same, held in the transaction until it is let go.
    #[rpc(exactly_once, timeout = "30s")]
    fn pay_when_let_go(&self, cents: u64) -> Result<u64, CallError>;
    /// What is in it.
    #[rpc(at_least_once, timeout = "30s")]
    fn total(&self) -> Result<u64, CallError>;
}

/// A till around an open transaction.
struct Open<'o, 't, S: Application> {
    tx: RefCell<&'o mut S::Tx<'t>>,
    holds: &'o Holds,
}

/// Gets what lets a payment go, when it is dropped. With nobody to get it, none is held.
type Holds = Sender<Sender<()>>;

impl<S: Application> Till for Open<'_, '_, S> {
    fn pay(&self, cents: u64) -> Result<u64, CallError> {
        self.pay_slowly(cents, 0)
    }

    fn pay_late(&self, cents: u64, ms: u64) -> Result<u64, CallError> {
        self.pay_slowly(cents, ms)
    }

    fn pay_slowly(&self, cents: u64, ms: u64) -> Result<u64, CallError> {
        let total = self.total()? + cents;
        std::thread::sleep(Duration::from_millis(ms));
        S::set_balance(&mut self.tx.borrow_mut(), ACCOUNT, total);
        Ok(total)
    }

    fn pay_when_let_go(&self, cents: u64) -> Result<u64, CallError> {
        let total = self.total()? + cents;
        let (lets_go, held) = mpsc::channel();
        if self.holds.send(lets_go).is_ok() {
            let _let_go = held.recv();
        }
        S::set_balance(&mut self.tx.borrow_mut(), ACCOUNT, total);
        Ok(total)
    }

    fn total(&self) -> Result<u64, CallError> {
        Ok(S::balance(&mut self.tx.borrow_mut(), ACCOUNT))
    }
}

fn till<S: Application>(store: &Arc<Durable<S>>) -> TillService<S> {
    till_that_holds(store, mpsc::channel().0)
}

fn till_that_holds<S: Application>(store: &Arc<Durable<S>>, holds: Holds) -> TillService<S> {
    TillService::durable(store, move |tx, call| {
        call.on(&Open::<S> { tx: RefCell::new(tx), holds: &holds })
    })
}

/// What is in the till once all transactions that began before have ended.
fn total<S: Application>(store: &Durable<S>) -> u64 {
    let found = Arc::new(std::sync::Mutex::new(0));
    let theirs = Arc::clone(&found);
    store
        .commit(move |tx| {
            *theirs.lock().unwrap() = S::balance(tx, ACCOUNT);
            Commit::Undo
        })
        .unwrap();
    *found.lock().unwrap()
}

/// A child: serves a till at the address that it finds there, until it is killed. Told to lose, it
/// says nothing any more on the network, and says what is in the till.
pub(crate) fn serve(place: &Path) {
    let store = Arc::new(Durable::open(Redb::open(place.join("store")).unwrap(), world()).unwrap());
    let network = Faulty::new(world(), Faults::NONE, 1);
    let at = std::fs::read_to_string(place.join("address")).unwrap();
    let server = Server::bind_in(&network.world(), &at).unwrap().export(till(&store));
    let server = server.spawn().unwrap();
    println!("\nserves at {}", server.url());
    for line in std::io::stdin().lines() {
        assert_eq!(line.unwrap(), "lose");
        network.set_faults(Faults::default().loss(1.0));
        println!("\nin it are {}", total(&store));
    }
}

/// Starts a life of the till at `place`; its URL, which all lives have. No other process has the
/// address, and the system gives the port to nobody who does not ask for it.
fn begin(place: &Path) -> (Playing, String) {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let address = format!("127.{}.{middle}.{low}:20001", high | 128);
    std::fs::write(place.join("address"), address).unwrap();
    let mut child = Playing::itself("bank", place);
    let url = child.said("serves at ").expect("it serves");
    (child, url)
}

#[test]
fn what_became_of_a_call_is_told_by_the_next_life_of_a_server_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, url) = begin(folder.path());
    let till = TillClient::connect(&url).unwrap();
    assert_eq!(till.pay(5).unwrap(), 5);

    // Committed, and nobody was told.
    let done = till.pay_late(7, 2_000).unwrap_err();
    assert_eq!((done.kind(), done.execution()), (ErrorKind::NoReply, Execution::Unknown));
    child.child.stdin.as_mut().unwrap().write_all(b"lose\n").unwrap();
    assert_eq!(child.said("in it are ").as_deref(), Some("12"));
    child.kill();
    let (mut child, again) = begin(folder.path());
    assert_eq!(again, url);
    let Resolution::Returned(reply) = till.resolve(done.call()).unwrap() else {
        panic!("it was committed");
    };
    assert_eq!(reply.decode::<Result<u64, CallError>>().unwrap(), 12);

    // Begun, and killed before the commit.
    let lost = till.pay_late(100, 60_000).unwrap_err();
    assert_eq!(lost.execution(), Execution::Unknown);
    child.kill();
    let (mut child, _) = begin(folder.path());
    let resolution = till.resolve(lost.call()).unwrap();
    assert!(matches!(resolution, Resolution::NotExecuted), "{resolution:?}");

    // Under way over two deaths.
    let paying = std::thread::spawn({
        let url = url.clone();
        move || TillClient::connect(&url).unwrap().pay_slowly(3, 300)
    });
    std::thread::sleep(Duration::from_millis(150));
    child.kill();
    let (mut child, _) = begin(folder.path());
    std::thread::sleep(Duration::from_millis(150));
    child.kill();
    let (mut child, _) = begin(folder.path());
    assert_eq!(paying.join().unwrap().unwrap(), 15);
    assert_eq!(till.total().unwrap(), 15, "each payment counts once");
    child.kill();
}

/// The connection breaks in a COMMIT that takes the database a while: nobody is told that the call did
/// not run.
pub(crate) fn a_commit_that_outlives_its_connection_is_not_denied(
    store: Postgres,
    proxy: &Proxy,
    operator: &mut postgres::Client,
) {
    let slow = "CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_sleep(3); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON accounts
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION take_long()";
    let store = Arc::new(Durable::open(store, world()).unwrap());
    let server = Server::bind("udp://127.0.0.1:0").unwrap().export(till(&store)).spawn().unwrap();
    let till = TillClient::connect(&server.url()).unwrap();
    assert_eq!(till.pay(5).unwrap(), 5);
    operator.batch_execute(slow).unwrap();
    proxy.cut_the_next_commit();
    let late = till.pay_late(7, 0).unwrap_err();
    assert_eq!(late.execution(), Execution::Unknown, "{late}");
    assert!(proxy.has_cut());
    let Resolution::Returned(reply) = till.resolve(late.call()).unwrap() else {
        panic!("it was committed");
    };
    assert_eq!(reply.decode::<Result<u64, CallError>>().unwrap(), 12);
    assert_eq!(till.total().unwrap(), 12);
    let tidy = "DROP TRIGGER slow ON accounts; DELETE FROM accounts WHERE name = 'till'";
    operator.batch_execute(tidy).unwrap();
}

/// The database is killed while a handler works in its transaction, and comes back.
pub(crate) fn a_database_that_goes_away_in_a_call_costs_time_only(
    store: Postgres,
    database: &mut Database,
) {
    let store = Arc::new(Durable::open(store, world()).unwrap());
    let (holds, held) = mpsc::channel();
    let service = till_that_holds(&store, holds);
    let server = Server::bind("udp://127.0.0.1:0").unwrap().export(service).spawn().unwrap();
    let till = TillClient::connect(&server.url()).unwrap();
    assert_eq!(till.pay(5).unwrap(), 5);
    let paying = std::thread::spawn({
        let till = TillClient::connect(&server.url()).unwrap();
        move || till.pay_when_let_go(7)
    });
    let lets_go = held.recv_timeout(Duration::from_secs(20)).expect("it is in its transaction");
    drop(held); // it is held once
    database.crash();
    drop(lets_go);

    // Meanwhile nobody is told anything untrue.
    let meanwhile = till.pay_late(100, 0).unwrap_err();
    assert_eq!(meanwhile.execution(), Execution::Unknown, "{meanwhile}");
    database.run().unwrap();

    assert_eq!(paying.join().unwrap().unwrap(), 12);
    let resolution = till.resolve(meanwhile.call()).unwrap();
    assert!(matches!(resolution, Resolution::NotExecuted), "{resolution:?}");
    assert_eq!(till.total().unwrap(), 12, "each payment counts once");
    assert!(server.counters().not_committed > 0);
}

#[test]
fn a_store_of_another_version_or_in_use_is_refused_before_a_server_is_made_of_it() {
    use rpc_runtime::store::record::MetaRecord;
    use rpc_runtime::store::{RowKey, Store, StoreErrorKind};
    let folder = tempfile::tempdir().unwrap();
    let store = Redb::open(folder.path()).unwrap();
    let first = Durable::open(store, world()).unwrap();
    let in_use = Redb::open(folder.path()).unwrap_err();
    assert_eq!(in_use.kind(), StoreErrorKind::InUse);
    assert!(in_use.to_string().contains("stop that one first"), "{in_use}");
    let later = MetaRecord(2).to_row();
    first
        .commit(move |tx| {
            Commit::of(|| Redb::put(tx, RowKey::Format, &later).map(|()| Commit::Keep))
        })
        .unwrap();
    drop(first);
    let refused = Durable::open(Redb::open(folder.path()).unwrap(), world()).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::OtherVersion);
    let expected = "the store is of another version (its rows are of format 2, this release's of \
                    1): start the release that wrote it, or give this one an empty store";
    assert_eq!(refused.to_string(), expected);
}
