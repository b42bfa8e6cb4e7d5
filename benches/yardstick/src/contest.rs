//! All systems side by side: each round runs every one of them once, in an order of its own, so that
//! what the machine does meanwhile hits all alike.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::child::{Served, Setting};
use crate::cli::{Common, Pin};
use crate::os::{self, Usage};
use crate::system::{Caller, Place, Result, System, Transport, Work};
use crate::{allocations, systems};

/// What all are compared with.
pub(crate) const REFERENCE: &str = "raw";

/// Whose both ends never sleep.
const SPINNING: &str = "spin";

/// One system, connected to its server.
pub(crate) struct Contestant {
    pub(crate) system: &'static dyn System,
    pub(crate) served: Served,
    pub(crate) caller: Box<dyn Caller>,
}

/// What both ends of a contestant have used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Both {
    pub(crate) client: Usage,
    pub(crate) server: Usage,
}

impl Both {
    pub(crate) fn cpu_us(&self) -> f64 {
        self.client.cpu_us + self.server.cpu_us
    }
}

impl Contestant {
    fn usage(&mut self) -> Result<Both> {
        Ok(Both { server: self.served.usage()?, client: Usage::own() })
    }

    /// Does `work`, and says what both ends used for it.
    pub(crate) fn used<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Caller) -> Result<T>,
    ) -> Result<(T, Both)> {
        let before = self.usage()?;
        let done = work(&mut *self.caller)?;
        let after = self.usage()?;
        let used = Both {
            client: after.client.since(before.client),
            server: after.server.since(before.server),
        };
        Ok((done, used))
    }
}

/// The contestants over one transport, and the folder of their sockets.
pub(crate) struct Contest {
    pub(crate) transport: Transport,
    pub(crate) contestants: Vec<Contestant>,
    _folder: TempDir,
}

impl Contest {
    /// Starts and connects all that speak `transport` and were asked for; says who cannot.
    pub(crate) fn line_up(common: &Common, transport: Transport, work: Work) -> Result<Self> {
        os::raise_descriptors();
        if common.counts {
            allocations::switch_on();
        }
        if common.pin.is_some() {
            os::pin(0)?;
        }
        let folder = tempfile::tempdir()?;
        let mut contestants = Vec::new();
        for &system in systems::ALL {
            // On one processor a spinning end keeps the other from running.
            let is_hopeless = common.pin == Some(Pin::One) && system.name() == SPINNING;
            if !common.wants(system.name()) || !system.speaks(transport, work) || is_hopeless {
                continue;
            }
            match start(system, common, transport, work, &folder) {
                Ok(contestant) => contestants.push(contestant),
                Err(error) => eprintln!("{} over {transport}: skipped: {error}", system.name()),
            }
        }
        Ok(Self { transport, contestants, _folder: folder })
    }

    /// `rounds` rounds of `measure`; all results of each contestant.
    pub(crate) fn rounds<T>(
        &mut self,
        rounds: usize,
        mut measure: impl FnMut(&mut Contestant) -> Result<T>,
    ) -> Result<Vec<Vec<T>>> {
        let mut results: Vec<Vec<T>> = self.contestants.iter().map(|_| Vec::new()).collect();
        for round in 0..rounds {
            for index in shuffled(self.contestants.len(), round) {
                let contestant = &mut self.contestants[index];
                let name = contestant.system.name();
                let result = measure(contestant)
                    .map_err(|error| format!("{name} over {}: {error}", self.transport))?;
                results[index].push(result);
            }
        }
        Ok(results)
    }

    /// Which contestant all are compared with, if it takes part.
    pub(crate) fn reference(&self) -> Option<usize> {
        self.contestants.iter().position(|contestant| contestant.system.name() == REFERENCE)
    }
}

fn start(
    system: &'static dyn System,
    common: &Common,
    transport: Transport,
    work: Work,
    folder: &TempDir,
) -> Result<Contestant> {
    let path = folder.path().join(system.name());
    let path = path.to_str().ok_or("a folder whose name is no text")?;
    let processor = common.pin.map(|pin| match pin {
        Pin::One => 0,
        Pin::Two => 1,
    });
    let setting = Setting { counts: common.counts, processor };
    let served = Served::start(system, Place { transport, work, path }, setting)?;
    let caller = system.connect(transport, work, &served.address)?;
    Ok(Contestant { system, served, caller })
}

/// The numbers below `len` in an order that `round` decides (splitmix64, Fisher-Yates).
fn shuffled(len: usize, round: usize) -> Vec<usize> {
    let mut state = round as u64;
    let mut draw = |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below as u64) as usize
    };
    let mut order: Vec<_> = (0..len).collect();
    for last in (1..len).rev() {
        order.swap(last, draw(last + 1));
    }
    order
}

/// When to stop something that began just now.
pub(crate) fn until(seconds: f64) -> Instant {
    Instant::now() + Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_everybody_once_and_rounds_differ() {
        let mut orders: Vec<_> = (0..8).map(|round| shuffled(5, round)).collect();
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
        }
        orders.dedup();
        assert!(orders.len() > 4);
    }
}
