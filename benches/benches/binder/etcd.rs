//! etcd: a single node of its own, asked through its JSON gateway over connections that stay open.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Trouble, rate};

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node that was started for this run.
#[derive(Debug)]
pub(crate) struct Etcd {
    child: Child,
    address: String,
    /// Names of keys and leases that were given so far.
    last: AtomicU64,
    /// Where it keeps what it is given.
    _folder: TempDir,
}

impl Etcd {
    pub(crate) fn start() -> Result<Self, Trouble> {
        let folder = tempfile::tempdir()?;
        let [clients, peers] = [free()?, free()?];
        let (for_clients, for_peers) = (format!("http://{clients}"), format!("http://{peers}"));
        let child = Command::new("etcd")
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .args(["--listen-client-urls", &for_clients, "--advertise-client-urls", &for_clients])
            .args(["--listen-peer-urls", &for_peers, "--initial-advertise-peer-urls", &for_peers])
            .args(["--initial-cluster", &format!("default={for_peers}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let etcd = Self { child, address: clients, last: AtomicU64::new(1), _folder: folder };
        let started = Instant::now();
        while Caller::connect(&etcd.address)
            .and_then(|mut caller| caller.put("probe", None))
            .is_err()
        {
            if started.elapsed() > PATIENCE {
                return Err("it does not start".into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(etcd)
    }

    /// Durable registrations a second by so many callers: a lease each, and a key that goes with it. That is
    /// what lasts of a server that is to be forgotten when it falls silent.
    pub(crate) fn registrations(&self, callers: usize, turn: Duration) -> Result<f64, Trouble> {
        self.by_callers(callers, turn, |caller, name, lease| {
            caller.grant(lease)?;
            caller.put(name, Some(lease))
        })
    }

    /// Durable puts a second by so many callers: keys that stay.
    pub(crate) fn puts(&self, callers: usize, turn: Duration) -> Result<f64, Trouble> {
        self.by_callers(callers, turn, |caller, name, _lease| caller.put(name, None))
    }

    fn by_callers(
        &self,
        callers: usize,
        turn: Duration,
        work: impl Fn(&mut Caller, &str, u64) -> Result<(), Trouble> + Sync,
    ) -> Result<f64, Trouble> {
        thread::scope(|threads| {
            let callers: Vec<_> = (0..callers)
                .map(|_| {
                    let work = &work;
                    threads.spawn(move || -> Result<f64, String> {
                        let words = |error: Trouble| error.to_string();
                        let mut caller = Caller::connect(&self.address).map_err(words)?;
                        rate(turn, || {
                            let number = self.last.fetch_add(1, Ordering::Relaxed);
                            work(&mut caller, &format!("server/{number}"), number).map(|()| 1)
                        })
                        .map_err(words)
                    })
                })
                .collect();
            let mut sum = 0.0;
            for caller in callers {
                sum += caller.join().map_err(|_| "a caller panicked")??;
            }
            Ok(sum)
        })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _exit = self.child.wait();
    }
}

fn free() -> std::io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// A connection to the gateway.
struct Caller {
    reader: BufReader<TcpStream>,
}

/// As long as what a binder keeps of a server, about: two hundred bytes, in base64.
const VALUE_BASE64_BYTES: usize = 268;

impl Caller {
    fn connect(address: &str) -> Result<Self, Trouble> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// `POST /v3/kv/put`: key and value in base64, of which any letters will do.
    fn put(&mut self, key: &str, lease: Option<u64>) -> Result<(), Trouble> {
        let key: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
        let key = format!("{key:A<32}");
        let value = "A".repeat(VALUE_BASE64_BYTES);
        let lease = lease.map(|lease| format!(r#","lease":"{lease}""#)).unwrap_or_default();
        self.post("/v3/kv/put", &format!(r#"{{"key":"{key}","value":"{value}"{lease}}}"#))
    }

    /// `POST /v3/lease/grant`: an hour.
    fn grant(&mut self, lease: u64) -> Result<(), Trouble> {
        self.post("/v3/lease/grant", &format!(r#"{{"TTL":"3600","ID":"{lease}"}}"#))
    }

    fn post(&mut self, path: &str, body: &str) -> Result<(), Trouble> {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: etcd\r\nContent-Length: {}\r\n\r\n", body.len());
        self.reader.get_mut().write_all((head + body).as_bytes())?;
        let (mut length, mut line) = (0, String::new());
        self.reader.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200") {
            return Err(format!("etcd says {line:?}").into());
        }
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok(())
    }
}
