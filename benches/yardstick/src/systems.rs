//! The contestants, one file each.

mod raw;
mod mio;
mod rpc;
#[cfg(feature = "peers")]
mod tasks;
#[cfg(feature = "peers")]
mod protobuf;
#[cfg(feature = "peers")]
mod tarpc;
#[cfg(feature = "peers")]
mod tonic;
#[cfg(feature = "peers")]
pub(crate) mod capnp;
#[cfg(feature = "peers")]
mod ttrpc;

use crate::system::{Result, System};

/// In the order of the tables.
pub(crate) const ALL: &[&dyn System] = &[
    &raw::Raw,
    &raw::Spin,
    &mio::Mio,
    &rpc::Rpc,
    #[cfg(feature = "peers")]
    &tarpc::Tarpc,
    #[cfg(feature = "peers")]
    &tonic::Tonic,
    #[cfg(feature = "peers")]
    &capnp::CapnProto,
    #[cfg(feature = "peers")]
    &ttrpc::Ttrpc,
];

pub(crate) fn by_name(name: &str) -> Result<&'static dyn System> {
    let found = ALL.iter().copied().find(|system| system.name() == name);
    found.ok_or_else(|| format!("no system is called `{name}`").into())
}
