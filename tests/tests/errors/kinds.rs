//! The kinds of error that a single server and a single visitor reach, and how an error is held to
//! its kind, its certainty and its whole text.
//!
//! The texts stand in `errors/texts.txt`; what differs from run to run (addresses, times, names of
//! servers) is replaced there by a word in capitals.

use std::collections::BTreeMap;
use std::error::Error as _;

use rpc_runtime::driver::Link;
use rpc_runtime::server::Running;
use rpc_runtime::{Channel, ErrorKind, Execution, Options};

use rpc_tests::transports::scheme_of;

use super::*;
use Execution::{Executed, NotExecuted, Unknown};

const TEXTS: &str = include_str!("texts.txt");

/// The expected texts by their labels.
fn texts() -> BTreeMap<&'static str, &'static str> {
    let lines = TEXTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let texts: Vec<_> = lines.map(|line| line.split_once(": ").expect("label: text")).collect();
    assert!(texts.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, and no label twice");
    texts.into_iter().collect()
}

/// The text with everything that differs from run to run replaced.
fn normal(text: &str) -> String {
    let (mut normal, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let is_within_a_word = normal.ends_with(|last: char| last.is_alphanumeric());
        let found = (!is_within_a_word).then(|| particular(rest)).flatten();
        let (length, word) = found.unwrap_or((first.len_utf8(), &rest[..first.len_utf8()]));
        normal.push_str(word);
        rest = &rest[length..];
    }
    normal
}

/// The length of an address, a time, a count or a name at the start of `text`, and what to write.
fn particular(text: &str) -> Option<(usize, &'static str)> {
    if let Some(peer) = ["tcp://", "local "].iter().find_map(|kind| text.strip_prefix(kind)) {
        let run = peer.find(|c: char| !c.is_ascii_hexdigit() && !".:[]".contains(c));
        let peer = peer[..run.unwrap_or(peer.len())].trim_end_matches([':', '.']);
        let is_peer = peer.parse::<std::net::SocketAddr>().is_ok() || peer.len() == 16;
        return is_peer.then_some(("local ".len() + peer.len(), "PEER"));
    }
    let host = text.strip_prefix("host ").unwrap_or(text);
    let run = |text: &str| text.find(|c: char| !c.is_ascii_hexdigit() && c != '.' && c != ':');
    let length = run(host).unwrap_or(host.len());
    let (word, after) = (host[..length].trim_end_matches([':', '.']), &host[length..]);
    if host.len() < text.len() {
        return word.parse::<u32>().is_ok().then_some(("host ".len() + word.len(), "PEER"));
    }
    if word.parse::<std::net::SocketAddr>().is_ok() {
        return Some((word.len(), "PEER"));
    }
    if word.len() >= 10 && !word.contains(':') {
        return Some((word.len(), "ID")); // some are all digits
    }
    word.parse::<f64>().ok()?;
    let units = [
        (" us", "TIME"),
        (" ms", "TIME"),
        (" s", "TIME"),
        (" tries", "N tries"),
        (" try", "N tries"),
        (" transmissions", "N sent"),
        (" transmission", "N sent"),
    ];
    let unit = units.into_iter().find(|(unit, _)| {
        after.strip_prefix(unit).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    });
    unit.map(|(unit, word_for_it)| (word.len() + unit.len(), word_for_it))
}

#[test]
fn what_differs_from_run_to_run_is_replaced_and_nothing_else() {
    let text = "no reply from 127.0.0.1:80 (host 3, tcp://[::1]:7, local 00c0ffee00c0ffee) to 1 transmission, 3 tries in 2.0 s: \
                ServerId 15fc8d5ad2d9310d in its life 280213584.f3e78960 takes 3 bytes; a face of \
                280213584.12345678";
    let expected = "no reply from PEER (PEER, PEER, PEER) to N sent, N tries in TIME: ServerId ID in its life \
                    ID takes 3 bytes; a face of ID";
    assert_eq!(normal(text), expected);
}

/// Holds an error to its kind, its certainty, its text, and what follows from them.
#[track_caller]
pub(crate) fn hold(label: &str, kind: ErrorKind, execution: Execution, error: &CallError) {
    let text = error.to_string();
    assert_eq!((error.kind(), error.execution()), (kind, execution), "{label}: {text}");
    assert_eq!(error.is_safe_to_retry(), execution == NotExecuted, "{label}");
    let certainty = match (execution, error.is_partial()) {
        (execution, false) => format!("{execution}: "),
        (execution, true) => format!("{execution}, perhaps in part: "),
    };
    assert!(text.starts_with(&certainty), "{label}: certainty first: {text}");
    if let Some(source) = error.source() {
        assert!(text.contains(&source.to_string()), "{label}: {text} hides {source}");
    }
    assert_eq!(rpc_runtime::error::chain(error).to_string(), text, "{label}: said once");
    let code = match execution {
        NotExecuted => [75, 78],
        Executed => [70, 70],
        Unknown => [76, 76],
    };
    assert!(code.contains(&error.exit_code()), "{label}: {}", error.exit_code());
    let record = serde_json::to_value(error.record()).unwrap();
    assert_eq!((&record["kind"], &record["text"]), (&kind.name().into(), &text.as_str().into()));
    let expected = texts().remove(label).unwrap_or("(no such label)");
    assert_eq!(normal(&text), expected, "{label}");
}

/// A way to reach a kind: under which label its text stands, the certainty it must carry there, and
/// what to do in either world.
pub(crate) struct Cell {
    pub(crate) label: &'static str,
    execution: Execution,
    case: Case,
}

impl Cell {
    pub(crate) const fn new(label: &'static str, execution: Execution, case: Case) -> Self {
        Self { label, execution, case }
    }
}

/// Holds what visitors learn, in the simulator and over sockets, to the same texts.
pub(crate) fn everywhere(kind: ErrorKind, cells: &[Cell]) {
    assert!(!cells.is_empty(), "nothing reaches {kind:?}");
    for Cell { label, execution, case } in cells {
        for (place, error) in case.everywhere() {
            hold(label, kind, *execution, &error);
            assert!(error.to_string().len() < 1_000, "{place}");
        }
    }
}

/// All labels there are.
pub(crate) fn labels() -> Vec<&'static str> {
    texts().into_keys().collect()
}

