//! The six rules of "What an error says", a test for each.

use rpc_runtime::sim::net::{Rule, Verdict};
use rpc_runtime::wire::Kind;
use rpc_runtime::{ErrorKind, Execution, Options, Resolution, Stub};

use super::kinds::{desk, own_place, within};
use super::*;

/// Runs a world and hands out what its visitor found.
fn found<T: Send + 'static>(
    clerk: &Clerk,
    plan: impl FnOnce(&mut Control, Stage),
    visit: impl FnOnce() -> T + Send + 'static,
) -> T {
    let found = Arc::new(Mutex::new(None));
    let told = Arc::clone(&found);
    world(
        1,
        clerk.clone(),
        |server| server,
        plan,
        move || {
            let value = visit();
            *told.lock().unwrap() = Some(value);
        },
    );
    found.lock().unwrap().take().expect("the visitor has finished")
}

/// All that `from` sends of this kind is lost until `until`.
fn lose(control: &mut Control, from: HostId, kind: Kind, until: Instant) {
    let rule = control.net.script(Rule::new(Verdict::Drop).from(from).kind(kind));
    control.at(until, move |control| control.net.unscript(rule));
}

#[test]
fn rule_1_nothing_on_the_client_alone_denies_what_has_left() {
    for lost in [Kind::Request, Kind::Reply] {
        let plan = move |control: &mut Control, stage: Stage| {
            let from = if lost == Kind::Request { stage.visitor } else { stage.desk };
            lose(control, from, lost, at(60_000));
        };
        let errors = found(&Clerk::default(), plan, || {
            let desk = desk("sim://desk").with(within(500));
            let overdue = desk.count().unwrap_err();
            let called_off = desk.start().count();
            rest(Duration::from_millis(100));
            called_off.cancel();
            [overdue, called_off.wait().unwrap_err()]
        });
        let kinds = errors.each_ref().map(CallError::kind);
        assert_eq!(kinds, [ErrorKind::NoReply, ErrorKind::Cancelled]);
        for error in errors {
            assert_eq!(error.execution(), Execution::Unknown, "{error}");
            assert!(!error.is_safe_to_retry());
        }
    }
}

#[test]
fn rule_2_a_refused_call_is_refused_again_however_late_its_copies_come() {
    let clerk = Clerk::default();
    let copies = |control: &mut Control, stage: Stage| {
        // Of the second request: the first occupies the desk.
        let late = Rule::new(Verdict::Repeat(Duration::from_secs(5)));
        control.net.script(late.from(stage.visitor).kind(Kind::Request).skip(1).times(1));
    };
    let narrow = |server: Server| with_limits(server, |limits| limits.calls_running_max = 1);
    world(2, clerk.clone(), narrow, copies, || {
        let desk = desk("sim://desk");
        desk.with(within(3_000)).start().dawdle(500).detach();
        rest(Duration::from_millis(50));
        let error = desk.with(Options::new().retry(false)).count().unwrap_err();
        assert_eq!(
            (error.kind(), error.execution()),
            (ErrorKind::Overloaded, Execution::NotExecuted)
        );
        rest(Duration::from_secs(10)); // there is room when the copy comes
    });
    assert_eq!(clerk.counted(), 1, "the refused call never ran");
}

#[test]
fn rule_3_a_time_out_is_unknown_unless_nothing_was_handed_over() {
    let silent = |control: &mut Control, stage: Stage| {
        lose(control, stage.visitor, Kind::Hello, at(400));
        lose(control, stage.visitor, Kind::Request, at(60_000));
    };
    let (before, after, never_left) = found(&Clerk::default(), silent, || {
        let desk = desk("sim://desk").with(within(300));
        let before = desk.count().unwrap_err();
        rest(Duration::from_millis(200));
        let after = desk.with(within(3_000)).count().unwrap_err();
        (before, after, desk.with(within(0)).count().unwrap_err())
    });
    assert_eq!(
        (before.kind(), before.execution()),
        (ErrorKind::Unreachable, Execution::NotExecuted)
    );
    assert!(before.evidence().transmissions > 0, "HELLOs are no calls");
    assert_eq!((after.kind(), after.execution()), (ErrorKind::NoReply, Execution::Unknown));
    assert_eq!(never_left.execution(), Execution::NotExecuted);
}

