//! Two sides of a change meet: one is live at a binder, the other calls it and wants to be live beside
//! it.

use std::sync::atomic::{AtomicU32, Ordering};

use rpc_binder::daemon;
use rpc_binder::registry::Limits;
use rpc_runtime::ids::ServerId;
use rpc_runtime::server::Running;
use rpc_runtime::time::Duration;
use rpc_runtime::{Binder, CallError, Channel, ErrorKind, Execution, Server};

use crate::side::{Change, Clerk, Direct, Import, Side};

/// How long a client asks for a service that is not there.
const PATIENCE: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) direct: Direct,
    pub(crate) import: Import,
    /// The errors behind them, as the caller reads them.
    pub(crate) direct_error: Option<String>,
    pub(crate) import_error: Option<String>,
    /// What the binder said to the second server, if it was refused.
    pub(crate) refusal: Option<String>,
    /// How often the live server's handler ran, for two calls that may have worked.
    ran: u32,
    executions: Vec<Execution>,
}

impl Met {
    /// What failed did not run and says so, and what worked ran once.
    pub(crate) fn assert_certain(&self, change: &Change, what: &str) {
        assert!(self.executions.iter().all(|it| *it == Execution::NotExecuted), "{what}");
        let worked = [self.direct == Direct::Works, self.import == Import::Found];
        let expected: u32 = worked.into_iter().map(u32::from).sum();
        assert_eq!(self.ran, expected, "{what}");
        let direct = self.direct_error.as_deref().unwrap_or_default();
        let import = self.import_error.as_deref().unwrap_or_default();
        for error in [direct, import] {
            assert!(error.is_empty() || error.starts_with("not executed: "), "{what}");
        }
        match self.direct {
            Direct::Works | Direct::Silent => assert_eq!(direct, "", "{what}"),
            Direct::Unknown => {
                assert!(
                    direct.contains("no method `") || direct.contains("no service `"),
                    "{what}"
                );
            }
            Direct::Changed => assert!(
                direct.contains("exists there with another signature: ")
                    && direct.contains("; here it is "),
                "{what}"
            ),
        }
        match self.import {
            Import::Found => assert_eq!(import, "", "{what}"),
            Import::NoServer => assert!(import.contains("no server named \"shop"), "{what}"),
            Import::Mismatch => {
                assert!(change.words.iter().any(|words| import.contains(words)), "{what}");
                assert!(import.ends_with("build client and server from the same interface"));
            }
        }
    }
}

/// A free place at a host address that nobody else has: what this process remembers of one that ended
/// says nothing of the next.
fn anywhere() -> String {
    static HOSTS: AtomicU32 = AtomicU32::new(0);
    let host = HOSTS.fetch_add(1, Ordering::Relaxed);
    format!("udp://127.1.{}.{}:0", host / 250, host % 250 + 1)
}

/// A client of `other` calls a server of `live`, and a server of `other` registers beside it.
pub(crate) fn meet(change: &Change, other: &Side, live: &Side) -> Met {
    let names = daemon::start(&anywhere(), Limits::default()).unwrap();
    let binder = Binder::at(&names.url()).unwrap();
    let clerk = Clerk::default();
    let server = serve(1, live, &clerk, &binder);
    let server = server.unwrap_or_else(|error| panic!("{}: {error}", change.says));

    let channel = Channel::connect(&server.url()).unwrap();
    let direct = (other.call)(&channel);
    let is_told = direct.is_err() || clerk.ran() == 1;
    let imported = import(other, &binder);
    let beside = serve(2, other, &Clerk::default(), &binder);
    let executions = [direct.as_ref().err(), imported.as_ref().err(), beside.as_ref().err()];
    let masked = |error: &CallError| error.to_string().replace(&names.url(), "BINDER");
    Met {
        direct: match &direct {
            Ok(()) if is_told => Direct::Works,
            Ok(()) => Direct::Silent,
            Err(error) if error.kind() == ErrorKind::UnknownMethod => Direct::Unknown,
            Err(error) if error.kind() == ErrorKind::ChangedMethod => Direct::Changed,
            Err(error) => panic!("{}: {error}", change.says),
        },
        import: match imported.as_ref().map_err(CallError::kind) {
            Ok(()) => Import::Found,
            Err(ErrorKind::InterfaceMismatch) => Import::Mismatch,
            Err(ErrorKind::NoServer) => Import::NoServer,
            Err(other) => panic!("{}: {other:?}", change.says),
        },
        ran: clerk.ran(),
        executions: executions.into_iter().flatten().map(CallError::execution).collect(),
        direct_error: direct.as_ref().err().map(masked),
        import_error: imported.as_ref().err().map(masked),
        refusal: beside.as_ref().err().map(|error| {
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{}: {error}", change.says);
            masked(error)
        }),
    }
}

/// Finds a server by way of the binder and calls it.
fn import(side: &Side, binder: &Binder) -> Result<(), CallError> {
    let binder = binder.clone().patience(PATIENCE);
    let interface = (side.interface)();
    let channel = Channel::import_interface(&binder, interface, &side.requirement())?;
    (side.call)(&channel)
}

/// One worker and nothing beside it: calls run in the order in which they came.
fn serve(id: u64, side: &Side, clerk: &Clerk, binder: &Binder) -> Result<Running, CallError> {
    let server = Server::bind(&anywhere())?.id(ServerId(id)).workers(1).quick_handlers_here(false);
    (side.serve)(server, clerk).register(binder).spawn()
}