pub(crate) fn desk(url: &str) -> DeskClient {
    DeskClient::connect(url).unwrap()
}

pub(crate) fn within(millis: u64) -> Options {
    Options::new().timeout(Duration::from_millis(millis))
}

/// A URL at which the visitor itself may serve.
pub(crate) fn own_place(url: &str) -> String {
    match scheme_of(url) {
        "sim" => "sim://visitor".to_owned(),
        scheme => fresh(scheme),
    }
}

/// As [`own_place`], and free whenever a later life wants it: no other process has the address, and
/// the system gives the port to nobody who does not ask for it.
pub(crate) fn lasting_place(url: &str, port: u16) -> String {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    match scheme_of(url) {
        scheme @ ("udp" | "tcp") => format!("{scheme}://127.{}.{middle}.{low}:{port}", high | 128),
        _ => own_place(url),
    }
}

/// A desk of the visitor's own, which tells what has reached it.
pub(crate) fn own_desk(server: Server) -> Running {
    server.export(DeskService::new(Clerk::default())).spawn().unwrap()
}

/// A place at which nobody answers, as long as the link is there.
pub(crate) fn silent_place(url: &str) -> (Arc<dyn Link>, String) {
    let place = own_place(url);
    let link = here().listen(place_of(&place)).unwrap();
    let silent = url_of(&*link, &place);
    (link, silent)
}

pub(crate) fn unreachable() -> Vec<Cell> {
    let case = Case::of(|url| {
        let (_socket, silent) = silent_place(url);
        desk(&silent).with(within(300)).count().unwrap_err()
    });
    vec![Cell::new("Unreachable", NotExecuted, case)]
}

pub(crate) fn bad_address() -> Vec<Cell> {
    let case = Case::of(|_| DeskClient::connect("127.0.0.1:1").unwrap_err());
    let foreign = Case::of(|_| {
        // An address that belongs to nobody here (RFC 5737): the system says so.
        let world = rpc_runtime::reactor::world();
        let error = Server::bind_in(&world, "192.0.2.1:0").map(drop).unwrap_err();
        let refused = error.source().and_then(std::error::Error::source).expect("what it said");
        assert!(refused.is::<std::io::Error>(), "{refused:?}");
        error
    });
    vec![
        Cell::new("BadAddress", NotExecuted, case),
        Cell::new("BadAddress, not ours", NotExecuted, foreign),
    ]
}

