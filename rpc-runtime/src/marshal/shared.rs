//! Bytes that are sent from where they lie.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A block of bytes as a parameter, which a caller may share instead of have copied: on the wire the same as
/// `&[u8]`, and what a handler gets is borrowed from the request, as that is.
///
/// A call keeps its arguments until it has ended, to send them again. So `&[u8]` is copied once, which takes
/// about as long as a sixth of sending it over a Unix socket. Bytes that are made from an `Arc<Vec<u8>>` or a
/// `Vec<u8>` are kept where they are, until a moment after the call has ended. If they are the last parameter, written
/// `SharedBytes<'_>` (not within an `Option`, or by another name), and longer than a frame of 64 KiB, nothing copies
/// them over TCP and Unix sockets but the system; over other transports they are copied into what is sent.
///
/// ```
/// use std::sync::Arc;
/// use rpc_runtime::{CallError, Channel, Server, SharedBytes, service};
///
/// #[service]
/// trait Files {
///     fn put(&self, name: &str, content: SharedBytes<'_>) -> Result<u64, CallError>;
/// }
///
/// struct Disk;
///
/// impl Files for Disk {
///     fn put(&self, _name: &str, content: SharedBytes<'_>) -> Result<u64, CallError> {
///         Ok(content.len() as u64)
///     }
/// }
///
/// let server = Server::bind("tcp://127.0.0.1:0")?.export(FilesService::new(Disk)).spawn()?;
/// let files = FilesClient::on(&Channel::connect(&server.url())?);
/// let content = Arc::new(vec![7; 1 << 20]);
/// assert_eq!(files.put("seven", SharedBytes::from(&content))?, 1 << 20); // shared
/// assert_eq!(files.put("eight", SharedBytes::from(&[8; 8][..]))?, 8);    // copied
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SharedBytes<'a>(Held<'a>);

#[derive(Clone)]
enum Held<'a> {
    Borrowed(&'a [u8]),
    Shared(Arc<Vec<u8>>),
}

impl SharedBytes<'_> {
    /// The bytes, if whoever sends them may keep them.
    pub(crate) const fn shared(&self) -> Option<&Arc<Vec<u8>>> {
        match &self.0 {
            Held::Borrowed(_) => None,
            Held::Shared(bytes) => Some(bytes),
        }
    }
}

impl Deref for SharedBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Held::Borrowed(bytes) => bytes,
            Held::Shared(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for SharedBytes<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<'a> From<&'a [u8]> for SharedBytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Held::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for SharedBytes<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Arc::new(bytes))
    }
}

impl From<Arc<Vec<u8>>> for SharedBytes<'_> {
    fn from(bytes: Arc<Vec<u8>>) -> Self {
        Self(Held::Shared(bytes))
    }
}

impl From<&Arc<Vec<u8>>> for SharedBytes<'_> {
    fn from(bytes: &Arc<Vec<u8>>) -> Self {
        Self::from(Arc::clone(bytes))
    }
}

/// Says how many there are, and not what they are: there may be many.
impl fmt::Debug for SharedBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl PartialEq for SharedBytes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl Eq for SharedBytes<'_> {}

impl Serialize for SharedBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for SharedBytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = SharedBytes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(SharedBytes::from(bytes))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(SharedBytes::from(bytes.to_vec()))
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Self::Value, E> {
                Ok(SharedBytes::from(bytes))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}
