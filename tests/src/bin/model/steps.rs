//! One step of the world: what each action does.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rpc_runtime::ids::{CallId, Space};
use rpc_runtime::protocol::{ClientEvent, HandlerEnd, ServerEvent};
use rpc_runtime::wire::{Envelope, Hello, Pdu};

use crate::config::Config;
use crate::message::Message;
use crate::record::{MEANT, Sentence, Told};
use crate::sides::{ClientSide, METHODS, ServerSide, address, number_of};
use crate::world::{Action, Question, Queued, Running, State, Work};

/// Quanta of a call beyond which nothing is explored.
const QUANTA_MAX: u32 = 2;

/// Nonces are drawn after two keys.
const DRAWN_BEFORE_NONCES: u64 = 2;

/// The lives that headers name: see `Incarnation::tag`.
fn client_life_of(envelope: &Envelope) -> u8 {
    u8::try_from(envelope.target ^ 1).unwrap_or(u8::MAX)
}

fn server_life_of(envelope: &Envelope) -> Option<u8> {
    u8::try_from(envelope.target ^ 7).ok().filter(|life| *life < 16)
}

/// Whether a message grants the session that a HELLO wants to resume.
fn is_welcome(message: &Message, hello: &Hello) -> bool {
    let (envelope, pdu) = message.read();
    matches!(pdu, Pdu::Welcome(welcome) if welcome.nonce == hello.nonce)
        && envelope.session == hello.resume
}

/// A step being made.
pub(crate) struct Step<'a> {
    pub(crate) config: &'a Config,
    pub(crate) state: State,
    /// What the step shows that the world reaches.
    pub(crate) seen: Vec<Told>,
    /// What is said, in order, where it is to arrive so.
    pub(crate) spoken: Option<VecDeque<Message>>,
    /// Messages that the server said last.
    said: usize,
}

impl<'a> Step<'a> {
    pub(crate) fn new(config: &'a Config, state: &State) -> Self {
        Self { config, state: state.clone(), seen: Vec::new(), spoken: None, said: 0 }
    }

    pub(crate) fn act(&mut self, action: &Action) {
        match action {
            Action::Call => self.call(),
            Action::GiveUp(number) => self.give_up(*number),
            Action::Resolve(number) => self.resolve(*number),
            Action::Deliver(message) => {
                if self.config.faultless {
                    self.state.unsay(message);
                }
                self.deliver(message);
            }
            Action::DeliverLate(message) => {
                let queued = self.state.rest.work.queued.len();
                if let Some(late) = message.late() {
                    self.deliver(&late);
                }
                if self.state.rest.work.queued.len() > queued {
                    self.broke(Sentence::LateRunsNothing);
                }
            }
            Action::Begin(place) => self.begin(*place),
            Action::Return(place) => self.finish(*place, HandlerEnd::Returned),
            Action::Panic(place) => self.finish(*place, HandlerEnd::Panicked),
            Action::Commit(place) => self.commit(*place, HandlerEnd::Returned),
            Action::CommitPanic(place) => self.commit(*place, HandlerEnd::Panicked),
            Action::Ask(place) => self.ask(*place),
            Action::StalledBegin(place) => self.stalled_begin(*place),
            Action::StalledCommit(place) => self.stalled_commit(*place),
            Action::StalledReturn(place) => self.stalled_return(*place),
            Action::Report => self.server(false, ServerSide::report).unwrap_or_default(),
            Action::ClientTick => self.client(ClientSide::tick, |_, ()| ()),
            Action::ServerTick => self.server(true, ServerSide::tick).unwrap_or_default(),
            Action::BothTick => {
                self.client(ClientSide::tick, |_, ()| ());
                self.server(true, ServerSide::tick).unwrap_or_default();
            }
            Action::Overload(on) => {
                self.state.rest_mut().loads += 1;
                self.server(false, |side| side.overload(*on)).unwrap_or_default();
            }
            Action::Drain => {
                self.state.rest_mut().drained = true;
                self.server(false, ServerSide::drain_calls).unwrap_or_default();
            }
            Action::Close => {
                self.state.rest_mut().closed = true;
                self.client(ClientSide::close, |_, ()| ());
            }
            Action::RestartServer => self.restart_server(),
            Action::RestartServerLate => {
                self.state.rest_mut().store.retire();
                self.restart_server();
            }
            Action::RestartClient => self.restart_client(),
            Action::Write => self.write(),
            Action::TakeOver(number) => self.take_over(*number),
            Action::Move => {
                let rest = self.state.rest_mut();
                rest.address += 1;
                let there = address(rest.address);
                self.client(|side| side.move_to(there), |_, ()| ());
            }
        }
    }

    pub(crate) fn broke(&mut self, sentence: Sentence) {
        self.state.rest_mut().record.broke(sentence);
    }