pub(crate) fn misconfigured() -> Vec<Cell> {
    let case = Case::of(|url| {
        let service = || DeskService::new(Clerk::default());
        let server = Server::bind(&own_place(url)).unwrap().export(service()).export(service());
        server.spawn().unwrap_err()
    });
    vec![Cell::new("Misconfigured", NotExecuted, case)]
}

pub(crate) fn stale_binding() -> Vec<Cell> {
    let case = Case::of(|url| {
        let (server, life) =
            (rpc_runtime::ids::ServerId(7), rpc_runtime::ids::Incarnation::new(1, 1));
        let channel = Channel::to(&here(), place_of(url), server, life).unwrap();
        DeskClient::on(&channel).count().unwrap_err()
    });
    vec![Cell::new("StaleBinding", NotExecuted, case)]
}

pub(crate) fn left_alone() -> Vec<Cell> {
    let case = Case::of(|url| {
        let (_link, silent) = silent_place(url);
        let desk = desk(&silent).with(within(250));
        loop {
            let error = desk.count().unwrap_err();
            if error.kind() != ErrorKind::Unreachable {
                return error;
            }
        }
    });
    vec![Cell::new("LeftAlone", NotExecuted, case)]
}

pub(crate) fn no_reply() -> Vec<Cell> {
    let case = Case::of(|url| desk(url).dawdle(1_000).unwrap_err());
    vec![Cell::new("NoReply", Unknown, case)]
}

pub(crate) fn forgotten() -> Vec<Cell> {
    let serve = |server| with_limits(server, |limits| limits.slots_max = 1);
    let visit = |url: &str| {
        let desk = desk(url);
        let doubtful = desk.wait().unwrap_err();
        assert_eq!(desk.count().unwrap(), 1, "in the same slot");
        desk.resolve(doubtful.call()).unwrap_err()
    };
    vec![Cell::new("Forgotten", Unknown, Case { serve, visit })]
}

pub(crate) fn overloaded() -> Vec<Cell> {
    let case = Case::of(|url| {
        let server = Server::bind(&own_place(url)).unwrap().workers(1);
        let running = own_desk(with_limits(server, |limits| limits.calls_running_max = 1));
        let desk = desk(&running.url());
        let _busy = desk.with(within(9_000)).start().wait();
        eventually("the busy call", || running.counters().begun == 1);
        desk.with(Options::new().retry(false)).count().unwrap_err()
    });
    vec![
        Cell::new("Overloaded", NotExecuted, case),
        Cell::new("Overloaded, at the door", NotExecuted, peers::overloaded_at_the_door()),
    ]
}

pub(crate) fn draining() -> Vec<Cell> {
    let case = Case::of(|url| {
        let clerk = Clerk::default();
        let service = DeskService::new(clerk.clone());
        let running = Server::bind(&own_place(url)).unwrap().export(service).spawn().unwrap();
        let desk = desk(&running.url());
        let busy = desk.with(within(9_000)).start().dawdle(1_000);
        eventually("the busy call", || clerk.counted() == 1);
        let drain = move || assert!(running.drain(Duration::from_secs(5)).is_complete());
        here().spawn("drain", Box::new(drain)).unwrap();
        // Until that thread has begun, calls are taken. One that crosses the server's word is sent
        // back, with how long to wait; after it none is sent.
        let desk = desk.with(Options::new().retry(false));
        let error = loop {
            match desk.count() {
                Err(error) if error.evidence().push_back.is_none() => break error,
                Ok(_) | Err(_) => {}
            }
        };
        assert_eq!(busy.wait().unwrap(), 1, "what was accepted ends");
        error
    });
    vec![
        Cell::new("Draining", NotExecuted, case),
        Cell::new("Draining, at the door", NotExecuted, peers::draining_at_the_door()),
    ]
}

/// The same service with other methods, and one that the desk does not have.
mod other {
    use super::*;

