//! What tests register.

use rpc_runtime::binder::{Registration, Traits, Version};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::interface::fingerprint_of;

/// A server of bank 1.0 that has no methods.
pub(crate) fn bank(server: u64) -> Registration {
    Registration {
        name: "bank".into(),
        version: Version::new(1, 0),
        server: ServerId(server),
        incarnation: Incarnation::new(1, 1),
        addresses: vec!["udp://10.0.0.7:4000".into()],
        fingerprint: fingerprint_of("bank", std::iter::empty()),
        traits: Traits::default(),
        claim: 1,
    }
}
