//! What an observer of the whole world writes down, and the sentences of the contract that it holds
//! against it. No machine sees any of it.

use rpc_runtime::error::Execution;
use rpc_runtime::ids::{CallId, SessionId};
use rpc_runtime::protocol::{CallKey, DoubtCause, HandlerEnd, Outcome, Ticket};
use rpc_runtime::semantics::Semantics;
use rpc_runtime::wire::{Envelope, RefuseReason};

/// A sentence of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sentence {
    /// At most one execution begins of an `at_most_once` or `maybe` call.
    AtMostOnce,
    /// `NotExecuted` is said only of what never ran and never will.
    NotExecutedIsTrue,
    /// A reply is what an execution of this call gave.
    ReplyIsTrue,
    /// Every verdict is given once.
    OneVerdict,
    /// Nothing begins in the session of a former life of the client.
    FencedBeginsNothing,
    /// A call runs on the server of the session that carried it, and on no other than was meant.
    RightServer,
    /// A session id is never given twice.
    SessionIdsAreFresh,
    /// A session ends by its lease or by its client's BYE, and outlives what runs in it.
    SessionsEndInTime,
    /// Without a fault nothing is in doubt and nothing runs twice.
    NoDoubtWithoutFault,
    /// A request that arrives after its caller's patience runs nothing.
    LateRunsNothing,
    /// Tables keep within their limits, and what is counted is there.
    Bounded,
    /// No assertion of a machine fails.
    NoPanic,
    /// At most one effect of an `exactly_once` call is in the store.
    OneEffect,
    /// One server runs an `exactly_once` call once at a time.
    OneAlive,
    /// No call is taken for another client's where there is no other.
    OwnIdentity,
    /// A later life of the client gets answers in the sessions of former ones.
    HeirIsAnswered,
    /// What was called off before it came never begins.
    CalledOffNeverBegins,
    /// A further quantum is granted by the answer to its own question.
    QuantumIsItsOwn,
}

impl Sentence {
    /// All of them, with their names.
    pub(crate) const ALL: [(Self, &'static str); 18] = [
        (Self::AtMostOnce, "at most one execution begins"),
        (Self::NotExecutedIsTrue, "not executed is true for ever"),
        (Self::ReplyIsTrue, "a reply was returned by an execution"),
        (Self::OneVerdict, "every verdict is given once"),
        (Self::FencedBeginsNothing, "a fenced session begins nothing"),
        (Self::RightServer, "the session's server executes"),
        (Self::SessionIdsAreFresh, "a session id is never given twice"),
        (Self::SessionsEndInTime, "a session outlives what runs in it"),
        (Self::NoDoubtWithoutFault, "without a fault nothing is in doubt"),
        (Self::LateRunsNothing, "a late request runs nothing"),
        (Self::Bounded, "tables are bounded"),
        (Self::NoPanic, "no assertion fails"),
        (Self::OneEffect, "one effect of a call is in the store"),
        (Self::OneAlive, "a server runs a durable call once at a time"),
        (Self::OwnIdentity, "nobody else has the client's identity"),
        (Self::HeirIsAnswered, "a later life is answered in former sessions"),
        (Self::CalledOffNeverBegins, "what was called off unseen never begins"),
        (Self::QuantumIsItsOwn, "a quantum is granted by an answer of its own"),
    ];

    /// What no record shows: that states lead somewhere.
    pub(crate) const CALM: &'static str = "in a calm world every call ends";
}

/// What is known of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fact {
    pub(crate) semantics: Semantics,
    /// The life of the client that made it.
    pub(crate) life: u8,
    /// Who waits for it, and who asks what became of it.
    pub(crate) waits: Option<CallKey>,
    pub(crate) asks: Option<CallKey>,
    /// Where it was when it ended.
    pub(crate) place: Option<CallId>,
    begun: u8,
    denied: bool,
    /// Whether its effect is in the store.
    has_effect: bool,
    /// Executions that ended, and how.
    ended: Vec<(u8, HandlerEndKind)>,
    /// Bit n: was handed over in a session with the server's nth life.
    sent_to: u16,
}

