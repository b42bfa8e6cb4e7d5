//! Servers that drain while a large reply is under way.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::{Arc, Mutex};

use rpc_runtime::sim::{self, Ended, Simulation};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::{CallError, Server, service};

#[service(name = "archive", version = "1.0")]
trait Archive {
    /// So many bytes.
    #[rpc(timeout = "30s")]
    fn read(&self, bytes: u32) -> Result<Vec<u8>, CallError>;
}

struct Shelf;

impl Archive for Shelf {
    fn read(&self, bytes: u32) -> Result<Vec<u8>, CallError> {
        Ok(vec![7; bytes as usize])
    }
}

/// A client reads a million bytes over a long way, and the server drains when it has begun to send
/// them; what the client was told of, and how long the drain took.
fn drained_while_read(client_dies: bool) -> (Option<Result<usize, CallError>>, Duration) {
    let (told, took) = <(Arc<Mutex<_>>, Arc<Mutex<_>>)>::default();
    let (learned, passed) = (Arc::clone(&told), Arc::clone(&took));
    let simulation = Simulation::new(5);
    simulation.with(|control| {
        control.net.set_latency(Duration::from_millis(40));
        let (server, client) = (control.add_host("archive"), control.add_host("reader"));
        control.spawn(server, "main", true, move || {
            let bound = Server::bind("sim://archive").unwrap();
            let running = bound.export(ArchiveService::new(Shelf)).spawn().unwrap();
            sim::sleep(Duration::from_millis(400));
            let begun = sim::now();
            assert!(running.drain(Duration::from_secs(30)).is_complete());
            *passed.lock().unwrap() = Some(sim::now().since(begun));
        });
        control.spawn(client, "main", !client_dies, move || {
            let archive = ArchiveClient::connect("sim://archive").unwrap();
            assert_eq!(archive.read(1).unwrap(), [7]);
            let end = archive.read(1_000_000).map(|bytes| bytes.len());
            *learned.lock().unwrap() = Some(end);
        });
        if client_dies {
            control.at(Instant::from_micros(600_000), move |control| control.crash(client));
        }
    });
    let hour = Instant::from_micros(3_600_000_000);
    assert_eq!(simulation.run_until_finished(hour), Ended::Reached);
    (told.lock().unwrap().take(), took.lock().unwrap().take().unwrap())
}

#[test]
fn a_large_reply_ends_before_its_server_does() {
    let (told, took) = drained_while_read(false);
    assert_eq!(told.unwrap().unwrap(), 1_000_000);
    assert!(took > Duration::from_millis(500), "it was under way for long: {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn nobody_waits_long_for_a_reader_that_is_gone() {
    let (told, took) = drained_while_read(true);
    assert!(told.is_none(), "{told:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}
