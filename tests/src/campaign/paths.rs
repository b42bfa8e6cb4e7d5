//! What paths carry: on some days longer datagrams than every path does, and other ones every while.

use rpc_runtime::random::Rng as _;
use rpc_runtime::sim::{Control, HostId};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::wire::DATAGRAM_BYTES_MAX;

use super::{FAULTS_END, pick};

/// What a link takes on such a day, as those of the real world.
const LINK_BYTES: usize = 65_507;

/// What paths carry: what every one does, Ethernet, jumbo frames, whatever is sent.
const CARRIED_BYTES: [Option<usize>; 5] =
    [Some(DATAGRAM_BYTES_MAX), Some(1_472), Some(8_972), None, None];

/// Plans the day's paths. Draws from a generator of its own, and comes before anybody has a link.
pub(super) fn plan(control: &mut Control, servers: &[HostId], clients: &[HostId]) {
    let mut rng = control.scenario_rng(9);
    if !rng.chance(0.4) {
        return;
    }
    control.net.set_datagram_bytes_max(LINK_BYTES);
    let often = rng.below(6);
    for &client in clients {
        for &server in servers {
            // Most paths are alike both ways.
            let carried = pick(&mut rng, &CARRIED_BYTES);
            let back = if rng.chance(0.2) { pick(&mut rng, &CARRIED_BYTES) } else { carried };
            control.net.set_path_mtu(client, server, carried);
            control.net.set_path_mtu(server, client, back);
            for _ in 0..often {
                let after = Duration::from_micros(
                    rng.below(u64::try_from(FAULTS_END.as_micros()).unwrap_or(u64::MAX)),
                );
                let carried = pick(&mut rng, &CARRIED_BYTES);
                let (from, to) = if rng.chance(0.5) { (client, server) } else { (server, client) };
                let both = rng.chance(0.7);
                control.at(Instant::START + after, move |control| {
                    control.net.set_path_mtu(from, to, carried);
                    if both {
                        control.net.set_path_mtu(to, from, carried);
                    }
                });
            }
        }
    }
}
