//! A million leases in one registry: what each takes of memory, and what it costs to renew one.

use std::fs;
use std::time::Instant;

use benches::names;
use rpc_binder::registry::plan::{Batch, Planned, Request};
use rpc_binder::registry::{Limits, Registry};
use rpc_runtime::binder::{Registration, Report, Revision};
use rpc_runtime::ids::ServerId;
use rpc_runtime::reactor;
use serde::Serialize;

use super::{Trouble, real};

/// Leases in the registry.
const LEASES: u64 = 1_000_000;
/// Services that their servers offer.
const SERVICES: u64 = 1_000;

#[derive(Debug, Serialize)]
struct Row {
    leases: u64,
    bytes_per_lease: f64,
    register_ns: f64,
    renew_ns: f64,
}

/// Measures, and prints it.
pub(crate) fn show(json: bool) -> Result<(), Trouble> {
    let world = reactor::world();
    let limits = Limits { registrations_max: u32::MAX, ..Limits::default() };
    let mut registry = Registry::new(limits, world.rng(), Revision::NONE);
    let now = world.now();
    let before = resident_bytes()?;
    let started = Instant::now();
    let mut leases = Vec::new();
    for number in 0..LEASES {
        let registration = Registration {
            server: ServerId(number + 1),
            addresses: vec!["udp://10.11.12.13:14151".into()],
            ..names::registration(number % SERVICES)
        };
        let request = Request::Register { registration, methods: Some([].into()) };
        let Planned::Plan(plan) = registry.plan(now, request, &mut Batch::default()) else {
            return Err("the registry does not take it".into());
        };
        leases.extend(registry.apply(now, plan));
    }
    let registered = started.elapsed();
    let bytes = resident_bytes()? - before - real(LEASES) * real(size_of_val(&leases[0]) as u64);
    let started = Instant::now();
    for lease in leases.iter().rev() {
        registry.renew(now, lease.id, lease.secret, &Report::default())?;
    }
    let renewed = started.elapsed();
    let each = |took: std::time::Duration| took.as_secs_f64() * 1e9 / real(LEASES);
    let row = Row {
        leases: LEASES,
        bytes_per_lease: (bytes / real(LEASES)).round(),
        register_ns: each(registered).round(),
        renew_ns: each(renewed).round(),
    };
    if json {
        println!("{}", serde_json::to_string(&row)?);
    } else {
        let Row { leases, bytes_per_lease, register_ns, renew_ns } = row;
        println!(
            "{leases} leases: {bytes_per_lease} bytes each, {register_ns} ns to register, {renew_ns} ns to renew"
        );
    }
    Ok(())
}

/// What this process has in memory (`proc(5)`, statm).
fn resident_bytes() -> Result<f64, Trouble> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').nth(1).ok_or("statm has a second number")?.parse()?;
    Ok(real(pages) * 4096.0)
}
