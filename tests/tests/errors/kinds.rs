//! Every kind of error, reached as a user would, with its certainty and its whole text.
//!
//! The texts stand in `errors/texts.txt`; what differs from run to run (addresses, times, names of
//! servers) is replaced there by a word in capitals.

use std::collections::BTreeMap;
use std::error::Error as _;

use rpc_runtime::{Channel, ErrorKind, Execution, Options};

use super::*;
use ErrorKind as K;
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
    let text = "no reply from 127.0.0.1:80 (host 3) to 1 transmission, 3 tries in 2.0 s: \
                ServerId 15fc8d5ad2d9310d in its life 280213584.f3e78960 takes 3 bytes; a face of \
                280213584.12345678";
    let expected = "no reply from PEER (PEER) to N sent, N tries in TIME: ServerId ID in its life \
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
    let expected = texts().remove(label).unwrap_or("(no such label)");
    assert_eq!(normal(&text), expected, "{label}");
}

/// Holds what a visitor learns, in the simulator and over sockets, to the same text.
#[track_caller]
pub(crate) fn everywhere(label: &str, kind: ErrorKind, execution: Execution, case: Case) {
    hold(label, kind, execution, &case.in_sim());
    hold(label, kind, execution, &case.on_udp());
}

pub(crate) fn desk(url: &str) -> DeskClient {
    DeskClient::connect(url).unwrap()
}

pub(crate) fn within(millis: u64) -> Options {
    Options::new().timeout(Duration::from_millis(millis))
}

/// A URL at which the visitor itself may serve.
pub(crate) fn own_place(url: &str) -> &'static str {
    if url.starts_with("sim") { "sim://visitor" } else { "udp://127.0.0.1:0" }
}

pub(crate) fn place_of(url: &str) -> &str {
    url.split_once("://").unwrap().1
}

#[test]
fn unreachable() {
    let case = Case::of(|url| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let silent = format!("udp://{}", socket.local_addr().unwrap());
        let url = if url.starts_with("sim") { "sim://visitor" } else { &silent };
        desk(url).with(within(300)).count().unwrap_err()
    });
    everywhere("Unreachable", K::Unreachable, NotExecuted, case);
}

#[test]
fn bad_address() {
    let case = Case::of(|_| DeskClient::connect("127.0.0.1:1").unwrap_err());
    everywhere("BadAddress", K::BadAddress, NotExecuted, case);
}

#[test]
fn misconfigured() {
    let case = Case::of(|url| {
        let service = || DeskService::new(Clerk::default());
        let server = Server::bind(own_place(url)).unwrap().export(service()).export(service());
        server.spawn().unwrap_err()
    });
    everywhere("Misconfigured", K::Misconfigured, NotExecuted, case);
}

#[test]
fn stale_binding() {
    let case = Case::of(|url| {
        let (server, life) =
            (rpc_runtime::ids::ServerId(7), rpc_runtime::ids::Incarnation::new(1, 1));
        let channel = Channel::to(&here(), place_of(url), server, life).unwrap();
        DeskClient::on(&channel).count().unwrap_err()
    });
    everywhere("StaleBinding", K::StaleBinding, NotExecuted, case);
}

#[test]
fn left_alone() {
    let case = Case::of(|url| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let silent = format!("udp://{}", socket.local_addr().unwrap());
        let url = if url.starts_with("sim") { "sim://visitor" } else { &silent };
        let desk = desk(url).with(within(250));
        loop {
            let error = desk.count().unwrap_err();
            if error.kind() != K::Unreachable {
                return error;
            }
        }
    });
    everywhere("LeftAlone", K::LeftAlone, NotExecuted, case);
}

#[test]
fn no_reply() {
    let case = Case::of(|url| desk(url).dawdle(1_000).unwrap_err());
    everywhere("NoReply", K::NoReply, Unknown, case);
}

#[test]
fn forgotten() {
    let serve = |server| with_limits(server, |limits| limits.slots_max = 1);
    let visit = |url: &str| {
        let desk = desk(url);
        let doubtful = desk.wait().unwrap_err();
        assert_eq!(desk.count().unwrap(), 1, "in the same slot");
        desk.resolve(doubtful.call()).unwrap_err()
    };
    everywhere("Forgotten", K::Forgotten, Unknown, Case { serve, visit });
}

