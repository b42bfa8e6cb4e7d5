use super::*;

fn evidence() -> Evidence {
    Evidence {
        peer: Some(Address::Ip("10.0.0.7:4000".parse().expect("an address"))),
        transmissions: 6,
        waited: Duration::from_secs(10),
        ..Evidence::default()
    }
}

fn text(kind: ErrorKind, execution: Execution, detail: &str) -> String {
    CallError::new(kind, execution).with_evidence(evidence()).with_detail(detail).to_string()
}

#[test]
fn every_kind_says_first_whether_the_call_ran_then_why_then_what_to_do() {
    use ErrorKind as K;
    use Execution::{Executed, NotExecuted, Unknown};
    let golden = [
        (
            K::NoServer,
            NotExecuted,
            "\"bank\" 1.x",
            "not executed: no server named \"bank\" 1.x is registered (asked 10.0.0.7:4000, 6 tries in 10.0 s); start one, or retry later",
        ),
        (
            K::Unreachable,
            NotExecuted,
            "",
            "not executed: no server answers at 10.0.0.7:4000 (6 tries in 10.0 s); safe to retry",
        ),
        (K::BadAddress, NotExecuted, "`bank` has no scheme", "not executed: `bank` has no scheme"),
        (
            K::Misconfigured,
            NotExecuted,
            "two services are exported under the name \"bank\"",
            "not executed: two services are exported under the name \"bank\"",
        ),
        (
            K::StaleBinding,
            NotExecuted,
            "",
            "not executed: another server lives at 10.0.0.7:4000; safe to retry",
        ),
        (
            K::NoReply,
            Unknown,
            "",
            "may have executed: no reply from 10.0.0.7:4000 to 6 transmissions in 10.0 s; retry only if idempotent, or resolve the call",
        ),
        (
            K::ServerRestarted,
            Unknown,
            "",
            "may have executed: the server at 10.0.0.7:4000 restarted during the call; retry only if idempotent, or resolve the call",
        ),
        (
            K::SessionLost,
            Unknown,
            "",
            "may have executed: the session with 10.0.0.7:4000 ended during the call; retry only if idempotent, or resolve the call",
        ),
        (
            K::Forgotten,
            Unknown,
            "",
            "may have executed: 10.0.0.7:4000 has used the call's slot for a later call; retry only if idempotent",
        ),
        (
            K::Overloaded,
            NotExecuted,
            "",
            "not executed: 10.0.0.7:4000 is overloaded; safe to retry",
        ),
        (
            K::Draining,
            NotExecuted,
            "",
            "not executed: 10.0.0.7:4000 is draining and takes no new calls; safe to retry",
        ),
        (
            K::VersionMismatch,
            NotExecuted,
            "it speaks 2, this side 1",
            "not executed: 10.0.0.7:4000 speaks another version of the protocol: it speaks 2, this side 1; update the older side",
        ),
        (
            K::InterfaceMismatch,
            NotExecuted,
            "`pay` is missing",
            "not executed: 10.0.0.7:4000 offers another interface: `pay` is missing; build client and server from the same interface",
        ),
        (
            K::UnknownMethod,
            NotExecuted,
            "bank.pay",
            "not executed: 10.0.0.7:4000 knows no such method: bank.pay; build client and server from the same interface",
        ),
        (
            K::ChangedMethod,
            NotExecuted,
            "pay(str)",
            "not executed: 10.0.0.7:4000 has the method in another form: pay(str); build client and server from the same interface",
        ),
        (
            K::TooLarge,
            NotExecuted,
            "2000 bytes, 1100 fit",
            "not executed: the request is too large: 2000 bytes, 1100 fit; send less at a time",
        ),
        (
            K::Unauthorised,
            NotExecuted,
            "",
            "not executed: 10.0.0.7:4000 does not allow this call; ask whoever runs the server",
        ),
        (
            K::Expired,
            NotExecuted,
            "",
            "not executed: the deadline passed after 10.0 s, before the call began; safe to retry",
        ),
        (
            K::BadArguments,
            NotExecuted,
            "",
            "not executed: 10.0.0.7:4000 could not decode the parameters; build client and server from the same interface",
        ),
        (
            K::Unmarshallable,
            NotExecuted,
            "parameter 2 has no length",
            "not executed: parameter 2 has no length",
        ),
        (
            K::NoFreeSlot,
            NotExecuted,
            "",
            "not executed: too many calls under way, none ended in 10.0 s; safe to retry",
        ),
        (
            K::Cancelled,
            Unknown,
            "",
            "may have executed: the call was cancelled; retry only if idempotent, or resolve the call",
        ),
        (K::Cancelled, NotExecuted, "", "not executed: the call was cancelled; safe to retry"),
        (
            K::HandlerPanicked,
            Executed,
            "out of paper",
            "executed: the handler panicked: out of paper",
        ),
        (K::ReplyTooLarge, Executed, "", "executed: the reply is too large to be sent"),
        (K::ReplyUndecodable, Executed, "", "executed: the reply could not be decoded"),
    ];
    for (kind, execution, detail, expected) in golden {
        assert_eq!(text(kind, execution, detail), expected);
    }
}

