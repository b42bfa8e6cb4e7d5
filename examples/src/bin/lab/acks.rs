//! Stop-and-wait against blast: how fast messages of a size travel as fragments that are acknowledged
//! by the one protocol or the other, over a network that loses and delays datagrams.
//!
//! Stop-and-wait pays a round trip for each fragment, blast one for as many as its window holds
//! (Tanenbaum & van Steen, "Acknowledgements"; `docs/protocol.md`, "Fragments"). One call is under way
//! at a time, and its argument is the message. In the simulator time is virtual: it has no bandwidth,
//! so that what is seen is the protocol alone, and a seed gives the same figures always. On loopback
//! sockets time is real, and the same injector is around them.

mod parcels;
mod simulated;
mod sockets;
mod table;

use std::error::Error;
use std::time::Duration;

use rpc_runtime::fault::Faults;
use rpc_runtime::protocol::AckProtocol;
use serde::{Serialize, Serializer};

pub(crate) use table::table;

use super::experiment::World;

/// What is compared.
pub(crate) const PROTOCOLS: [AckProtocol; 2] = [AckProtocol::StopAndWait, AckProtocol::Blast];

/// From where on a protocol is said to be faster: beyond what chance does.
const MARGIN: f64 = 1.1;

/// Bytes that a simulated cell moves, within these numbers of calls: more where chance decides.
const SIM_BYTES: usize = 8 << 20;
const SIM_CALLS: (usize, usize) = (8, 512);
/// How long a cell may take on sockets, by the round trips that stop-and-wait needs, and so many calls.
const UDP_TAKES: Duration = Duration::from_millis(400);
const UDP_CALLS: (usize, usize) = (2, 100);

/// How long a sender waits for an ACK that does not come, at the least.
const TIME_OUT: Duration = Duration::from_millis(20);
/// Bytes of a message that a fragment holds, about: to foresee how long a cell takes.
const FRAGMENT_BYTES: usize = 1_100;

/// What is tried.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    pub(crate) worlds: Vec<World>,
    /// Bytes of a message.
    pub(crate) sizes: Vec<usize>,
    /// The share of datagrams that is lost, each way.
    pub(crate) losses: Vec<f64>,
    /// How long a datagram takes one way, beyond what the transport itself takes.
    pub(crate) delays: Vec<Duration>,
    pub(crate) seed: u64,
}

/// One measurement to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    world: World,
    protocol: AckProtocol,
    bytes: usize,
    loss: f64,
    delay: Duration,
    seed: u64,
}

/// How fast messages came across.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) world: World,
    #[serde(serialize_with = "as_word")]
    pub(crate) protocol: AckProtocol,
    pub(crate) bytes: usize,
    pub(crate) loss: f64,
    pub(crate) delay_ms: f64,
    pub(crate) mb_per_second: f64,
    /// What the mean is made of.
    pub(crate) calls: usize,
}

/// The word for a protocol, as in `#[rpc(ack = "..")]`.
pub(crate) const fn word(protocol: AckProtocol) -> &'static str {
    match protocol {
        AckProtocol::Blast => "blast",
        AckProtocol::StopAndWait => "stop_and_wait",
    }
}

fn as_word<S: Serializer>(protocol: &AckProtocol, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(word(*protocol))
}

impl Grid {
    /// Every cell, the two protocols of one side by side.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &world in &self.worlds {
            for &loss in &self.losses {
                for &delay in &self.delays {
                    for &bytes in &self.sizes {
                        let seed = self.seed;
                        let cell = |protocol| Cell { world, protocol, bytes, loss, delay, seed };
                        cells.extend(PROTOCOLS.map(cell));
                    }
                }
            }
        }
        cells
    }
}

impl Cell {
    /// What is being measured, in a few words.
    pub(crate) fn caption(&self) -> String {
        format!("{} {} {} bytes", self.world.word(), word(self.protocol), self.bytes)
    }

    fn faults(&self) -> Faults {
        Faults::NONE.loss(self.loss).delay(self.delay)
    }

    /// How long a call takes at the least, as far as delay and losses decide: each of these costs
    /// stop-and-wait a time-out.
    fn least(&self) -> Duration {
        let trips = match self.protocol {
            AckProtocol::StopAndWait => self.bytes.div_ceil(FRAGMENT_BYTES),
            AckProtocol::Blast => 1,
        };
        let trip = self.delay * 2 + TIME_OUT.mul_f64(2.0 * self.loss);
        trip * u32::try_from(trips).unwrap_or(u32::MAX)
    }

    fn calls(&self) -> usize {
        match self.world {
            World::Sim | World::SimThreads => {
                (SIM_BYTES / self.bytes.max(1)).clamp(SIM_CALLS.0, SIM_CALLS.1)
            }
            World::Udp => {
                let each = self.least().max(Duration::from_millis(1));
                let calls = UDP_TAKES.as_nanos() / each.as_nanos().max(1);
                usize::try_from(calls).unwrap_or(usize::MAX).clamp(UDP_CALLS.0, UDP_CALLS.1)
            }
        }
    }

    /// Makes the measurement.
    pub(crate) fn measure(&self) -> Result<Row, Box<dyn Error + Send + Sync>> {
        let calls = self.calls();
        let took = match self.world {
            World::Sim | World::SimThreads => simulated::measure(self, calls)?,
            World::Udp => sockets::measure(self, calls)?,
        };
        Ok(Row {
            world: self.world,
            protocol: self.protocol,
            bytes: self.bytes,
            loss: self.loss,
            delay_ms: self.delay.as_secs_f64() * 1_000.0,
            mb_per_second: rate(self.bytes * calls, took),
            calls,
        })
    }

