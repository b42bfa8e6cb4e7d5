//! The servers of a campaign: how they are set up, and when they crash, drain or are replaced.

use rpc_runtime::ids::{MethodFingerprint, ServerId};
use rpc_runtime::protocol::{Limits, MethodEntry, Server, ServerIdentity};
use rpc_runtime::random::Rng;
use rpc_runtime::sim::checker::Fact;
use rpc_runtime::sim::nodes::{Disk, Journal, ServerNode};
use rpc_runtime::sim::{Control, HostId};
use rpc_runtime::time::{Duration, Instant};

use super::content::Delivered;
use super::knobs::{Calls, Orphans};
use super::users::Handlers;
use super::weather::Weather;
use super::{METHODS, Transport};

/// A life of the server that lives on a host.
pub(super) fn identity(control: &mut Control, host: HostId, n: u64) -> ServerIdentity {
    ServerIdentity { id: ServerId(1 + n), incarnation: control.incarnation(host) }
}

/// What holds for a whole day.
#[derive(Clone, Debug)]
pub(super) struct Day {
    pub(super) limits: Limits,
    pub(super) weather: Weather,
    pub(super) orphans: Orphans,
    pub(super) kinds: Calls,
    pub(super) transport: Transport,
    pub(super) delivered: Delivered,
    pub(super) journal: Journal,
}

/// Lets a server live.
pub(super) fn place(
    control: &mut Control,
    host: HostId,
    identity: ServerIdentity,
    disk: &Disk,
    day: &Day,
) {
    let Day { limits, orphans, journal, .. } = day;
    let mut rng = control.rng(host);
    let methods = METHODS
        .iter()
        .map(|&(fingerprint, semantics)| MethodEntry {
            fingerprint: MethodFingerprint(fingerprint),
            name: u32::try_from(fingerprint).unwrap_or(0),
            semantics,
            reply_bytes_max: limits.reply_bytes_max,
            orphans: orphans.policy(&mut rng, limits.quantum),
            ack: None,
        })
        .collect();
    let mut machine = Server::new(identity, limits.clone(), methods, Box::new(control.rng(host)));
    machine.link_carries(control.net.datagram_bytes_max());
    let handlers = Handlers::new(Box::new(control.rng(host)), day.clone());
    let workers = 1 + usize::try_from(control.rng(host).below(4)).unwrap_or(0);
    let workers = workers.min(limits.calls_running_max);
    let identity = (identity.id, identity.incarnation);
    let node = ServerNode::new(machine, identity, handlers, workers, journal.clone());
    let node = node.with_disk(disk.clone());
    control.place(host, node);
}

/// Where a server lives, and what survives it there.
pub(super) struct Site {
    pub(super) host: HostId,
    pub(super) n: u64,
    pub(super) disk: Disk,
    /// That of the stranger who sometimes comes in its place.
    pub(super) other: Disk,
}

/// Crashes, restarts, drains; sometimes another server comes back at the address.
pub(super) fn plan(control: &mut Control, rng: &mut dyn Rng, site: &Site, day: &Day) {
    let &Site { host, n, .. } = site;
    let (deaths, down_us) = day.weather.server_deaths(rng);
    for _ in 0..deaths {
        let day = day.clone();
        let at = Instant::START + Duration::from_micros(rng.below(3_800_000));
        let down = Duration::from_micros(rng.below(down_us));
        let stranger = rng.chance(0.15);
        let disk = if stranger { site.other.clone() } else { site.disk.clone() };
        control.at(at, move |control| {
            if !control.is_up(host) {
                return;
            }
            control.crash(host);
            let back = control.now() + down;
            control.at(back, move |control| {
                if control.is_up(host) {
                    return;
                }
                control.restart(host);
                let n = if stranger { n + 50 } else { n };
                let identity = identity(control, host, n);
                place(control, host, identity, &disk, &day);
            });
        });
    }
    if rng.chance(0.1) {
        let at = Instant::START + Duration::from_micros(rng.below(3_000_000));
        control.at(at, move |control| {
            control.node(host, |node: &mut ServerNode<Handlers>, now| {
                node.machine().drain(now, Duration::from_secs(1));
            });
        });
    }
}

/// Looks at every server's tables, again and again.
pub(super) fn look(control: &mut Control, servers: Vec<HostId>, journal: Journal) {
    let now = control.now();
    for &host in &servers {
        control.node(host, |node: &mut ServerNode<Handlers>, now| {
            let server = node.machine();
            let limits = server.limits();
            let uses = [
                ("sessions", server.sessions(), limits.sessions_max),
                ("calls queued", server.queued(), limits.calls_queued_max),
                ("calls running", server.running(), limits.calls_running_max),
                ("bytes of replies", server.stored_bytes(), limits.reply_bytes_stored_max),
            ];
            for (what, used, limit) in uses {
                let (used, limit) = (used as u64, limit as u64);
                journal.note(now, Fact::Used { what, used, limit });
            }
        });
    }
    if now < Instant::START + super::SETTLED {
        control.at(now + super::LOOK, move |control| look(control, servers, journal));
    }
}