#[test]
fn rule_4_a_fault_free_run_leaves_nothing_unknown() {
    for seed in 0..20 {
        let clerk = Clerk::default();
        let slow = |control: &mut Control, _: Stage| {
            // There and back within the time after which a request is sent again.
            control.net.set_latency(Duration::from_millis(seed * 4));
        };
        let few = |server: Server| with_limits(server, |limits| limits.slots_max = 4).workers(2);
        world(seed, clerk.clone(), few, slow, || {
            let desk = desk("sim://desk").with(within(20_000));
            let calls: Vec<_> = (0..40_u64)
                .map(|number| match number % 4 {
                    0 => desk.start().count(),
                    1 => desk.start().recount(),
                    2 => desk.start().dawdle(number),
                    _ => desk.start().pass_on("sim://visitor"),
                })
                .collect();
            for call in calls {
                if let Err(error) = call.wait() {
                    assert_eq!(error.kind(), ErrorKind::HandlerFailed, "{error}");
                    assert_eq!(error.execution(), Execution::Executed);
                }
            }
        });
        assert_eq!(clerk.counted(), 30, "seed {seed}: no call ran twice");
    }
}

/// A desk that is asked through another one.
#[service(name = "clerk")]
trait Relay {
    /// Passes on what the next one passes on.
    fn relay(&self, next: &str, url: &str) -> Result<u64, CallError>;
}

struct Forward;

impl Relay for Forward {
    fn relay(&self, next: &str, url: &str) -> Result<u64, CallError> {
        DeskClient::connect(next)?.with(within(2_000)).pass_on(url)
    }
}

#[test]
fn rule_5_the_certainty_of_a_nested_call_is_none_about_the_outer_one() {
    let serve = |server: Server| server.export(RelayService::new(Forward));
    let visit = |url: &str| {
        let nobody = if url.starts_with("sim") { own_place(url) } else { deserted(url) };
        RelayClient::connect(url).unwrap().relay(url, &nobody).unwrap_err()
    };
    let case = Case { serve, visit };
    for (_, error) in case.everywhere() {
        assert_eq!(
            (error.kind(), error.execution()),
            (ErrorKind::HandlerFailed, Execution::Executed)
        );
        assert!(error.is_partial() && !error.is_safe_to_retry());
        let text = error.to_string();
        assert!(text.starts_with("executed, perhaps in part: the handler gave up"), "{text}");
        assert!(text.contains("not executed: no server answers"), "the cause is told: {text}");
        assert!(!text.contains("safe to retry"), "{text}");
    }
    assert_eq!(RelayClient::interface().name(), "clerk");
}

#[test]
fn rule_6_resolve_turns_doubt_into_the_stored_reply() {
    let clerk = Clerk::default();
    let no_replies = |control: &mut Control, stage: Stage| {
        lose(control, stage.desk, Kind::Reply, at(1_000));
    };
    let resolution = found(&clerk, no_replies, || {
        let desk = desk("sim://desk");
        let error = desk.with(within(500)).count().unwrap_err();
        assert_eq!(error.execution(), Execution::Unknown);
        rest(Duration::from_millis(800));
        desk.resolve(error.call()).unwrap()
    });
    let Resolution::Returned(reply) = resolution else { panic!("{resolution:?}") };
    assert_eq!(reply.decode::<Result<u64, CallError>>().unwrap(), 1);
    assert_eq!(clerk.counted(), 1);
}

#[test]
fn rule_6_resolve_turns_doubt_into_a_promise_that_holds() {
    let clerk = Clerk::default();
    let late = |control: &mut Control, stage: Stage| {
        let requests = Rule::new(Verdict::Delay(Duration::from_secs(5)));
        control.net.script(requests.from(stage.visitor).kind(Kind::Request));
    };
    let resolution = found(&clerk, late, || {
        let desk = desk("sim://desk");
        // Its patience would last until the copies come: only the seal keeps them from running.
        let call = desk.with(within(20_000)).start().count();
        rest(Duration::from_millis(300));
        let id = call.id().expect("it has left");
        call.cancel();
        assert_eq!(call.wait().unwrap_err().execution(), Execution::Unknown);
        let resolution = desk.resolve(id).unwrap();
        rest(Duration::from_secs(30));
        resolution
    });
    assert_eq!(resolution, Resolution::NotExecuted);
    assert_eq!(clerk.counted(), 0, "the copies came after the promise");
}

#[test]
fn rule_6_no_call_that_ran_is_denied_by_an_id_taken_too_early_or_too_late() {
    let clerk = Clerk::default();
    let (early, late, resolution) = found(
        &clerk,
        |_, _| {},
        || {
            let desk = desk("sim://desk");
            let call = desk.start().count();
            let early = call.id();
            rest(Duration::from_millis(300));
            assert_eq!(desk.count().unwrap(), 2, "by now the first has ended");
            let late = call.id();
            assert_eq!(call.wait().unwrap(), 1);
            (early, late, desk.resolve(rpc_runtime::CallId::UNSENT))
        },
    );
    assert_eq!(early, None, "no session was open");
    assert!(late.is_some(), "the place of a call that has ended is known");
    assert_eq!(resolution.unwrap_err().execution(), Execution::Unknown);
}
