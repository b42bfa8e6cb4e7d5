//! Traces: what a caller says of its trace reaches the handler, and the handlers that this one calls; over
//! a network that loses, doubles and delays, and where arguments take many datagrams.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex};

use rpc_runtime::context::{trace, with_trace};
use rpc_runtime::fault::Faults;
use rpc_runtime::sim;
use rpc_runtime::time::Duration;
use rpc_runtime::{CallError, TraceContext, current, service};

const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[service(name = "front", version = "1.0")]
trait Front {
    /// Has the back note, twice, and notes itself.
    #[rpc(timeout = "20s")]
    fn pass(&self, call: u64, payload: &[u8]) -> Result<u64, CallError>;
}

#[service(name = "back", version = "1.0")]
trait Back {
    /// Notes in which trace it is called.
    #[rpc(timeout = "10s")]
    fn note(&self, call: u64, payload: &[u8]) -> Result<u64, CallError>;
    /// The same, and waits in between.
    #[rpc(timeout = "10s")]
    async fn note_late(&self, call: u64) -> Result<u64, CallError>;
}

/// Who noted, of which call, in which trace.
type Note = (&'static str, u64, Option<TraceContext>);

/// Who noted what, in order.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Note>>>);

impl Notes {
    fn write(&self, who: &'static str, call: u64) {
        let own = current().unwrap().trace();
        assert_eq!(trace(), own, "a handler's calls are made in its own trace");
        self.0.lock().unwrap().push((who, call, own));
    }

    fn of(&self, call: u64) -> Vec<(&'static str, Option<TraceContext>)> {
        let notes = self.0.lock().unwrap();
        let of_call = notes.iter().filter(|(_, number, _)| *number == call);
        of_call.map(|(who, _, trace)| (*who, trace.clone())).collect()
    }
}

struct Middle {
    notes: Notes,
    back: BackClient,
}

impl Front for Middle {
    fn pass(&self, call: u64, payload: &[u8]) -> Result<u64, CallError> {
        self.notes.write("front", call);
        self.back.note(call, payload)?;
        self.back.start().note_late(call).wait()
    }
}

struct Last(Notes);

impl Back for Last {
    fn note(&self, call: u64, payload: &[u8]) -> Result<u64, CallError> {
        assert!(payload.iter().all(|&byte| byte == 7), "arguments are arguments");
        self.0.write("back", call);
        Ok(payload.len() as u64)
    }

    async fn note_late(&self, call: u64) -> Result<u64, CallError> {
        let world = sim::current_world().unwrap();
        world.gate().wait(Some(world.now() + Duration::from_millis(1)));
        self.0.write("late", call);
        Ok(call)
    }
}

/// What a client makes of both services, in a world whose network misbehaves.
fn told(seed: u64, client: impl FnOnce(FrontClient) + Send + 'static) -> Notes {
    let notes = Notes::default();
    let mut world = sim::World::new(seed);
    world.faults(Faults::default().loss(0.1).duplicate(0.1).delay(Duration::from_millis(3)));
    let (front, back) = (notes.clone(), notes.clone());
    world.server("front", move || {
        let back = BackClient::connect("sim://back").unwrap();
        FrontService::new(Middle { notes: front.clone(), back })
    });
    world.server("back", move || BackService::new(Last(back.clone())));
    world.client("client", || client(FrontClient::connect("sim://front").unwrap()));
    world.run();
    notes
}

fn parsed(state: &str) -> TraceContext {
    TraceContext::parse(TEXT, Some(state)).unwrap()
}

#[test]
fn a_trace_goes_from_the_client_through_all_handlers_each_a_span_of_its_own() {
    for seed in 0..20 {
        let notes = told(seed, |front| {
            front.pass(1, &[]).unwrap();
            with_trace(parsed("a=1"), || front.pass(2, &[7; 10])).unwrap();
            let begun = with_trace(parsed("a=2"), || front.start().pass(3, &[7]));
            assert_eq!(trace(), None);
            begun.wait().unwrap();
            front.pass(4, &[]).unwrap();
        });
        for untraced in [1, 4] {
            let expected = ["front", "back", "late"].map(|who| (who, None));
            assert_eq!(notes.of(untraced), expected, "seed {seed}");
        }
        for (call, state) in [(2, "a=1"), (3, "a=2")] {
            let told = notes.of(call);
            let [(_, Some(front)), (_, Some(back)), (_, Some(late))] = &told[..] else {
                panic!("seed {seed}: {told:?}");
            };
            assert_eq!(front.parent_id(), Some(parsed("").span_id()));
            assert_eq!([back.parent_id(), late.parent_id()], [Some(front.span_id()); 2]);
            assert!(front.span_id() != back.span_id() && back.span_id() != late.span_id());
            for span in [front, back, late] {
                assert_eq!(span.trace_id(), parsed("").trace_id());
                assert_eq!((span.tracestate(), span.is_sampled()), (state, true));
            }
        }
    }
}

#[test]
fn large_arguments_come_whole_and_say_the_trace_but_not_its_state() {
    let long = format!("key={},b={}", "v".repeat(250), "w".repeat(250));
    let state = long.clone();
    let sizes = [0, 500, 610, 620, 1_000, 1_100, 1_110, 1_120, 1_130, 1_142, 2_000, 100_000];
    let notes = told(1, move |front| {
        for (call, bytes) in sizes.into_iter().enumerate() {
            with_trace(parsed(&state), || front.pass(call as u64, &vec![7; bytes])).unwrap();
        }
    });
    for (call, bytes) in sizes.into_iter().enumerate() {
        let told = notes.of(call as u64);
        assert_eq!(told.len(), 3, "{bytes} bytes");
        let traces: Vec<_> = told.iter().map(|(_, trace)| trace.clone().unwrap()).collect();
        assert!(traces.iter().all(|trace| trace.trace_id() == parsed("").trace_id()));
        let kept = if bytes < 600 { &*long } else { "" };
        assert_eq!(traces[0].tracestate(), kept, "{bytes} bytes");
    }
}