/// How an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HandlerEndKind {
    Returned,
    Failed,
    /// Nothing of a durable one is in the store.
    NotCommitted,
}

impl From<HandlerEnd> for HandlerEndKind {
    fn from(end: HandlerEnd) -> Self {
        match end {
            HandlerEnd::Returned => Self::Returned,
            HandlerEnd::NotCommitted => Self::NotCommitted,
            HandlerEnd::Panicked
            | HandlerEnd::Cancelled { .. }
            | HandlerEnd::HandlerFailed
            | HandlerEnd::TooLarge
            | HandlerEnd::Unsettled
            | HandlerEnd::BadArguments => Self::Failed,
        }
    }
}

impl From<HandlerEndKind> for HandlerEnd {
    fn from(kind: HandlerEndKind) -> Self {
        match kind {
            HandlerEndKind::Returned => Self::Returned,
            HandlerEndKind::Failed => Self::Panicked,
            HandlerEndKind::NotCommitted => Self::NotCommitted,
        }
    }
}

/// A session that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Opened {
    id: SessionId,
    server_life: u8,
    client_life: u8,
}

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) facts: Vec<Fact>,
    opened: Vec<Opened>,
    /// Sessions that are over.
    closed: Vec<SessionId>,
    /// Calls that were called off before they came.
    called_off: Vec<CallId>,
    /// Quanta that were granted to calls.
    granted: Vec<(CallId, u32)>,
    pub(crate) broken: Option<Sentence>,
}

/// The life of the client that says something, by its header.
pub(crate) fn client_life_of_speaker(envelope: &Envelope) -> u8 {
    u8::try_from(envelope.incarnation.0 >> 32).unwrap_or(u8::MAX)
}

/// Who is who at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lives {
    pub(crate) client: u8,
    pub(crate) server: u8,
    /// The server's id.
    pub(crate) server_id: u8,
}

/// The server that the client means.
pub(crate) const MEANT: u8 = 1;

impl Record {
    pub(crate) fn broke(&mut self, sentence: Sentence) {
        self.broken = self.broken.or(Some(sentence));
    }

    pub(crate) fn opened(&self) -> usize {
        self.opened.len()
    }

    pub(crate) fn on_call(&mut self, lives: Lives, semantics: Semantics) -> u8 {
        self.facts.push(Fact {
            semantics,
            life: lives.client,
            waits: None,
            asks: None,
            place: None,
            begun: 0,
            denied: false,
            has_effect: false,
            ended: Vec::new(),
            sent_to: 0,
        });
        u8::try_from(self.facts.len() - 1).expect("few calls")
    }

    fn fact(&mut self, number: u8) -> Option<&mut Fact> {
        self.facts.get_mut(usize::from(number))
    }

    /// A call left for the server's life with this tag.
    pub(crate) fn on_sent(&mut self, number: u8, server_life: Option<u8>) {
        if let (Some(fact), Some(life)) = (self.fact(number), server_life) {
            fact.sent_to |= 1 << life;
        }
    }

    pub(crate) fn knows_sent(&self, number: u8, server_life: Option<u8>) -> bool {
        let fact = self.facts.get(usize::from(number));
        let known = |life| fact.is_some_and(|fact| fact.sent_to & (1_u16 << life) != 0);
        server_life.is_none_or(known)
    }

    /// Callers and questions that wait.
    pub(crate) fn waiting(&self) -> usize {
        let waits =
            |fact: &Fact| usize::from(fact.waits.is_some()) + usize::from(fact.asks.is_some());
        self.facts.iter().map(waits).sum()
    }

    /// `exactly_once` calls that this life of the client has made.
    pub(crate) fn durable_calls_of(&self, life: u8) -> u64 {
        let own = |fact: &&Fact| fact.life == life && fact.semantics == Semantics::ExactlyOnce;
        self.facts.iter().filter(own).count() as u64
    }