#[test]
fn push_back_is_told_in_a_unit_people_read() {
    let mut facts = evidence();
    facts.push_back = Some(Duration::from_millis(50));
    let error = CallError::new(ErrorKind::Overloaded, Execution::NotExecuted).with_evidence(facts);
    assert_eq!(
        error.to_string(),
        "not executed: 10.0.0.7:4000 is overloaded and asks to wait 50 ms; safe to retry"
    );
}

#[test]
fn a_handler_that_gives_up_is_executed_perhaps_in_part() {
    let error = CallError::failed("disk full");
    assert_eq!(error.to_string(), "executed, perhaps in part: the handler gave up: disk full");
    assert_eq!(error.into_handler_report().text(), "disk full");
}

/// Contract rule 5: the certainty of a nested call never becomes one about the outer call.
#[test]
fn a_forwarded_not_executed_loses_its_certainty() {
    let nested =
        CallError::new(ErrorKind::Unreachable, Execution::NotExecuted).with_evidence(evidence());
    let report = nested.into_handler_report();
    assert_eq!(
        report.text(),
        "not executed: no server answers at 10.0.0.7:4000 (6 tries in 10.0 s)",
        "what to do is said of the outer call only"
    );
    let outer = CallError::new(ErrorKind::HandlerFailed, Execution::Executed)
        .with_partial(true)
        .with_source(report);
    assert!(!outer.is_safe_to_retry());
    assert_eq!(
        outer.to_string(),
        "executed, perhaps in part: the handler gave up over a call of its own: not executed: no \
         server answers at 10.0.0.7:4000 (6 tries in 10.0 s)"
    );
}

#[test]
fn question_mark_takes_both_failures() {
    #[derive(Debug, Serialize)]
    struct NoFunds;
    fn own() -> Result<u32, NoFunds> {
        Err(NoFunds)?;
        Ok(1)
    }
    fn nested() -> Result<u32, NoFunds> {
        Err(CallError::failed("x"))?;
        Ok(1)
    }
    assert!(matches!(own(), Err(Error::App(NoFunds))));
    assert!(matches!(nested(), Err(Error::Call(_))));
}

#[test]
fn a_call_error_is_one_pointer() {
    assert_eq!(size_of::<CallError>(), size_of::<usize>());
}

