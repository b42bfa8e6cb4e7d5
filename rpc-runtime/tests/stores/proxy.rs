//! A way to a PostgreSQL server that can be cut: in the moment that counts.
#![expect(clippy::disallowed_methods, reason = "somebody has to hand on what is said")]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use crate::server::Server;

/// The name of a server's socket in its folder.
const SOCKET: &str = ".s.PGSQL.5432";

/// Hands on what is said over connections to a server.
pub(crate) struct Proxy {
    folder: TempDir,
    cuts: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) fn before(server: &Server) -> Self {
        let folder = TempDir::with_prefix("proxy").unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let config = server.config();
        let host = config.split_whitespace().find_map(|word| word.strip_prefix("host="));
        let server = Path::new(host.expect("it has a socket")).join(SOCKET);
        let cuts = Arc::<AtomicBool>::default();
        let their_cuts = Arc::clone(&cuts);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(database) = UnixStream::connect(&server) else { continue };
                hand_on(client, database, &their_cuts);
            }
        });
        Self { folder, cuts }
    }

    pub(crate) fn config(&self) -> String {
        format!("host={} user=bank dbname=postgres", self.folder.path().display())
    }

    /// The next connection that asks for a COMMIT breaks then; the server gets it.
    pub(crate) fn cut_the_next_commit(&self) {
        self.cuts.store(true, Ordering::SeqCst);
    }

    /// Whether that has happened.
    pub(crate) fn has_cut(&self) -> bool {
        !self.cuts.load(Ordering::SeqCst)
    }
}

fn hand_on(client: UnixStream, database: UnixStream, cuts: &Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
    let (mut from_database, mut to_database) = (database.try_clone().unwrap(), database);
    let cuts = Arc::clone(cuts);
    std::thread::spawn(move || {
        let _ended = std::io::copy(&mut from_database, &mut to_client);
        let _gone = to_client.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_client.read(&mut buffer) {
            let said = &buffer[..length];
            let is_commit = said.windows(6).any(|word| word == b"COMMIT");
            let is_cut = is_commit && cuts.swap(false, Ordering::SeqCst);
            if is_cut {
                from_client.shutdown(Shutdown::Both).unwrap();
            }
            if to_database.write_all(said).is_err() || is_cut {
                // The server is not told that nobody listens.
                return std::mem::forget(to_database);
            }
        }
        let _gone = to_database.shutdown(Shutdown::Both);
    });
}
