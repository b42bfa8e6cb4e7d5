//! A real etcd of several nodes on loopback, any of which can be killed and started again.

#![expect(clippy::disallowed_methods, reason = "nodes come up in real time")]

use std::error::Error;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a node may take until it is well.
const START: Duration = Duration::from_secs(60);
/// How long one look at it may take.
const LOOK: Duration = Duration::from_secs(2);
/// Where the nodes of this process's first cluster listen for clients; its peers, and its next clusters, have
/// the ports behind it.
const PORT: u16 = 12_379;
/// Clusters of one process that have ports of their own.
const CLUSTERS: u16 = 256;

/// How many clusters this process has started.
static STARTED: AtomicU16 = AtomicU16::new(0);

/// Whether etcd is installed.
#[must_use]
pub fn is_there() -> bool {
    let version = Command::new("etcd").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// A cluster, whose files are in one folder. Its nodes are killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    /// Where its nodes listen for clients; for each other at the next port.
    port: u16,
    nodes: Vec<Option<Child>>,
}

impl Cluster {
    /// Starts one, and waits until all of its nodes are well.
    ///
    /// # Errors
    ///
    /// Etcd does not start, in its words.
    pub fn start(folder: &Path, nodes: usize) -> Result<Self, Box<dyn Error>> {
        let number = STARTED.fetch_add(1, Ordering::Relaxed) % CLUSTERS;
        let (folder, port) = (folder.to_owned(), PORT + 2 * number);
        let mut cluster = Self { folder, port, nodes: Vec::new() };
        cluster.nodes.resize_with(nodes, || None);
        for node in 0..nodes {
            cluster.spawn(node)?;
        }
        for node in 0..nodes {
            cluster.wait(node)?;
        }
        Ok(cluster)
    }

    /// How many nodes it has, dead ones among them.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The URL of a store in it.
    #[must_use]
    pub fn url(&self, prefix: &str) -> String {
        let nodes = (0..self.nodes.len()).map(|node| place(node, self.port));
        format!("etcd://{}/{prefix}", nodes.collect::<Vec<_>>().join(","))
    }

    /// Kills a node with SIGKILL.
    ///
    /// # Errors
    ///
    /// The system's word.
    pub fn kill(&mut self, node: usize) -> Result<(), Box<dyn Error>> {
        if let Some(mut child) = self.nodes[node].take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Starts a node that was killed, and waits until it is well.
    ///
    /// # Errors
    ///
    /// It does not start, in its words.
    pub fn revive(&mut self, node: usize) -> Result<(), Box<dyn Error>> {
        self.spawn(node)?;
        self.wait(node)
    }

    fn spawn(&mut self, node: usize) -> Result<(), Box<dyn Error>> {
        let log = File::options().create(true).append(true).open(self.log(node))?;
        let name = |node: usize| format!("node{node}");
        let http = |node, port| format!("http://{}", place(node, port));
        let members = (0..self.nodes.len())
            .map(|node| format!("{}={}", name(node), http(node, self.port + 1)));
        let members = members.collect::<Vec<_>>().join(",");
        let (clients, peers) = (http(node, self.port), http(node, self.port + 1));
        let child = Command::new("etcd")
            .args(["--name", &name(node), "--logger", "zap", "--log-outputs", "stderr"])
            .arg("--data-dir")
            .arg(self.folder.join(name(node)))
            .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &members, "--initial-cluster-token", "rpc-tests"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        self.nodes[node] = Some(child);
        Ok(())
    }

    fn log(&self, node: usize) -> PathBuf {
        self.folder.join(format!("node{node}.log"))
    }

    fn wait(&mut self, node: usize) -> Result<(), Box<dyn Error>> {
        let until = Instant::now() + START;
        while !is_well(&place(node, self.port)) {
            let child = self.nodes[node].as_mut();
            let is_gone = child.is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if is_gone || Instant::now() > until {
                let log = std::fs::read_to_string(self.log(node)).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default();
                return Err(format!("etcd's node {node} does not start: {last}").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 0..self.nodes.len() {
            let _gone = self.kill(node);
        }
    }
}

/// An address of this process's own for each node.
fn place(node: usize, port: u16) -> String {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let node = u8::try_from(node).unwrap_or(u8::MAX) % 16;
    format!("127.{}.{middle}.{low}:{port}", 64 | high & 3 | node << 2)
}

/// Whether a node knows a leader and answers.
fn is_well(place: &str) -> bool {
    let look = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(place)?;
        stream.set_read_timeout(Some(LOOK))?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.contains("\"true\""))
    };
    look().unwrap_or(false)
}
