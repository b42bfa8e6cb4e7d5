//! What is said to etcd's JSON gateway, and what it answers.
//!
//! As `rpc.proto` of etcd 3.4 maps to JSON: bytes in base64, 64-bit numbers as text, and what is zero or
//! empty left out. Does not know how it travels.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in the history of a cluster.
pub(super) type EtcdRevision = i64;

/// Bytes that travel as base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A number that travels as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(pub(super) i64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// Names a cluster; 0 if that was not said. It travels as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClusterId(pub(super) u64);

impl<'de> Deserialize<'de> for ClusterId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// Asks for the keys from `key` up to `range_end`, or for `key` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct RangeRequest {
    pub(super) key: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) range_end: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<Number>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PutRequest {
    pub(super) key: Bytes,
    pub(super) value: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lease: Option<Number>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct DeleteRequest {
    pub(super) key: Bytes,
}

/// One thing to be done in a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Operation {
    #[serde(rename = "request_put")]
    Put(PutRequest),
    #[serde(rename = "request_delete_range")]
    Delete(DeleteRequest),
    #[serde(rename = "request_range")]
    Range(RangeRequest),
}

/// That a key was written last at a revision; 0 if it is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Compare {
    target: &'static str,
    result: &'static str,
    key: Bytes,
    mod_revision: Number,
}

impl Compare {
    pub(super) const fn written_at(key: Bytes, revision: EtcdRevision) -> Self {
        Self { target: "MOD", result: "EQUAL", key, mod_revision: Number(revision) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct TxnRequest {
    pub(super) compare: Vec<Compare>,
    pub(super) success: Vec<Operation>,
    pub(super) failure: Vec<Operation>,
}

/// Begins a lease, if it has no such one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct GrantRequest {
    #[serde(rename = "TTL")]
    pub(super) ttl: Number,
    #[serde(rename = "ID")]
    pub(super) id: Number,
}

/// Names a lease that is to be prolonged, or to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LeaseRequest {
    #[serde(rename = "ID")]
    pub(super) id: Number,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct WatchRequest {
    pub(super) create_request: WatchCreate,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct WatchCreate {
    pub(super) key: Bytes,
    pub(super) range_end: Bytes,
    pub(super) start_revision: Number,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    pub(super) cluster_id: ClusterId,
    /// How far the member was that answered; of all keys, also of those that are nobody's here.
    pub(super) revision: Number,
}

/// What etcd answers to a question.
pub(super) trait Answer: DeserializeOwned {
    /// What each of its answers has, and nobody else's.
    fn header(&self) -> Header;
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct KeyValue {
    pub(super) key: Bytes,
    pub(super) value: Bytes,
    pub(super) mod_revision: Number,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct RangeAnswer {
    pub(super) header: Header,
    pub(super) kvs: Vec<KeyValue>,
    pub(super) more: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct TxnAnswer {
    pub(super) header: Header,
    pub(super) succeeded: bool,
    pub(super) responses: Vec<OperationAnswer>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct OperationAnswer {
    pub(super) response_range: Option<RangeAnswer>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct GrantAnswer {
    pub(super) header: Header,
    /// In s.
    #[serde(rename = "TTL")]
    pub(super) ttl: Number,
}

/// One item of a stream, as the gateway wraps it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Streamed<T> {
    pub(super) result: T,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct KeepAliveAnswer {
    pub(super) header: Header,
    /// In s; 0 if there is no such lease.
    #[serde(rename = "TTL")]
    pub(super) ttl: Number,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct WatchAnswer {
    pub(super) header: Header,
    /// Whether this says that there is a watch now.
    pub(super) created: bool,
    pub(super) canceled: bool,
    /// Not 0: what was asked for is compacted up to here.
    pub(super) compact_revision: Number,
    pub(super) events: Vec<Event>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    #[serde(rename = "type")]
    pub(super) kind: EventKind,
    pub(super) kv: KeyValue,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum EventKind {
    #[default]
    Put,
    Delete,
}

/// What it says when it fails.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Failure {
    error: Option<FailureText>,
    code: i64,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum FailureText {
    /// Where one answer was wanted.
    OfAnswer(String),
    /// Where a stream of them was.
    OfStream {
        #[serde(alias = "code")]
        grpc_code: i64,
        message: String,
    },
}

impl Failure {
    /// One of gRPC's codes, and why in words.
    pub(super) fn said(self) -> (i64, String) {
        match self.error {
            None => (self.code, self.message),
            Some(FailureText::OfAnswer(text)) => (self.code, text),
            Some(FailureText::OfStream { grpc_code, message }) => (grpc_code, message),
        }
    }
}

/// Says that it was done, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Done {
    pub(super) header: Header,
}

impl Answer for RangeAnswer {
    fn header(&self) -> Header {
        self.header
    }
}

impl Answer for TxnAnswer {
    fn header(&self) -> Header {
        self.header
    }
}

impl Answer for GrantAnswer {
    fn header(&self) -> Header {
        self.header
    }
}

impl Answer for Streamed<KeepAliveAnswer> {
    fn header(&self) -> Header {
        self.result.header
    }
}

impl Answer for Done {
    fn header(&self) -> Header {
        self.header
    }
}