    /// Lets the client do something, then takes in what it says; `known` is told the result first.
    pub(crate) fn client<T>(
        &mut self,
        act: impl FnOnce(&mut ClientSide) -> T,
        known: impl FnOnce(&mut Self, T),
    ) {
        let mut side = (*self.state.client).clone();
        let run = catch_unwind(AssertUnwindSafe(|| {
            let result = act(&mut side);
            let (events, messages) = side.drain();
            (side, result, events, messages)
        }));
        let Ok((side, result, events, messages)) = run else {
            return self.broke(Sentence::NoPanic);
        };
        self.state.client = Arc::new(side);
        known(self, result);
        for message in messages {
            self.said_by_client(&message);
            self.say(message);
        }
        for event in events {
            match event {
                ClientEvent::Ended(ended) => {
                    let faultless = self.config.faultless;
                    let record = &mut self.state.rest_mut().record;
                    let (key, call) = (ended.key, ended.call);
                    self.seen.extend(record.on_verdict(key, call, &ended.outcome, faultless));
                }
                ClientEvent::Record { key, call, record } => {
                    self.state.rest_mut().journal.want(key, call, &record);
                }
                ClientEvent::WantGeneration { .. } => self.find_generation(),
            }
        }
    }

    pub(crate) fn say(&mut self, message: Message) {
        match &mut self.spoken {
            Some(spoken) => spoken.push_back(message),
            None => self.state.say(message),
        }
    }

    fn said_by_client(&mut self, message: &Message) {
        let (envelope, pdu) = message.read();
        if let Pdu::Request(request) = pdu {
            let number = request.arguments.first().copied().unwrap_or(u8::MAX);
            let life = server_life_of(&envelope);
            if !self.state.rest.record.knows_sent(number, life) {
                self.state.rest_mut().record.on_sent(number, life);
            }
        }
        if let Pdu::Hello(hello) = pdu {
            let rest = self.state.rest_mut();
            let drawn = DRAWN_BEFORE_NONCES + rest.record.durable_calls_of(rest.lives.client);
            rest.beyond |= (hello.nonce.0 & 0xff).saturating_sub(drawn) > self.config.nonces;
        }
    }

    /// Lets the server do something, and takes in what it says. `None` if it panicked.
    pub(crate) fn server<T>(
        &mut self,
        may_close: bool,
        act: impl FnOnce(&mut ServerSide) -> T,
    ) -> Option<T> {
        let mut side = (*self.state.server).clone();
        let run = catch_unwind(AssertUnwindSafe(|| {
            let result = act(&mut side);
            let (events, messages) = side.drain();
            (side, result, events, messages)
        }));
        let Ok((side, result, events, messages)) = run else {
            self.broke(Sentence::NoPanic);
            return None;
        };
        self.state.server = Arc::new(side);
        for event in events {
            match event {
                ServerEvent::Execute(mut execute) => {
                    let number = number_of(&mut execute);
                    let (ticket, digest) = (execute.ticket, execute.digest);
                    self.state.rest_mut().work.queued.push(Queued { ticket, number, digest });
                }
                // An acknowledgement may be lost, and is; what the store holds is looked after only
                // when much time has passed, which is a step of its own here.
                ServerEvent::Cancel(_)
                | ServerEvent::Fenced { .. }
                | ServerEvent::Acknowledged { .. }
                | ServerEvent::Retain { .. } => {}
                ServerEvent::OpenGeneration { key, wanted, .. } => {
                    self.state.rest_mut().work.questions.push(Question::Open(key, wanted));
                }
                ServerEvent::ForgetGeneration { generation, .. } => {
                    self.state.rest_mut().work.questions.push(Question::Forget(generation));
                }
                ServerEvent::SessionClosed(id) => {
                    let running = &self.state.rest.work.running;
                    let runs = running.iter().any(|one| one.call.ticket.call_id().session == id);
                    if runs || !may_close {
                        self.broke(Sentence::SessionsEndInTime);
                    }
                    self.state.rest_mut().record.on_closed(id);
                }
            }
        }
        self.said = messages.len();
        for message in messages {
            self.said_by_server(&message);
            self.say(message);
        }
        Some(result)
    }

    fn said_by_server(&mut self, message: &Message) {
        let (envelope, pdu) = message.read();
        if let Pdu::Extend(extend) = pdu {
            self.state.rest_mut().beyond |= extend.quantum > QUANTA_MAX;
        }
        if let Pdu::Welcome(_) = pdu {
            let (lives, life) = (self.state.rest.lives, client_life_of(&envelope));
            let sessions = self.config.sessions;
            let rest = self.state.rest_mut();
            rest.record.on_welcome(lives, envelope.session, life);
            rest.beyond |= rest.record.opened() > sessions;
        }
    }

