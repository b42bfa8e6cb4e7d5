//! Every store against the same promises, and each against its own disasters: killed processes, a
//! full disk, a database that goes away.
//!
//! The PostgreSQL tests start a server of their own from what is installed; where none is, they say
//! so and pass, unless `RPC_TEST_POSTGRES` is set.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a skipped test says why")]

#[path = "stores/conformance.rs"]
mod conformance;
#[path = "stores/disasters.rs"]
mod disasters;
#[path = "stores/postgres.rs"]
mod postgres;
#[path = "stores/proxy.rs"]
mod proxy;
#[path = "stores/server.rs"]
mod server;
#[path = "stores/services.rs"]
mod services;

use conformance::Place;
use rpc_runtime::sim::SimDisk;
use rpc_runtime::store::memory::MemoryStore;
use rpc_runtime::store::redb::Redb;
use rpc_runtime::store::{Durable, StoreErrorKind};

#[test]
fn the_simulated_store_keeps_all_promises() {
    let disk = SimDisk::new(1, 0);
    conformance::all(&Place { open: || MemoryStore::open(&disk).unwrap(), another: None });
    let disk = SimDisk::new(2, 0);
    let store = MemoryStore::open(&disk).unwrap();
    conformance::all(&Place { open: || store.clone(), another: Some(&|| store.clone()) });
}

#[test]
fn the_embedded_store_keeps_all_promises() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/when/missing");
    conformance::all(&Place { open: || Redb::open(&path).unwrap(), another: None });
}

#[test]
fn an_embedded_store_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = Durable::open(Redb::open(folder.path()).unwrap(), conformance::world()).unwrap();
    let refused = Redb::open(folder.path()).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::InUse, "{refused}");
    drop(first);
    Redb::open(folder.path()).unwrap();
}

#[test]
fn a_place_that_is_no_store_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "no folder").unwrap();
    let refused = Redb::open(&file).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::CannotOpen, "{refused}");
    assert!(refused.to_string().contains("a file"), "{refused}");

    std::fs::write(folder.path().join("store.redb"), "not a database at all").unwrap();
    let refused = Redb::open(folder.path()).unwrap_err();
    let expected = [StoreErrorKind::CannotOpen, StoreErrorKind::Corrupt];
    assert!(expected.contains(&refused.kind()), "{refused:?}");
}