    #[service(name = "desk")]
    pub(crate) trait Misspelt {
        fn coumt(&self) -> Result<u64, CallError>;
        fn shred(&self) -> Result<(), CallError>;
        fn give_up(&self, politely: bool) -> Result<(), CallError>;
    }

    #[service(name = "till")]
    pub(crate) trait Till {
        fn open(&self) -> Result<(), CallError>;
    }
}

pub(crate) fn unknown_method() -> Vec<Cell> {
    use other::{Misspelt as _, Till as _};
    let near = Case::of(|url| other::MisspeltClient::connect(url).unwrap().coumt().unwrap_err());
    let far = Case::of(|url| other::MisspeltClient::connect(url).unwrap().shred().unwrap_err());
    let elsewhere = Case::of(|url| other::TillClient::connect(url).unwrap().open().unwrap_err());
    vec![
        Cell::new("UnknownMethod, near", NotExecuted, near),
        Cell::new("UnknownMethod, far", NotExecuted, far),
        Cell::new("UnknownMethod, other service", NotExecuted, elsewhere),
        Cell::new("UnknownMethod, no store", NotExecuted, durable::without_a_store()),
    ]
}

pub(crate) fn changed_method() -> Vec<Cell> {
    use other::Misspelt as _;
    let case =
        Case::of(|url| other::MisspeltClient::connect(url).unwrap().give_up(true).unwrap_err());
    vec![Cell::new("ChangedMethod", NotExecuted, case)]
}

/// More than a message may hold.
const TOO_MUCH_BYTES: u32 = 17 << 20;

pub(crate) fn too_large() -> Vec<Cell> {
    let case = Case::of(|url| desk(url).echo(&vec![0; TOO_MUCH_BYTES as usize]).unwrap_err());
    vec![Cell::new("TooLarge", NotExecuted, case)]
}

pub(crate) fn expired() -> Vec<Cell> {
    let case = Case::of(|url| desk(url).with(within(0)).count().unwrap_err());
    vec![Cell::new("Expired", NotExecuted, case)]
}

pub(crate) fn no_free_slot() -> Vec<Cell> {
    let serve = |server| with_limits(server, |limits| limits.slots_max = 1);
    let visit = |url: &str| {
        let desk = desk(url);
        assert_eq!(desk.count().unwrap(), 1, "there is a session, and its slot is free");
        let _busy = desk.with(within(9_000)).start().wait();
        desk.with(within(300)).count().unwrap_err()
    };
    vec![Cell::new("NoFreeSlot", NotExecuted, Case { serve, visit })]
}

pub(crate) fn cancelled() -> Vec<Cell> {
    let before = Case::of(|url| {
        let (_socket, silent) = silent_place(url); // or the call may be gone already
        let call = desk(&silent).start().count();
        call.cancel();
        call.wait().unwrap_err()
    });
    let under_way = Case::of(|url| {
        let running = own_desk(Server::bind(&own_place(url)).unwrap());
        let call = desk(&running.url()).with(within(9_000)).start().wait();
        eventually("the call", || running.counters().begun == 1);
        call.cancel();
        call.wait().unwrap_err()
    });
    vec![
        Cell::new("Cancelled, before it left", NotExecuted, before),
        Cell::new("Cancelled, under way", Unknown, under_way),
    ]
}

pub(crate) fn handler_panicked() -> Vec<Cell> {
    let case = Case::of(|url| desk(url).panic("on fire").unwrap_err());
    vec![Cell::new("HandlerPanicked", Executed, case)]
}

pub(crate) fn handler_failed() -> Vec<Cell> {
    let case = Case::of(|url| desk(url).give_up().unwrap_err());
    vec![
        Cell::new("HandlerFailed", Executed, case),
        Cell::new("HandlerFailed, by its store", Executed, durable::failing_store()),
        Cell::new("HandlerFailed, nested", Executed, peers::failed_nested_call()),
    ]
}

pub(crate) fn reply_too_large() -> Vec<Cell> {
    let case = Case::of(|url| desk(url).grow(TOO_MUCH_BYTES).unwrap_err());
    vec![Cell::new("ReplyTooLarge", Executed, case)]
}