#[test]
fn overloaded() {
    let serve =
        |server: Server| with_limits(server, |limits| limits.calls_running_max = 1).workers(1);
    let visit = |url: &str| {
        let desk = desk(url);
        let _busy = desk.with(within(9_000)).start().wait();
        rest(Duration::from_millis(50));
        desk.with(Options::new().retry(false)).count().unwrap_err()
    };
    everywhere("Overloaded", K::Overloaded, NotExecuted, Case { serve, visit });
}

#[test]
fn draining() {
    let case = Case::of(|url| {
        let service = DeskService::new(Clerk::default());
        let running = Server::bind(own_place(url)).unwrap().export(service).spawn().unwrap();
        let desk = desk(&running.url());
        let busy = desk.start().dawdle(300);
        rest(Duration::from_millis(50));
        let drain = move || assert!(running.drain(Duration::from_secs(5)).is_complete());
        here().spawn("drain", Box::new(drain)).unwrap();
        rest(Duration::from_millis(50));
        let error = desk.with(Options::new().retry(false)).count().unwrap_err();
        assert_eq!(busy.wait().unwrap(), 1, "what was accepted ends");
        error
    });
    everywhere("Draining", K::Draining, NotExecuted, case);
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

#[test]
fn unknown_method() {
    use other::{Misspelt as _, Till as _};
    let case = Case::of(|url| other::MisspeltClient::connect(url).unwrap().coumt().unwrap_err());
    everywhere("UnknownMethod, near", K::UnknownMethod, NotExecuted, case);
    let case = Case::of(|url| other::MisspeltClient::connect(url).unwrap().shred().unwrap_err());
    everywhere("UnknownMethod, far", K::UnknownMethod, NotExecuted, case);
    let case = Case::of(|url| other::TillClient::connect(url).unwrap().open().unwrap_err());
    everywhere("UnknownMethod, other service", K::UnknownMethod, NotExecuted, case);
}

#[test]
fn changed_method() {
    use other::Misspelt as _;
    let case =
        Case::of(|url| other::MisspeltClient::connect(url).unwrap().give_up(true).unwrap_err());
    everywhere("ChangedMethod", K::ChangedMethod, NotExecuted, case);
}

#[test]
fn too_large() {
    let case = Case::of(|url| desk(url).echo(&[0; 5_000]).unwrap_err());
    everywhere("TooLarge", K::TooLarge, NotExecuted, case);
}

#[test]
fn expired() {
    let case = Case::of(|url| desk(url).with(within(0)).count().unwrap_err());
    everywhere("Expired", K::Expired, NotExecuted, case);
}

#[test]
fn no_free_slot() {
    let serve = |server| with_limits(server, |limits| limits.slots_max = 1);
    let visit = |url: &str| {
        let desk = desk(url);
        let _busy = desk.with(within(9_000)).start().wait();
        desk.with(within(100)).count().unwrap_err()
    };
    everywhere("NoFreeSlot", K::NoFreeSlot, NotExecuted, Case { serve, visit });
}

#[test]
fn cancelled() {
    let case = Case::of(|url| {
        let call = desk(url).start().count();
        call.cancel();
        call.wait().unwrap_err()
    });
    everywhere("Cancelled, before it left", K::Cancelled, NotExecuted, case);
    let case = Case::of(|url| {
        let call = desk(url).with(within(9_000)).start().wait();
        rest(Duration::from_millis(50));
        call.cancel();
        call.wait().unwrap_err()
    });
    everywhere("Cancelled, under way", K::Cancelled, Unknown, case);
}

#[test]
fn handler_panicked() {
    let case = Case::of(|url| desk(url).panic("on fire").unwrap_err());
    everywhere("HandlerPanicked", K::HandlerPanicked, Executed, case);
}

#[test]
fn handler_failed() {
    let case = Case::of(|url| desk(url).give_up().unwrap_err());
    everywhere("HandlerFailed", K::HandlerFailed, Executed, case);
}

#[test]
fn reply_too_large() {
    let case = Case::of(|url| desk(url).grow(5_000).unwrap_err());
    everywhere("ReplyTooLarge", K::ReplyTooLarge, Executed, case);
}