    /// What the worker's side and the machine's must agree on.
    pub(crate) fn check(&mut self) {
        let rest = &self.state.rest;
        let calls = (rest.work.queued.len(), rest.work.running.len());
        let (server, client) = (&self.state.server, &self.state.client);
        if !server.is_within_limits
            || server.calls != calls
            || client.outstanding != rest.record.waiting()
        {
            self.broke(Sentence::Bounded);
        }
    }
}

/// What each action does.
impl Step<'_> {
    fn call(&mut self) {
        let lives = self.state.rest.lives;
        let place = self.state.rest.record.facts.len();
        let (method, patience) = (self.config.calls[place], self.config.patience);
        let number = self.state.rest_mut().record.on_call(lives, METHODS[method]);
        self.client(
            |side| side.call(number, method, patience),
            |step, key| {
                step.state.rest_mut().record.facts[usize::from(number)].waits = Some(key);
            },
        );
    }

    fn give_up(&mut self, number: u8) {
        let rest = self.state.rest_mut();
        rest.cancels += 1;
        if let Some(key) = rest.record.facts[usize::from(number)].waits {
            self.client(|side| side.cancel(key), |_, ()| ());
        }
    }

    fn resolve(&mut self, number: u8) {
        let rest = self.state.rest_mut();
        rest.resolves += 1;
        if let Some(call) = rest.record.facts[usize::from(number)].place {
            self.client(
                |side| side.resolve(call),
                |step, key| {
                    step.state.rest_mut().record.facts[usize::from(number)].asks = Some(key);
                },
            );
        }
    }

    fn deliver(&mut self, message: &Message) {
        if !message.is_to_server() {
            if message.client() != self.state.client.address {
                return;
            }
            return self.client(|side| side.take(message), |_, ()| ());
        }
        let (envelope, pdu) = message.read();
        let bye = matches!(pdu, Pdu::Bye(_));
        let must = self.must(message);
        let granted = self.state.server.granted;
        self.server(bye, |side| side.take(message)).unwrap_or_default();
        self.hold_to(&must, self.said);
        if let Pdu::Extend(extend) = pdu
            && self.state.server.granted > granted
        {
            let (slot, sequence) = (extend.slot, extend.sequence);
            let call = CallId { session: envelope.session, space: Space::Session, slot, sequence };
            self.state.rest_mut().record.on_granted(call, extend.quantum);
        }
        if let Pdu::Hello(hello) = pdu
            && hello.resume.is_some()
            && self.state.net.iter().any(|message| is_welcome(message, &hello))
        {
            self.seen.push(Told::Resumed);
        }
    }

    fn begin(&mut self, place: usize) {
        let rest = self.state.rest_mut();
        let call = rest.work.queued.remove(place);
        let (ticket, number) = (call.ticket, call.number);
        if self.server(true, |side| side.begin(ticket)) == Some(true) {
            let rest = self.state.rest_mut();
            let is_alive = rest.work.running.iter().any(|other| other.call.number == number);
            if is_alive && call.is_durable() {
                rest.record.broke(Sentence::OneAlive);
            }
            let execution = rest.record.on_begin(rest.lives, ticket, number);
            rest.beyond |= execution > self.config.executions;
            rest.work.running.push(Running { call, execution, ended: None });
        }
    }

    fn finish(&mut self, place: usize, end: HandlerEnd) {
        let rest = self.state.rest_mut();
        let Running { call, execution, ended } = rest.work.running.remove(place);
        let (end, body) = match ended {
            Some((kind, body)) => (kind.into(), body),
            None => {
                rest.record.on_finish(call.number, execution, end);
                (end, vec![call.number, execution])
            }
        };
        self.server(true, |side| side.finish(call.ticket, end, body)).unwrap_or_default();
    }

    fn restart_server(&mut self) {
        let limits = self.config.limits();
        let rest = self.state.rest_mut();
        rest.server_place += 1;
        rest.lives.server += 1;
        rest.lives.server_id = self.config.servers[rest.server_place];
        let work = mem::take(&mut rest.work);
        let is_durable = self.config.is_durable();
        if is_durable {
            rest.store.take();
        }
        let stalls = self.config.stalls && rest.lives.server_id == MEANT;
        rest.stalled = if stalls { work } else { Work::default() };
        let lives = rest.lives;
        let next = ServerSide::new(lives.server, lives.server_id, &limits, is_durable);
        let before = mem::replace(&mut self.state.server, Arc::new(next));
        self.state.stalled = stalls.then_some(before);
    }

    fn restart_client(&mut self) {
        let limits = self.config.limits();
        let rest = self.state.rest_mut();
        rest.lives.client += 1;
        rest.closed = false;
        rest.record.on_client_restart();
        rest.journal.pending.clear();
        let (life, there) = (rest.lives.client, address(rest.address));
        let mut client = ClientSide::new(life, there, &limits);
        if self.config.journal {
            client.keep_journal();
        }
        self.state.client = Arc::new(client);
    }
}
