//! The way to etcd's JSON gateway: one of its members answers, or all had their time.
//!
//! Each question has a deadline; a member that is away, or too slow, costs one attempt. Answers are of
//! bounded size. Does not know what is asked.

use std::io::{self, BufRead, BufReader, Read as _};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use rpc_runtime::driver::World;
use rpc_runtime::store::{StoreError, StoreErrorKind};
use rpc_runtime::time::{Duration, Instant};

use super::message::{Answer, EtcdRevision, Failure, Header};

/// How long one member is asked, in the first round over all members and in the later ones: one that has
/// lost the others may say nothing at all, and a slow cluster has its time all the same.
const ATTEMPTS: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_millis(600), Duration::from_millis(1_200)];
/// How long a stream may take to be opened.
const OPEN: Duration = Duration::from_secs(1);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_millis(500);
/// Pause after all members were asked.
const ROUND: Duration = Duration::from_millis(50);
/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Longest item of a stream, in bytes.
const ITEM_BYTES_MAX: u64 = 64 << 20;
/// What is shown of an answer that cannot be read, in bytes.
const SHOWN_BYTES: usize = 120;
/// Connections that are kept for each member.
const IDLE_MAX: usize = 12;

/// Has a member without a leader refuse, and end its streams, instead of waiting for one.
const WANTS_LEADER: (&str, &str) = ("Grpc-Metadata-hasleader", "true");
/// What such a member says before it does anything (etcd's `newUnaryInterceptor`).
const NO_LEADER: (i64, &str) = (14, "etcdserver: no leader");

/// gRPC's codes for failures.
const CODES: std::ops::RangeInclusive<i64> = 1..=16;
/// gRPC's codes for what may have been done all the same: unknown, deadline exceeded, aborted, internal,
/// unavailable.
const DOUBTFUL_CODES: [i64; 5] = [2, 4, 10, 13, 14];

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It was understood, and was not done.
    Refused {
        /// One of gRPC's codes.
        code: i64,
        /// In etcd's words.
        text: String,
        /// Whether an attempt before this one may have done it.
        is_doubtful: bool,
    },
    /// No member answered in time.
    Away {
        /// What the last of them did.
        text: String,
        /// Whether it may have been done all the same.
        is_doubtful: bool,
    },
}

impl Trouble {
    /// The same, where nothing of it matters that may have been done.
    pub(super) fn certain(self) -> Self {
        match self {
            Self::Refused { code, text, .. } => Self::Refused { code, text, is_doubtful: false },
            Self::Away { text, .. } => Self::Away { text, is_doubtful: false },
        }
    }

    /// The same as an error of a store.
    pub(super) fn into_error(self) -> StoreError {
        let (kind, text, is_doubtful) = match self {
            // Resource exhausted: its database is full, or it has too much to do.
            Self::Refused { code: 8, text, is_doubtful } => {
                (StoreErrorKind::DiskFull, text, is_doubtful)
            }
            Self::Refused { code: _, text, is_doubtful } => {
                (StoreErrorKind::Other, text, is_doubtful)
            }
            Self::Away { text, is_doubtful } => (StoreErrorKind::Lost, text, is_doubtful),
        };
        let error = StoreError::new(kind, text);
        if is_doubtful { error.doubtful() } else { error }
    }
}

/// A cluster.
#[derive(Debug)]
pub(super) struct Gateway {
    world: Arc<dyn World>,
    agent: ureq::Agent,
    endpoints: Vec<String>,
    /// The member that answered last.
    first: AtomicUsize,
    /// The cluster, as the first answer of all named it.
    cluster: OnceLock<u64>,
    /// The furthest revision that an answer has told of.
    head: AtomicI64,
}

/// How a stream came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By either end.
    Closed,
    /// By an item that is longer than any may be.
    TooLong,
}

