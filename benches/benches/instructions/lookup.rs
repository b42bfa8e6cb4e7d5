//! Lookups at a binder's registry, from a wish that has been read to the reply's bytes.

use std::hint::black_box;

use benches::names::{name, registration};
use rpc_binder::registry::{Kept, Limits, Registry};
use rpc_runtime::binder::{RegistrationId, Revision, Secret, VersionRequirement};
use rpc_runtime::time::Instant;

use crate::Result;
use crate::pieces::Counting;

/// So many lookups, one after the other, among so many names.
pub(crate) fn lookups(entries: u64, times: u64) -> Result<()> {
    let mut registry = Registry::new(Limits::default(), Box::new(Counting(0)), Revision::NONE);
    let interfaces = (0..entries).map(|number| (registration(number).fingerprint, Vec::new()));
    let kept = (0..entries).map(|number| {
        let kept = Kept { registration: registration(number), secret: Secret(1) };
        (RegistrationId(number), kept)
    });
    let lost = registry.restore(Instant::START, interfaces.collect(), kept.collect());
    if !lost.is_empty() {
        return Err("the registry has no place for them".into());
    }
    let requirement: VersionRequirement = "1".parse()?;
    let names: Vec<_> = (0..entries).map(name).collect();
    let mut reply = Vec::with_capacity(256);
    for number in 0..times {
        reply.clear();
        let name = &names[usize::try_from(number * 7_919 % entries)?]; // far apart
        let now = Instant::START;
        registry.lookup_marshalled(now, name, &requirement, None, black_box(&mut reply))?;
    }
    // A page begins with the number of its entries.
    if reply.first() != Some(&1) {
        return Err("a lookup found another number of servers than the one".into());
    }
    Ok(())
}
