//! A binder as a process of its own, and a server and clients for it. Whoever waits does so by asking,
//! never by sleeping for long.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rpc_runtime::binder::{
    Binder, BinderError, DirectoryClient, Lease, Registration, Traits, Version, VersionRequirement,
    describe,
};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::server::Running;
use rpc_runtime::time::Duration;
use rpc_runtime::{CallError, Server, service};

/// Counts.
#[service(name = "counter", version = "1.0")]
pub(crate) trait Counter {
    /// Adds one.
    #[rpc(timeout = "5s")]
    fn add(&self) -> Result<u64, CallError>;
    /// Adds one if it arrives.
    #[rpc(maybe)]
    fn bump(&self);
}

#[derive(Default)]
pub(crate) struct Shared(pub(crate) Arc<AtomicU64>);

impl Counter for Shared {
    fn add(&self) -> Result<u64, CallError> {
        Ok(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn bump(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) out: BufReader<ChildStdout>,
    pub(crate) url: String,
}

impl Daemon {
    /// One whose registrations do not last.
    pub(crate) fn start(listen: &str, lease: &str) -> Self {
        Self::start_in(Path::new("none"), listen, lease)
    }

    /// One whose registrations last in that folder.
    pub(crate) fn start_in(store: &Path, listen: &str, lease: &str) -> Self {
        let child = command(&["serve", "--listen", listen, "--lease", lease, "--json"])
            .arg("--store")
            .arg(store)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self::of(child)
    }

    /// One that was started with `--json` and its stdout at hand.
    pub(crate) fn of(mut child: Child) -> Self {
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = ready["listening"].as_str().unwrap().to_owned();
        Self { child, out, url }
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _exit = self.child.wait();
    }
}

/// Where a later life finds the place of a former one free: no other process has the address, and
/// the system gives the port to nobody who does not ask for it.
pub(crate) fn lasting_place(port: u16) -> String {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    format!("udp://127.{}.{middle}.{low}:{port}", high | 128)
}

pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rpc-binder"));
    command
        .args(words)
        .env_remove("RPC_BINDER")
        .env_remove("RPC_BINDER_STORE")
        .env_remove("RPC_BINDER_KEY")
        .env_remove("RPC_BINDER_ACCESS")
        .env_remove("RPC_BINDER_HTTP");
    command
}

pub(crate) fn run(words: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

pub(crate) fn counter(binder: &Binder, count: &Arc<AtomicU64>) -> Running {
    let counter = CounterService::new(Shared(Arc::clone(count)));
    Server::bind("udp://127.0.0.1:0").unwrap().export(counter).register(binder).spawn().unwrap()
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never came: {what}");
}

pub(crate) fn live(binder: &Binder) -> usize {
    binder.lookup("counter", &VersionRequirement::any()).map_or(0, |entries| entries.len())
}

/// What a life of a server tells the binder.
pub(crate) fn life_of(server: ServerId, incarnation: Incarnation, address: &str) -> Registration {
    Registration {
        name: "counter".into(),
        version: Version::new(1, 0),
        server,
        incarnation,
        addresses: vec![address.to_owned()],
        fingerprint: COUNTER_INTERFACE.fingerprint(),
        traits: Traits::default(),
        claim: 1,
    }
}

/// Registers as a server does that is no server.
pub(crate) fn enter(
    directory: &DirectoryClient,
    registration: &Registration,
) -> rpc_runtime::Result<Lease, BinderError> {
    let methods = Some(describe(&COUNTER_INTERFACE));
    directory.start().register(registration, methods).wait()
}
