//! Steps of durable calls: their transactions, what the server asks its store, and what a server
//! does that has stalled while another one took its place.

use std::sync::Arc;

use rpc_runtime::ids::GenerationId;
use rpc_runtime::protocol::{HandlerEnd, ServerEvent};
use rpc_runtime::server::explored::DurableCall;

use crate::record::Sentence;
use crate::sides::{CLIENT, REPLY_BYTES_MAX, ServerSide};
use crate::steps::Step;
use crate::world::{Action, Question, Queued, Running, State};

/// A durable call as its transaction knows it.
fn durable_call(call: &Queued) -> DurableCall {
    let id = call.ticket.call_id();
    DurableCall {
        client: CLIENT,
        generation: GenerationId(id.session.0),
        slot: id.slot,
        sequence: id.sequence,
        digest: call.digest,
        reply_bytes_max: REPLY_BYTES_MAX as usize,
    }
}

impl Step<'_> {
    /// The transaction of an execution ends; the machine has yet to be told.
    pub(crate) fn commit(&mut self, place: usize, end: HandlerEnd) {
        let life = self.state.rest.lives.server;
        let mut running = self.state.rest.work.running[place].clone();
        self.transact(life, &mut running, end);
        self.state.rest_mut().work.running[place] = running;
    }

    fn transact(&mut self, life: u8, running: &mut Running, end: HandlerEnd) {
        let (number, execution) = (running.call.number, running.execution);
        let call = durable_call(&running.call);
        let rest = self.state.rest_mut();
        let (end, body) = rest.store.commit(life, call, (number, execution), end);
        if body.ends_with(&[number, execution]) {
            rest.record.on_finish(number, execution, end);
        }
        let effects = rest.store.effects_of(number);
        rest.record.on_effects(number, effects);
        running.ended = Some((end.into(), body));
    }

    /// The store does what the server wants of it, or the server gets the answer.
    pub(crate) fn ask(&mut self, place: usize) {
        let rest = self.state.rest_mut();
        let life = rest.lives.server;
        match rest.work.questions.remove(place) {
            Question::Open(key, wanted) => {
                let table = rest.store.open(life, wanted);
                rest.work.questions.push(Question::Opened(key, table));
            }
            Question::Opened(key, table) => {
                self.server(true, |side| side.opened(key, table)).unwrap_or_default();
            }
            Question::Forget(generation) => rest.store.forget(life, generation),
        }
    }
}

/// What the process does that has stalled. It hears nothing: another has its address.
impl Step<'_> {
    fn life_before(&self) -> u8 {
        self.state.rest.lives.server - 1
    }

    fn stalled_server<T>(&mut self, act: impl FnOnce(&mut ServerSide) -> T) -> Option<T> {
        let mut side = (**self.state.stalled.as_ref()?).clone();
        let result = act(&mut side);
        let (events, messages) = side.drain();
        for event in events {
            if let ServerEvent::Execute(_) = event {
                self.broke(Sentence::RightServer);
            }
        }
        self.state.stalled = Some(Arc::new(side));
        for message in messages {
            self.say(message);
        }
        Some(result)
    }

    pub(crate) fn stalled_begin(&mut self, place: usize) {
        let call = self.state.rest_mut().stalled.queued.remove(place);
        if self.stalled_server(|side| side.begin(call.ticket)) == Some(true) {
            let rest = self.state.rest_mut();
            let execution = rest.record.on_stalled_begin(call.number);
            rest.beyond |= execution > self.config.executions;
            rest.stalled.running.push(Running { call, execution, ended: None });
        }
    }

    pub(crate) fn stalled_commit(&mut self, place: usize) {
        let life = self.life_before();
        let mut running = self.state.rest.stalled.running[place].clone();
        self.transact(life, &mut running, HandlerEnd::Returned);
        self.state.rest_mut().stalled.running[place] = running;
    }

    pub(crate) fn stalled_return(&mut self, place: usize) {
        let Running { call, ended, .. } = self.state.rest_mut().stalled.running.remove(place);
        if let Some((kind, body)) = ended {
            self.stalled_server(|side| side.finish(call.ticket, kind.into(), body));
        }
    }
}

/// What the process may do that has stalled. Only its durable calls matter: what others do, nobody
/// hears of.
pub(crate) fn stalled(state: &State, actions: &mut Vec<Action>) {
    let work = &state.rest.stalled;
    for (place, call) in work.queued.iter().enumerate() {
        actions.extend(call.is_durable().then_some(Action::StalledBegin(place)));
    }
    for (place, running) in work.running.iter().enumerate() {
        if running.must_commit() {
            actions.push(Action::StalledCommit(place));
        } else if running.call.is_durable() {
            actions.push(Action::StalledReturn(place));
        }
    }
}
