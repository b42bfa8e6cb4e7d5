//! Explores a world completely, and says what was found.

#![expect(clippy::disallowed_methods, reason = "speed is measured by the real clock")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Path, Property};

use crate::calm;
use crate::choices::actions;
use crate::config::Config;
use crate::record::{Sentence, Told};
use crate::steps::Step;
use crate::world::{Action, State};

/// A world, and what was seen in it.
#[derive(Debug)]
pub(crate) struct World {
    config: Config,
    seen: [AtomicU64; Told::ALL.len()],
    /// Whether a state was told that breaks a sentence: of later ones the way is longer.
    told: AtomicBool,
}

impl World {
    /// Whether a sentence holds as far as must be told.
    fn is_kept(&self, broken: bool) -> bool {
        !broken || self.told.swap(true, Ordering::Relaxed)
    }
}

/// What an exploration found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) name: &'static str,
    pub(crate) states: usize,
    pub(crate) depth: usize,
    pub(crate) seconds: f64,
    /// Sentences that do not hold, and what was expected and never seen.
    pub(crate) violated: Vec<String>,
    /// The shortest way to each sentence that does not hold.
    pub(crate) traces: Vec<(String, Vec<String>)>,
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.config)]
    }

    fn actions(&self, state: &State, list: &mut Vec<Action>) {
        actions(&self.config, state, list);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut step = Step::new(&self.config, last);
        step.act(&action);
        step.check();
        for told in step.seen {
            let seen = &self.seen[told as usize];
            if seen.load(Ordering::Relaxed) == 0 {
                seen.store(1, Ordering::Relaxed);
            }
        }
        Some(step.state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! sentences {
            ($($place:literal),*) => {
                vec![$(Property::always(Sentence::ALL[$place].1, |world: &Self, state: &State| {
                    world.is_kept(state.rest.record.broken == Some(Sentence::ALL[$place].0))
                })),*]
            };
        }
        let mut properties =
            sentences!(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17);
        properties.push(Property::always(Sentence::CALM, |world: &Self, state: &State| {
            let every = world.config.calm_every;
            let digest = state.client.digest ^ state.server.digest;
            let tried = digest.checked_rem(every) == Some(0) && state.rest.record.broken.is_none();
            world.is_kept(tried && !calm::ends_calls(&world.config, state))
        }));
        properties
    }

    fn within_boundary(&self, state: &State) -> bool {
        !state.rest.beyond
    }
}

/// Explores `config` on `threads` cores. One gives the shortest traces.
pub(crate) fn explore(config: &Config, threads: usize) -> Found {
    let started = Instant::now();
    let world =
        World { config: config.clone(), seen: Default::default(), told: AtomicBool::new(false) };
    let checker = world
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let mut traces: Vec<_> = checker.discoveries().into_iter().map(spelled).collect();
    traces.sort_by_key(|(_, steps)| steps.len());
    let mut violated: Vec<_> = traces.iter().map(|(name, _)| name.clone()).collect();
    if violated.is_empty() {
        for told in config.expects {
            if checker.model().seen[*told as usize].load(Ordering::Relaxed) == 0 {
                violated.push(format!("never seen: {}", told.name()));
            }
        }
    }
    Found {
        name: config.name,
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: started.elapsed().as_secs_f64(),
        violated,
        traces,
    }
}

fn spelled((name, path): (&'static str, Path<State, Action>)) -> (String, Vec<String>) {
    let steps = path.into_actions().iter().map(|step| format!("{step:?}")).collect();
    (name.to_owned(), steps)
}
