//! Somebody who is not there claims to be a client's later life: HELLOs from an address that never
//! proves itself.

use rpc_runtime::ids::{ClientId, GenerationId, Incarnation, SessionId, Space};
use rpc_runtime::random::Rng;
use rpc_runtime::sim::checker::Fact;
use rpc_runtime::sim::nodes::Journal;
use rpc_runtime::sim::{Control, HostId};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::wire::{self, COOKIE_BYTES, Envelope, Hello, Nonce, Pdu};

use super::pick;

/// Lives that are forged are counted from here on: no client lives so often.
const FIRST_LIFE: u32 = 500;

/// On some days, HELLOs of lives that nobody lives.
pub(super) fn plan(
    control: &mut Control,
    rng: &mut dyn Rng,
    servers: &[HostId],
    journal: &Journal,
) {
    if !rng.chance(0.2) {
        return;
    }
    let eve = control.add_host("eve");
    for number in 0..=rng.below(4) {
        let server = pick(rng, servers);
        let client = ClientId(100 + rng.below(3));
        let count = FIRST_LIFE + u32::try_from(number).unwrap_or(0);
        let life = Incarnation::new(count, 1);
        let hello = Pdu::Hello(Hello {
            client,
            nonce: Nonce(1 + rng.below(1 << 60)),
            server: rpc_runtime::ids::ServerId::NONE,
            server_incarnation: Incarnation::NONE,
            resume: SessionId::NONE,
            slots: 8,
            datagram_bytes: 1_232,
            version_min: 1,
            version_max: 1,
            has_cookie: u8::from(rng.chance(0.5)),
            durable: u8::from(rng.chance(0.3)),
            cookie: [7; COOKIE_BYTES],
            generation: GenerationId::NONE,
        });
        let space = Space::Session;
        let envelope = Envelope { space, target: 0, session: SessionId::NONE, incarnation: life };
        let mut datagram = Vec::new();
        wire::encode(&envelope, &hello, &mut datagram);
        let at = Instant::START + Duration::from_micros(rng.below(3_000_000));
        let journal = journal.clone();
        control.at(at, move |control| {
            journal.note(control.now(), Fact::Forged { client, life });
            control.inject(eve.address(), server.address(), &datagram, Duration::ZERO);
        });
    }
}
