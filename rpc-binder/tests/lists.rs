//! A list of binders serves as long as one of them does, whatever the others suffer from.

use rpc_binder::daemon::Daemon;
use rpc_binder::registry::Limits;
use rpc_binder::registry::plan::Change;
use rpc_binder::store::{Found, Store};
use rpc_runtime::binder::VersionRequirement;
use rpc_runtime::server::Running;
use rpc_runtime::store::{StoreError, StoreErrorKind};
use rpc_runtime::{Binder, CallError, Server, scheme, service};

#[service(name = "bank", version = "1.0")]
trait Bank {
    /// Does nothing.
    fn ping(&self) -> Result<(), CallError>;
}

struct Vault;

impl Bank for Vault {
    fn ping(&self) -> Result<(), CallError> {
        Ok(())
    }
}

/// A store that cannot be reached.
#[derive(Debug)]
struct Away;

impl Store for Away {
    fn keep(&mut self, _changes: &[Change<'_>]) -> Result<(), StoreError> {
        Err(StoreError::new(StoreErrorKind::Lost, "it is away"))
    }
}

fn binder(kept: Option<(Box<dyn Store>, Found)>) -> Result<Running, CallError> {
    let (world, _place) = scheme::open("udp://127.0.0.1:0")?;
    let daemon = Daemon::new(world, Limits::default(), kept);
    Server::bind("udp://127.0.0.1:0")?.export(daemon.service()).spawn()
}

#[test]
fn a_binder_whose_store_is_away_does_not_keep_servers_from_the_others() -> Result<(), CallError> {
    let ill = binder(Some((Box::new(Away), Found::default())))?;
    let well = binder(None)?;
    let list = Binder::at(&format!("{},{}", ill.url(), well.url()))?;
    let _server = Server::bind("udp://127.0.0.1:0")?
        .export(BankService::new(Vault))
        .register(&list)
        .spawn()?;
    let found = Binder::at(&well.url())?.lookup("bank", &VersionRequirement::any()).unwrap();
    assert_eq!(found.len(), 1);
    BankClient::import(&list)?.ping()?;

    let alone = Binder::at(&ill.url())?;
    let server = Server::bind("udp://127.0.0.1:0")?.export(BankService::new(Vault));
    let refused = server.register(&alone).spawn().unwrap_err();
    assert!(refused.to_string().contains("it is away"), "{refused}");
    Ok(())
}

#[test]
fn a_binder_that_cannot_be_dialled_does_not_spoil_the_list() -> Result<(), CallError> {
    let well = binder(None)?;
    let list = Binder::at(&format!("udp://127.0.0.1,{}", well.url()))?; // the first has no port
    assert_eq!(list.lookup("bank", &VersionRequirement::any()).unwrap(), []);
    let nobody = Binder::at("udp://127.0.0.1,udp://127.0.0.2").unwrap_err();
    assert_eq!(nobody.kind(), rpc_runtime::ErrorKind::BadAddress);
    Ok(())
}