impl Gateway {
    pub(super) fn new(world: Arc<dyn World>, endpoints: Vec<String>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT))
            .max_idle_connections(IDLE_MAX * endpoints.len())
            .max_idle_connections_per_host(IDLE_MAX)
            .build();
        Self {
            world,
            agent: config.into(),
            endpoints,
            first: AtomicUsize::new(0),
            cluster: OnceLock::new(),
            head: AtomicI64::new(0),
        }
    }

    /// Asks one member after the other, until one answers or `deadline`. What is asked may have been done
    /// several times then.
    pub(super) fn ask<A: Answer>(
        &self,
        path: &str,
        question: &impl Serialize,
        deadline: Instant,
    ) -> Result<A, Trouble> {
        let body = serde_json::to_vec(question).expect("text and numbers become JSON");
        let gate = self.world.gate();
        let mut is_doubtful = false;
        let mut text = "there was no time to ask it".to_owned();
        let mut attempts = ATTEMPTS.iter();
        let mut patience = ATTEMPTS[0];
        loop {
            patience = attempts.next().copied().unwrap_or(patience);
            let first = self.first.load(Ordering::Relaxed);
            for member in 0..self.endpoints.len() {
                let member = (first + member) % self.endpoints.len();
                let left = self.world.now().until(deadline);
                if left.is_zero() {
                    return Err(Trouble::Away { text, is_doubtful });
                }
                match self.attempt(member, path, &body, left.min(patience)) {
                    Ok(answer) => {
                        self.first.store(member, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(Trouble::Refused { code, text, .. }) => {
                        return Err(Trouble::Refused { code, text, is_doubtful });
                    }
                    Err(Trouble::Away { text: why, is_doubtful: may_be_done }) => {
                        text = format!("{}: {why}", self.endpoints[member]);
                        is_doubtful |= may_be_done;
                    }
                }
            }
            gate.wait(Some((self.world.now() + ROUND).min(deadline)));
        }
    }

    fn attempt<A: Answer>(
        &self,
        member: usize,
        path: &str,
        body: &[u8],
        patience: Duration,
    ) -> Result<A, Trouble> {
        let url = format!("http://{}{path}", self.endpoints[member]);
        let request = self.agent.post(&url).config().timeout_global(Some(patience)).build();
        let request = request.content_type("application/json");
        let request = request.header(WANTS_LEADER.0, WANTS_LEADER.1);
        let mut response = request.send(body).map_err(away)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let answer = body.read_to_vec().map_err(away)?;
        let answer: A = read(status, &answer)?;
        self.check(answer.header())?;
        Ok(answer)
    }

    /// Whether an answer is one of this cluster. Anything may sit at an endpoint and answer in JSON.
    pub(super) fn check(&self, header: Header) -> Result<(), Trouble> {
        let strange = |text| Err(Trouble::Away { text, is_doubtful: true });
        let (id, revision) = (header.cluster_id.0, header.revision.0);
        if id == 0 || revision <= 0 {
            return strange("what answers is not etcd: it names no cluster and no revision".into());
        }
        let known = *self.cluster.get_or_init(|| id);
        if id != known {
            let text =
                format!("it is of the cluster {id:x}, and the store of {known:x}: start again");
            return strange(text);
        }
        self.head.fetch_max(revision, Ordering::Relaxed);
        Ok(())
    }

    /// The furthest revision that an answer has told of.
    pub(super) fn head(&self) -> EtcdRevision {
        self.head.load(Ordering::Relaxed)
    }

    /// All was read anew, at that revision: what was told before may never come.
    pub(super) fn start_over(&self, revision: EtcdRevision) {
        self.head.store(revision, Ordering::Relaxed);
    }

    /// Opens a stream at one member, whose items are given to `hear` as long as it wants more, and as long
    /// as none is further than `idle` from the next.
    pub(super) fn stream(
        &self,
        member: usize,
        path: &str,
        question: &impl Serialize,
        idle: Duration,
        hear: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Ended, Trouble> {
        let body = serde_json::to_vec(question).expect("text and numbers become JSON");
        let url = format!("http://{}{path}", self.endpoints[member % self.endpoints.len()]);
        let request = self.agent.post(&url).config();
        let request = request.timeout_recv_response(Some(OPEN)).timeout_per_read(Some(idle));
        let request = request.build().content_type("application/json");
        let request = request.header(WANTS_LEADER.0, WANTS_LEADER.1);
        let response = request.send(&body[..]).map_err(away)?;
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        let body = body.into_with_config().limit(u64::MAX).reader();
        let mut items = BufReader::new(body);
        let mut item = Vec::new();
        loop {
            item.clear();
            match (&mut items).take(ITEM_BYTES_MAX).read_until(b'\n', &mut item) {
                Ok(0) => return Ok(Ended::Closed),
                Ok(_) if !(200..300).contains(&status) => return Err(failure(status, &item)),
                Ok(bytes) if item.last() != Some(&b'\n') && is_longest(bytes) => {
                    return Ok(Ended::TooLong);
                }
                Ok(_) if item.last() != Some(&b'\n') => {
                    let text = format!("an item ended after {} bytes", item.len());
                    return Err(Trouble::Away { text, is_doubtful: false });
                }
                Ok(_) if hear(&item) => {}
                Ok(_) => return Ok(Ended::Closed),
                Err(error) => return Err(broken(&error)),
            }
        }
    }

    /// How many members there are.
    pub(super) fn members(&self) -> usize {
        self.endpoints.len()
    }
}

/// What an answer says.
fn read<A: DeserializeOwned>(status: u16, answer: &[u8]) -> Result<A, Trouble> {
    if (200..300).contains(&status) {
        return serde_json::from_slice(answer).map_err(|error| unreadable(status, answer, &error));
    }
    Err(failure(status, answer))
}

fn unreadable(status: u16, answer: &[u8], error: &serde_json::Error) -> Trouble {
    let shown = String::from_utf8_lossy(&answer[..answer.len().min(SHOWN_BYTES)]);
    let text = format!("it answered {status} {shown:?}, which cannot be read: {error}");
    Trouble::Away { text, is_doubtful: true }
}

/// What an answer of that status says, which is no success. Only one of gRPC's codes is a refusal.
fn failure(status: u16, answer: &[u8]) -> Trouble {
    let (code, text) = match serde_json::from_slice::<Failure>(answer) {
        Ok(failure) => failure.said(),
        Err(error) => return unreadable(status, answer, &error),
    };
    if (code, text.as_str()) == NO_LEADER {
        return Trouble::Away { text, is_doubtful: false };
    }
    if !CODES.contains(&code) || DOUBTFUL_CODES.contains(&code) {
        return Trouble::Away { text, is_doubtful: true };
    }
    Trouble::Refused { code, text, is_doubtful: false }
}

/// Whether so many bytes are as many as an item may have.
fn is_longest(bytes: usize) -> bool {
    u64::try_from(bytes).is_ok_and(|bytes| bytes >= ITEM_BYTES_MAX)
}

fn away(error: ureq::Error) -> Trouble {
    let is_refused = matches!(&error, ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused);
    let is_unreached = matches!(
        &error,
        ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve)
    );
    Trouble::Away { text: error.to_string(), is_doubtful: !is_refused && !is_unreached }
}

fn broken(error: &io::Error) -> Trouble {
    Trouble::Away { text: error.to_string(), is_doubtful: false }
}

#[cfg(test)]
mod tests;