/// A kind's number stands in replies, inside a `CallReport`: what is there stays where it is.
#[test]
fn kinds_keep_their_numbers_and_their_names() {
    for (number, &kind) in ErrorKind::ALL.iter().enumerate() {
        let bytes = postcard::to_allocvec(&kind).unwrap();
        assert_eq!(bytes, [u8::try_from(number).unwrap()], "{kind:?}");
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    for execution in [Execution::NotExecuted, Execution::Executed, Execution::Unknown] {
        assert_eq!(serde_json::to_value(execution).unwrap(), execution.name());
    }
    assert_eq!(ErrorKind::NoServer as usize, 0);
    assert_eq!(ErrorKind::ReplyUndecodable as usize, 27, "add new kinds behind it");
}

/// What a handler's failure looks like inside a reply.
#[test]
fn a_report_keeps_its_bytes() {
    let report = CallReport::no_answer("gone");
    let bytes = postcard::to_allocvec(&report).unwrap();
    assert_eq!(bytes, b"\x04gone\x01\x00");
    assert_eq!(postcard::from_bytes::<CallReport>(&bytes).unwrap(), report);
}

fn recorded() -> CallError {
    let facts = Evidence {
        server: ServerId(0x15fc_8d5a_d2d9_310d),
        incarnation: Incarnation::new(7, 0xf3e7_8960),
        working_seen: true,
        push_back: Some(Duration::from_millis(50)),
        detail: "quoth \"it\"".into(),
        ..evidence()
    };
    let call = CallId {
        session: crate::ids::SessionId(0xdead_beef_0000_7f3a),
        slot: crate::ids::SlotIndex(3),
        sequence: crate::ids::Sequence(41),
        ..CallId::UNSENT
    };
    CallError::new(ErrorKind::HandlerFailed, Execution::Executed)
        .with_partial(true)
        .with_method("bank.pay")
        .with_call(call)
        .with_evidence(facts)
        .with_source(CallReport::no_answer("not executed: nobody is there"))
}

#[test]
fn a_record_keeps_its_names() {
    let record = recorded().record();
    let json = serde_json::to_string_pretty(&record).unwrap();
    assert_eq!(json + "\n", include_str!("golden.json"));
    let read: ErrorRecord = serde_json::from_str(include_str!("golden.json")).unwrap();
    assert_eq!(read, record);
}

#[test]
fn a_record_of_nothing_known_says_so_and_is_read_back_whatever_is_missing() {
    let error = CallError::new(ErrorKind::NoServer, Execution::NotExecuted);
    let record = serde_json::to_value(error.record()).unwrap();
    for (place, expected) in [
        ("/call", serde_json::Value::Null),
        ("/session", serde_json::Value::Null),
        ("/evidence/peer", serde_json::Value::Null),
        ("/evidence/server", serde_json::Value::Null),
        ("/evidence/waited_ms", 0.into()),
        ("/class", "cannot_locate".into()),
        ("/sources", serde_json::Value::Array(vec![])),
    ] {
        assert_eq!(record.pointer(place), Some(&expected), "{place}");
    }
    let bare: Evidence = serde_json::from_str("{\"peer\":\"host 3\",\"new\":1}").unwrap();
    assert_eq!(bare.peer, Some(Address::Virtual(3)));
    assert_eq!(serde_json::to_value(&bare).unwrap()["peer"], "host 3");
    for address in [Address::Local(0xfeed), Address::Tcp("[::1]:7".parse().unwrap())] {
        let text = format!("{{\"peer\":\"{address}\"}}");
        let bare: Evidence = serde_json::from_str(&text).unwrap();
        assert_eq!(bare.peer, Some(address), "{text}");
    }
    for odd in ["{\"peer\":\"host\"}", "{\"server\":\"-\"}", "{\"incarnation\":\"7\"}"] {
        let error = serde_json::from_str::<Evidence>(odd).unwrap_err();
        assert!(error.to_string().contains("as it prints"), "{error}");
    }
}

/// An error of an application, with its cause apart.
#[derive(Clone, Debug)]
struct NoLedger(CallError);

impl fmt::Display for NoLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ledger did not answer")
    }
}

impl std::error::Error for NoLedger {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn a_chain_says_each_thing_once_and_keeps_types() {
    let cause = "::".parse::<std::net::Ipv4Addr>().unwrap_err();
    let error =
        CallError::new(ErrorKind::BadAddress, Execution::NotExecuted).because(cause.clone());
    assert_eq!(error.to_string(), "not executed: invalid IPv4 address syntax");
    assert_eq!(chain(&error).to_string(), error.to_string(), "its source is in its text");
    let source = std::error::Error::source(&error).expect("a source");
    assert_eq!(source.downcast_ref(), Some(&cause));
    let copy = error.clone();
    assert!(
        std::error::Error::source(&copy)
            .is_some_and(|source| source.is::<std::net::AddrParseError>())
    );
    let outer = NoLedger(error.with_detail("`::` will not do"));
    assert_eq!(
        chain(&outer).to_string(),
        "the ledger did not answer\n  because: not executed: `::` will not do\n  because: invalid \
         IPv4 address syntax"
    );
    assert_eq!(outer.0.record().sources, ["invalid IPv4 address syntax"], "a record has them all");
}

/// A script learns from the code alone whether the call ran.
#[test]
fn exit_codes_say_whether_the_call_ran() {
    for &kind in ErrorKind::ALL {
        let code = |execution| CallError::new(kind, execution).exit_code();
        assert_eq!((code(Execution::Executed), code(Execution::Unknown)), (70, 76), "{kind:?}");
        let not_executed = code(Execution::NotExecuted);
        assert_eq!(not_executed, if kind.is_lasting() { 78 } else { 75 }, "{kind:?}");
    }
    for execution in [Execution::NotExecuted, Execution::Executed, Execution::Unknown] {
        let error = CallError::new(ErrorKind::Cancelled, execution);
        assert_eq!(Error::<()>::Call(error).exit_code(), execution.exit_code());
    }
    assert_eq!(Error::App(()).exit_code(), 1);
}
