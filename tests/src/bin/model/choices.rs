//! Which actions there are in a state.

use rpc_runtime::semantics::Semantics;

use crate::config::Config;
use crate::durable::stalled;
use crate::world::{Action, State};

/// What may happen next.
pub(crate) fn actions(config: &Config, state: &State, actions: &mut Vec<Action>) {
    let rest = &*state.rest;
    if rest.record.broken.is_some() {
        return;
    }
    users(config, state, actions);
    for message in &*state.net {
        if message.is_to_server() || message.client() == state.client.address {
            actions.push(Action::Deliver(message.clone()));
        }
        if config.late && message.late().is_some() {
            actions.push(Action::DeliverLate(message.clone()));
        }
    }
    actions.extend((0..rest.work.queued.len()).map(Action::Begin));
    for (place, running) in rest.work.running.iter().enumerate() {
        let may_panic = config.panics && running.ended.is_none();
        if running.must_commit() {
            actions.push(Action::Commit(place));
            actions.extend(may_panic.then_some(Action::CommitPanic(place)));
        } else {
            actions.push(Action::Return(place));
            actions.extend(may_panic.then_some(Action::Panic(place)));
        }
    }
    actions.extend((0..rest.work.questions.len()).map(Action::Ask));
    stalled(state, actions);
    if state.server.is_due() {
        actions.push(Action::Report);
    }
    if config.faultless {
        if state.net.is_empty() && !state.server.is_due() {
            actions.push(Action::BothTick);
        }
        return;
    }
    actions.extend([Action::ClientTick, Action::ServerTick]);
    if rest.server_place + 1 < config.servers.len() {
        actions.push(Action::RestartServer);
        actions.extend(config.ages.then_some(Action::RestartServerLate));
    }
    if rest.lives.client < config.client_lives {
        actions.push(Action::RestartClient);
    }
    if rest.address + 1 < config.client_addresses {
        actions.push(Action::Move);
    }
}

fn users(config: &Config, state: &State, actions: &mut Vec<Action>) {
    let rest = &*state.rest;
    let record = &rest.record;
    let under_way = record.facts.iter().filter(|fact| fact.waits.is_some()).count();
    if record.facts.len() < config.calls.len() && under_way < config.calls_at_once && !rest.closed {
        actions.push(Action::Call);
    }
    for (number, fact) in (0..).zip(&record.facts) {
        if fact.waits.is_some() && rest.cancels < config.cancels {
            actions.push(Action::GiveUp(number));
        }
        let asked = fact.place.is_some() && fact.asks.is_none();
        if asked && fact.semantics != Semantics::Maybe && rest.resolves < config.resolves {
            actions.push(Action::Resolve(number));
        }
    }
    if !rest.journal.pending.is_empty() {
        actions.push(Action::Write);
    }
    for noted in rest.journal.open() {
        let fact = &record.facts[usize::from(noted.number)];
        if fact.life < rest.lives.client && fact.asks.is_none() && !rest.closed {
            actions.push(Action::TakeOver(noted.number));
        }
    }
    if rest.loads < config.loads {
        actions.push(Action::Overload(!state.server.is_overloaded));
    }
    if config.drains && !rest.drained {
        actions.push(Action::Drain);
    }
    if config.closes && !rest.closed {
        actions.push(Action::Close);
    }
}
