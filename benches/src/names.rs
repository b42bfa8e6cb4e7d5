//! Services of many names, as benches of the binder register them.

use rpc_runtime::binder::{Registration, Traits, Version};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::interface::fingerprint_of;

/// The name of one of them.
#[must_use]
pub fn name(number: u64) -> String {
    format!("service-{number:06}")
}

/// What its one server says of itself.
#[must_use]
pub fn registration(number: u64) -> Registration {
    let name = name(number);
    Registration {
        fingerprint: fingerprint_of(&name, std::iter::empty()),
        name,
        version: Version::new(1, 0),
        server: ServerId(number + 1),
        incarnation: Incarnation::new(1, 1),
        addresses: vec!["udp://127.0.0.1:9".into()],
        traits: Traits::default(),
        claim: 1,
    }
}