    /// Whether most of a second and more is spent waiting: such cells do not disturb each other.
    fn is_slow(&self) -> bool {
        self.world == World::Udp && self.least() >= Duration::from_millis(500)
    }
}

/// Measures all, and says of each when it is done.
pub(crate) fn rows(
    cells: &[Cell],
    done: impl Fn(&Cell) + Sync,
) -> Result<Vec<Row>, Box<dyn Error + Send + Sync>> {
    let measured = |cell: &Cell| {
        let row = cell.measure()?;
        done(cell);
        Ok::<_, Box<dyn Error + Send + Sync>>(row)
    };
    // What mostly waits does so at the same time, before anything else is measured.
    let slow: Vec<_> = std::thread::scope(|scope| {
        let slow = |cell: &Cell| cell.is_slow();
        let threads: Vec<_> =
            cells.iter().map(|cell| slow(cell).then(|| scope.spawn(|| measured(cell)))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().map(|thread| thread.map(join)).collect()
    });
    let all = cells.iter().zip(slow);
    all.map(|(cell, row)| row.unwrap_or_else(|| measured(cell))).collect()
}

/// Millions of bytes a second, to a tenth of a thousandth.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn rate(bytes: usize, took: Duration) -> f64 {
    let micros = took.as_secs_f64().max(1e-9) * 1e6;
    (bytes as f64 / micros * 10_000.0).round() / 10_000.0
}

/// The two protocols over one network with messages of one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'r> {
    stop_and_wait: &'r Row,
    blast: &'r Row,
}

impl Pair<'_> {
    /// How many times faster blast is.
    fn ratio(&self) -> f64 {
        self.blast.mb_per_second / self.stop_and_wait.mb_per_second.max(1e-4)
    }

    fn is_won(&self) -> bool {
        self.ratio() > MARGIN
    }
}

/// The rows as [`Grid::cells`] has them side by side.
pub(crate) fn pairs(rows: &[Row]) -> Vec<Pair<'_>> {
    rows.chunks_exact(2).map(|two| Pair { stop_and_wait: &two[0], blast: &two[1] }).collect()
}

/// The first of `pairs`, by size or delay, from which on blast is faster by more than the margin.
fn crossover<'p, 'r>(pairs: &'p [Pair<'r>]) -> Option<&'p Pair<'r>> {
    let won = pairs.iter().rev().take_while(|pair| pair.is_won()).count();
    pairs.get(pairs.len() - won)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simulated(sizes: &[usize], losses: &[f64], delays_ms: &[u64]) -> Vec<Row> {
        let grid = Grid {
            worlds: vec![World::Sim],
            sizes: sizes.to_vec(),
            losses: losses.to_vec(),
            delays: delays_ms.iter().copied().map(Duration::from_millis).collect(),
            seed: 7,
        };
        rows(&grid.cells(), |_| {}).expect("the calls return")
    }

    #[test]
    fn blast_is_at_least_as_fast_wherever_there_is_a_delay() {
        let rows = simulated(&[4 << 10, 64 << 10, 256 << 10], &[0.0, 0.01, 0.05], &[1, 10]);
        for pair in pairs(&rows) {
            assert!(pair.ratio() >= 1.0, "{pair:?}");
        }
    }

    #[test]
    fn blast_keeps_seven_tenths_of_its_rate_where_one_datagram_in_a_hundred_is_lost() {
        const SEEDS: u8 = 24;
        for delay in [0, 1, 10].map(Duration::from_millis) {
            let kept = |seed| {
                let (world, protocol, bytes) = (World::Sim, AckProtocol::Blast, 1 << 20);
                let rate = |loss| {
                    let cell = Cell { world, protocol, bytes, loss, delay, seed };
                    cell.measure().expect("the calls return").mb_per_second
                };
                rate(0.01) / rate(0.0)
            };
            let kept: Vec<f64> = (0..SEEDS).map(|seed| kept(u64::from(seed))).collect();
            let mean = kept.iter().sum::<f64>() / f64::from(SEEDS);
            println!("{delay:?}: {mean:.3} of {kept:.3?}");
            assert!(mean >= 0.7, "{delay:?}: {mean:.3} of {kept:.3?}");
            // The rest have lost what nothing overtakes: a reply in one datagram, or what was lost twice.
            let most = kept.iter().filter(|&&kept| kept >= 0.6).count();
            assert!(most >= 21, "{delay:?}: {kept:.3?}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_figures() {
        let figures =
            || simulated(&[64 << 10], &[0.05], &[1]).into_iter().map(|row| row.mb_per_second);
        assert!(figures().eq(figures()));
    }

    #[test]
    fn the_crossover_is_where_blast_begins_to_win_for_good() {
        let row = |protocol, bytes, mb_per_second| Row {
            world: World::Sim,
            protocol,
            bytes,
            loss: 0.0,
            delay_ms: 0.0,
            mb_per_second,
            calls: 1,
        };
        let figures = [(1, 1.0), (2, 1.3), (3, 1.05), (4, 1.2), (5, 2.0)];
        let rows: Vec<Row> = figures
            .iter()
            .flat_map(|&(bytes, blast)| {
                [row(AckProtocol::StopAndWait, bytes, 1.0), row(AckProtocol::Blast, bytes, blast)]
            })
            .collect();
        let pairs = pairs(&rows);
        assert_eq!(crossover(&pairs).map(|pair| pair.blast.bytes), Some(4));
        assert!(crossover(&pairs[..3]).is_none());
    }
}