    /// Whoever waited is gone with the client.
    pub(crate) fn on_client_restart(&mut self) {
        for fact in &mut self.facts {
            (fact.waits, fact.asks, fact.place) = (None, None, None);
        }
    }

    /// A server says WELCOME.
    pub(crate) fn on_welcome(&mut self, lives: Lives, id: SessionId, client_life: u8) {
        let this = Opened { id, server_life: lives.server, client_life };
        match self.opened.iter().find(|opened| opened.id == id) {
            None => self.opened.push(this),
            Some(opened) if *opened != this => self.broke(Sentence::SessionIdsAreFresh),
            Some(_) => {}
        }
    }

    pub(crate) fn on_closed(&mut self, id: SessionId) {
        self.closed.push(id);
    }

    pub(crate) fn on_called_off(&mut self, call: CallId) {
        if !self.called_off.contains(&call) {
            self.called_off.push(call);
        }
    }

    /// A call got a further quantum by an answer to the end of this one.
    pub(crate) fn on_granted(&mut self, call: CallId, quantum: u32) {
        let before = self.granted.iter().filter(|(granted, _)| *granted == call).count();
        self.granted.push((call, quantum));
        if u32::try_from(before + 1) != Ok(quantum) {
            self.broke(Sentence::QuantumIsItsOwn);
        }
    }

    /// The life of the client that opened a session which this life of the server has.
    pub(crate) fn opener_of(&self, lives: Lives, id: SessionId) -> Option<u8> {
        let here = |opened: &&Opened| opened.id == id && opened.server_life == lives.server;
        let opened = self.opened.iter().find(here).filter(|_| !self.closed.contains(&id));
        opened.map(|opened| opened.client_life)
    }

    /// The latest life of the client that this life of the server has welcomed.
    pub(crate) fn newest_life(&self, lives: Lives) -> Option<u8> {
        let here = self.opened.iter().filter(|opened| opened.server_life == lives.server);
        here.map(|opened| opened.client_life).max()
    }

    /// An execution begins; gives its number among those of the call.
    pub(crate) fn on_begin(&mut self, lives: Lives, ticket: Ticket, number: u8) -> u8 {
        let session = ticket.call_id().session;
        let opened = self.opened.iter().find(|opened| opened.id == session).copied();
        let newest = self.newest_life(lives);
        if self.called_off.contains(&ticket.call_id()) {
            self.broke(Sentence::CalledOffNeverBegins);
        }
        let Some(fact) = self.fact(number) else { return self.lie_of(Sentence::ReplyIsTrue) };
        fact.begun += 1;
        let begun = fact.begun;
        let repeatable = matches!(fact.semantics, Semantics::AtLeastOnce | Semantics::ExactlyOnce);
        let is_durable = fact.semantics == Semantics::ExactlyOnce;
        let (denied, life, sent_to) = (fact.denied, fact.life, fact.sent_to);
        if begun > 1 && !repeatable {
            self.broke(Sentence::AtMostOnce);
        }
        if denied {
            self.broke(Sentence::NotExecutedIsTrue);
        }
        if newest.is_some_and(|newest| newest > life) {
            self.broke(Sentence::FencedBeginsNothing);
        }
        // A durable call runs in any life of the server that it was sent to (invariant 10).
        let right = (is_durable || opened.is_some_and(|opened| opened.server_life == lives.server))
            && sent_to & (1 << lives.server) != 0
            && lives.server_id == MEANT;
        if !right {
            self.broke(Sentence::RightServer);
        }
        begun
    }

    fn lie_of(&mut self, sentence: Sentence) -> u8 {
        self.broke(sentence);
        0
    }

    pub(crate) fn on_finish(&mut self, number: u8, execution: u8, end: HandlerEnd) {
        if let Some(fact) = self.fact(number) {
            fact.ended.push((execution, end.into()));
        }
    }

