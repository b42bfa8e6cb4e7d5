//! What `tracing` is told of calls: a span at each end, of a failed one an event with its fields, and never
//! what a call carried.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Once;
use std::thread::{self, ThreadId};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::kinds::{desk, silent_place, within};
use super::*;

/// An event: its level, its target, its fields as they print.
#[derive(Clone, Debug)]
struct Told {
    level: Level,
    target: &'static str,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

/// Keeps the events of this process, each with its thread. One for all: whether a place in the code
/// is listened to at all is decided for the process, by whichever test comes there first.
struct Log;

static TOLD: Mutex<Vec<(ThreadId, Told)>> = Mutex::new(Vec::new());
/// The spans of the runtime, in the order in which they began: a span's id is its place, from 1 on.
static SPANS: Mutex<Vec<Told>> = Mutex::new(Vec::new());

impl Subscriber for Log {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let (level, target) = (*attributes.metadata().level(), attributes.metadata().target());
        let mut told = Told { level, target, fields: BTreeMap::new() };
        attributes.record(&mut told);
        let mut spans = SPANS.lock().unwrap();
        spans.push(told);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let place = usize::try_from(span.into_u64() - 1).unwrap();
        values.record(&mut SPANS.lock().unwrap()[place]);
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        let mut told = Told { level, target, fields: BTreeMap::new() };
        event.record(&mut told);
        TOLD.lock().unwrap().push((thread::current().id(), told));
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// All that the runtime tells in this thread while `visit` goes on.
fn told(visit: impl FnOnce()) -> Vec<Told> {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| tracing::subscriber::set_global_default(Log).unwrap());
    visit();
    let here = thread::current().id();
    let mut all = TOLD.lock().unwrap();
    let ours = all.extract_if(.., |(thread, _)| *thread == here).map(|(_, event)| event);
    ours.filter(|event| event.target.starts_with("rpc_runtime")).collect()
}

fn served() -> rpc_runtime::server::Running {
    let server = Server::bind("udp://127.0.0.1:0").unwrap();
    server.export(DeskService::new(Clerk::default())).spawn().unwrap()
}

#[test]
fn a_failed_call_is_one_event_with_its_facts_and_a_call_that_succeeds_is_none() {
    let running = served();
    let events = told(|| {
        let desk = desk(&running.url());
        assert_eq!(desk.count().unwrap(), 1);
        let error = desk.panic("a secret").unwrap_err();
        assert_eq!(error.call().slot.0, 0);
    });
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((event.level, event.target), (Level::WARN, "rpc_runtime::call"));
    let field = |name: &str| event.fields.get(name).map(String::as_str);
    assert_eq!(field("message"), Some("call failed"));
    assert_eq!((field("execution"), field("kind")), (Some("executed"), Some("handler_panicked")));
    assert_eq!((field("method"), field("transmissions")), (Some("desk.panic"), Some("1")));
    assert_eq!(field("peer"), Some(running.addr().to_string().as_str()));
    assert_eq!(field("server"), Some(running.id().to_string().as_str()));
    assert!(field("call").is_some_and(|call| call.starts_with("s#") && call.ends_with(".0.2")));
    assert!(field("waited_ms").is_some_and(|waited| waited.parse::<u64>().is_ok()));
    assert_eq!(event.fields.len(), 9, "{event:?}");
    assert!(!format!("{events:?}").contains("secret"));
}

/// The spans that say that they are of this call.
fn spans_of(call: &str) -> Vec<Told> {
    let spans = SPANS.lock().unwrap();
    let of_call = spans.iter().filter(|span| span.fields.get("call").is_some_and(|of| of == call));
    of_call.cloned().collect()
}

#[test]
fn a_call_is_a_span_at_either_end_with_its_id_and_its_trace() {
    let running = served();
    let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = rpc_runtime::TraceContext::parse(text, None).unwrap();
    let call = Mutex::new(String::new());
    let events = told(|| {
        let desk = desk(&running.url());
        desk.count().unwrap(); // the first one has no place before there is a session
        let begun = rpc_runtime::context::with_trace(trace, || desk.start().count());
        *call.lock().unwrap() = begun.id().unwrap().to_string();
        begun.wait().unwrap();
    });
    assert!(events.is_empty(), "{events:?}");
    let spans = spans_of(&call.into_inner().unwrap());
    let [client, server] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((client.level, client.target), (Level::DEBUG, "rpc_runtime::call"));
    assert_eq!((server.level, server.target), (Level::DEBUG, "rpc_runtime::serve"));
    for span in [client, server] {
        assert_eq!(span.fields["method"], "desk.count");
        assert!(span.fields["traceparent"].starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    }
    assert_eq!(client.fields["traceparent"], text);
    assert_eq!(server.fields["parent"], "00f067aa0ba902b7");
    assert!(!server.fields["traceparent"].contains("00f067aa0ba902b7"), "a span of its own");
}

#[test]
fn what_never_left_has_fields_too_and_a_cancelled_call_is_no_warning() {
    let running = served();
    let events = told(|| {
        let (_socket, silent) = silent_place(&running.url());
        let call = desk(&silent).start().count();
        call.cancel();
        assert!(call.wait().is_err());
        let desk = desk(&running.url());
        assert!(desk.with(within(0)).count().is_err());
        desk.start().give_up().detach();
        drop(desk.start().give_up());
    });
    let facts: Vec<_> = events
        .iter()
        .map(|event| (event.level, event.fields["kind"].as_str(), event.fields.get("call")))
        .collect();
    let expected = [(Level::DEBUG, "cancelled", None), (Level::WARN, "expired", None)];
    assert_eq!(facts, expected, "nobody waited for the others");
    assert!(events.iter().all(|event| event.fields["execution"] == "not_executed"));
}

/// However often it was sent or made, it is one call to its caller.
#[test]
fn the_simulator_tells_the_same_of_those_who_block_and_those_who_do_not() {
    let learned = Arc::<Mutex<Vec<Told>>>::default();
    let events = Arc::clone(&learned);
    let narrow = |server: Server| with_limits(server, |limits| limits.calls_running_max = 1);
    let visit = || {
        let desk = desk("sim://desk").with(within(600));
        let _busy = desk.with(within(9_000)).start().dawdle(2_000);
        rest(Duration::from_millis(50));
        assert!(desk.recount().is_err(), "refused again and again");
        assert!(sim::block_on(desk.start().recount()).is_err());
    };
    let visitor = move || *events.lock().unwrap() = told(visit);
    world(1, Clerk::default(), narrow, |_, _| {}, visitor);
    let events = learned.lock().unwrap().clone();
    let facts = |event: &Told| event.fields["kind"].clone() + " by " + &event.fields["peer"];
    let facts: Vec<_> = events.iter().map(facts).collect();
    assert_eq!(facts, ["overloaded by host 0", "overloaded by host 0"]);
}