    /// An execution by a process that is the server no more: nothing is promised of it.
    pub(crate) fn on_stalled_begin(&mut self, number: u8) -> u8 {
        let Some(fact) = self.fact(number) else { return self.lie_of(Sentence::ReplyIsTrue) };
        fact.begun += 1;
        fact.begun
    }

    /// The store holds so many effects of a call after an execution of it has ended.
    pub(crate) fn on_effects(&mut self, number: u8, effects: usize) {
        let Some(fact) = self.fact(number) else { return };
        fact.has_effect = effects > 0;
        let denied = fact.denied;
        if effects > 1 {
            self.broke(Sentence::OneEffect);
        } else if effects > 0 && denied {
            self.broke(Sentence::NotExecutedIsTrue);
        }
    }

    /// A caller, or who asked later, is told how a call ended.
    pub(crate) fn on_verdict(
        &mut self,
        key: CallKey,
        call: CallId,
        outcome: &Outcome,
        faultless: bool,
    ) -> Option<Told> {
        let told = |fact: &Fact| fact.waits == Some(key) || fact.asks == Some(key);
        let Some(number) = self.facts.iter().position(told) else {
            self.broke(Sentence::OneVerdict);
            return None;
        };
        let fact = &mut self.facts[number];
        let asked = fact.asks == Some(key);
        if asked {
            fact.asks = None;
        } else {
            fact.waits = None;
            fact.place = Some(call);
        }
        let number = u8::try_from(number).expect("few calls");
        let true_reply = |fact: &Fact, body: &[u8], kind| matches!(body, [.., of, execution] if *of == number && fact.ended.contains(&(*execution, kind)));
        let broken =
            match outcome {
                Outcome::Returned(body) => (!true_reply(fact, body, HandlerEndKind::Returned))
                    .then_some(Sentence::ReplyIsTrue),
                Outcome::Failed { body, .. } => (!true_reply(fact, body, HandlerEndKind::Failed))
                    .then_some(Sentence::ReplyIsTrue),
                Outcome::Refused { reason: RefuseReason::IdentityInUse, .. } => {
                    Some(Sentence::OwnIdentity)
                }
                Outcome::Refused { .. }
                | Outcome::Rejected { .. }
                | Outcome::NotSent(_)
                | Outcome::Sealed => {
                    fact.denied = true;
                    // Of a durable call nothing ran that has no effect (H6).
                    let is_durable = fact.semantics == Semantics::ExactlyOnce;
                    let ran = if is_durable { fact.has_effect } else { fact.begun > 0 };
                    ran.then_some(Sentence::NotExecutedIsTrue)
                }
                Outcome::Sent => None,
                Outcome::InDoubt(_) => faultless.then_some(Sentence::NoDoubtWithoutFault),
            };
        if let Some(broken) = broken {
            self.broke(broken);
        }
        Some(Told::of(asked, outcome))
    }
}

/// What a verdict shows that a model reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Success,
    Failure,
    NotExecuted,
    Unknown,
    Lost,
    Resolved,
    Resumed,
}

impl Told {
    pub(crate) const ALL: [(Self, &'static str); 7] = [
        (Self::Success, "a call succeeds"),
        (Self::Failure, "a call fails"),
        (Self::NotExecuted, "a call is not executed"),
        (Self::Unknown, "a call ends in doubt"),
        (Self::Lost, "a session is lost"),
        (Self::Resolved, "a call is resolved"),
        (Self::Resumed, "a session is resumed"),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    fn of(asked: bool, outcome: &Outcome) -> Self {
        let lost = matches!(
            outcome,
            Outcome::InDoubt(DoubtCause::SessionLost | DoubtCause::ServerRestarted)
        );
        match outcome.execution() {
            Execution::Executed | Execution::NotExecuted if asked => Self::Resolved,
            Execution::Executed if matches!(outcome, Outcome::Returned(_)) => Self::Success,
            Execution::Executed => Self::Failure,
            Execution::NotExecuted => Self::NotExecuted,
            Execution::Unknown if lost => Self::Lost,
            Execution::Unknown => Self::Unknown,
        }
    }
}
