//! The page of a real daemon, and clients of it that mean no good: slow, endless, too many, under a
//! foreign name. Each time others are served meanwhile.

#![expect(clippy::disallowed_methods, reason = "a pause between two looks at the real world")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use rpc_runtime::binder::{Binder, DirectoryClient, Registration};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::time::Duration;

use support::{Daemon, command, counter, enter, eventually, life_of, live};

/// Longer than anybody here waits for anything but a lease.
const PATIENCE: Duration = Duration::from_secs(60);

struct Shown {
    daemon: Daemon,
    /// `127.0.0.1:PORT`
    place: String,
}

fn shown(more: &[&str]) -> Shown {
    let words = ["serve", "--listen", "udp://127.0.0.1:0", "--store", "none", "--json"];
    let words = [&words[..], &["--http", "127.0.0.1:0"], more].concat();
    let mut child = command(&words).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let url = ready["listening"].as_str().unwrap().to_owned();
    let place = ready["http"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    Shown { daemon: Daemon { child, out, url }, place }
}

impl Shown {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.place).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends `request`, and reads until the other side closes.
    fn say(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        let place = &self.place;
        self.say(&format!("GET {path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n"))
    }

    /// One that makes room for others may have to come again, as browsers do.
    fn is_served(&self) -> bool {
        let place = &self.place;
        let Ok(mut stream) = TcpStream::connect(place) else { return false };
        let request =
            format!("GET /healthz HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200 ")
            && answer.ends_with("ok\n")
    }

    /// A figure of `/metrics`.
    fn figure(&self, name: &str) -> u64 {
        let text = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    fn turned_away(&self, reason: &str) -> u64 {
        self.figure(&format!("rpc_binder_http_turned_away_total{{reason=\"{reason}\"}}"))
    }

    /// How much memory the daemon has, in bytes.
    fn memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.daemon.child.id());
        let status = std::fs::read_to_string(Path::new(&status)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1_024
    }

    /// Looks on from `after`.
    fn look_on(&self, after: &str) -> BufReader<TcpStream> {
        let mut stream = self.connect();
        let place = &self.place;
        write!(stream, "GET /events?after={after} HTTP/1.1\r\nHost: {place}\r\n\r\n").unwrap();
        BufReader::new(stream)
    }
}

/// Reads until a line has `word` in it.
fn await_line(viewer: &mut BufReader<TcpStream>, word: &str) -> String {
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        assert!(viewer.read_line(&mut line).unwrap() > 0, "it ended without {word:?}");
    }
    line
}

#[test]
fn the_page_the_figures_and_the_health_are_there_and_a_viewer_is_told_who_comes() {
    let shown = shown(&[]);
    let page = shown.get("/");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("content-security-policy: default-src 'self';"), "{page}");
    assert!(page.contains("Register a first server"), "{page}");
    assert!(shown.get("/page.js").contains("EventSource"));
    assert!(shown.get("/page.css").contains("prefers-color-scheme: dark"));
    assert!(shown.get("/nothing").starts_with("HTTP/1.1 404 "));
    assert!(shown.get("/healthz").ends_with("ok\n"));
    assert_eq!(shown.figure("rpc_binder_registrations"), 0);

    let mut viewer = shown.look_on("0-0");
    await_line(&mut viewer, "data: {\"frame\"");
    let binder = Binder::at(&shown.daemon.url).unwrap();
    let server = counter(&binder, &Arc::default());
    let told = await_line(&mut viewer, "i-counter-1.0-");
    assert!(told.contains(&server.url()), "{told}");
    assert_eq!(shown.figure("rpc_binder_registrations"), 1);
    assert_eq!(shown.figure("rpc_binder_service_servers{service=\"counter\",state=\"live\"}"), 1);
    assert_eq!(shown.figure("rpc_binder_http_viewers"), 1);
    drop(server);
    await_line(&mut viewer, "\"order\":{\"services\":[\"empty\"]");
}

#[test]
fn whoever_asks_under_a_foreign_name_is_told_nothing() {
    let shown = shown(&["--http-name", "binder.internal"]);
    let port = shown.place.rsplit_once(':').unwrap().1;
    let status = |head: &str| {
        let answer = shown.say(&format!("{head}Connection: close\r\n\r\n"));
        assert!(answer.contains("content-security-policy") || answer.contains(" 400 "), "{answer}");
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for ours in ["localhost", "127.0.0.1", "[::1]", "binder.internal"] {
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: {ours}:{port}\r\n")), "200", "{ours}");
    }
    for head in [
        "GET / HTTP/1.1\r\nHost: evil.example\r\n",
        "GET /metrics HTTP/1.1\r\nHost: evil.example:7080\r\n",
        "GET /events HTTP/1.1\r\nHost: localhost.evil.example\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
    ] {
        assert_eq!(status(head), "421", "{head}");
    }
    assert_eq!(shown.turned_away("host"), 7);
    assert_eq!(status("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"), "405");
}

#[test]
fn a_head_without_end_is_refused_and_one_that_dribbles_is_not_waited_for() {
    let shown = shown(&[]);
    let before = shown.memory();
    let mut endless = shown.connect();
    endless.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ").unwrap();
    let piece = vec![b'x'; 64 << 10];
    let sent = (0..160).take_while(|_| endless.write_all(&piece).is_ok()).count();
    let mut answer = Vec::new();
    let _reset = endless.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(sent < 160 || !answer.is_empty(), "10 MB were taken without a word");

    let mut dribbling = shown.connect();
    let mut head = "GET / HTTP/1.1\r\nHost: localhost\r\n".bytes().cycle();
    let mut sent = 0;
    // A closed connection shows at the latest with the byte after the next.
    while dribbling.write_all(&[head.next().unwrap()]).is_ok() {
        sent += 1;
        assert!(sent < 60, "a byte a second was waited for");
        assert!(shown.is_served());
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(shown.turned_away("slow"), 1);
    let grown = shown.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
}

#[test]
fn a_crowd_of_silent_connections_keeps_nobody_out() {
    let shown = shown(&[]);
    let mut viewer = shown.look_on("0-0");
    await_line(&mut viewer, "data: {\"frame\"");
    let mut crowd = Vec::new();
    for index in 0..4_000 {
        // The system's own queue may be full for a moment.
        crowd.extend(TcpStream::connect(&shown.place));
        if index % 500 == 0 {
            eventually("an answer", || shown.is_served());
        }
        if crowd.len() > 400 {
            crowd.drain(..200); // a test has descriptors for so many
        }
    }
    eventually("an answer", || shown.is_served());
    assert!(shown.turned_away("crowded") > 1_000);
    assert!(shown.figure("rpc_binder_http_connections") <= 128);
    let binder = Binder::at(&shown.daemon.url).unwrap();
    let _server = counter(&binder, &Arc::default());
    await_line(&mut viewer, "i-counter-1.0-"); // who looks on is left alone
}

#[test]
fn viewers_beyond_the_limit_are_told_to_come_later() {
    let shown = shown(&[]);
    let mut viewers: Vec<_> = (0..64).map(|_| shown.look_on("0-0")).collect();
    for viewer in &mut viewers {
        await_line(viewer, "data: {\"frame\"");
    }
    let answer = shown.get("/events?after=0-0");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: 5"), "{answer}");
    assert!(shown.is_served());
    drop(viewers.pop());
    eventually("room", || shown.figure("rpc_binder_http_viewers") < 64);
    await_line(&mut shown.look_on("0-0"), "data: {\"frame\"");
}

#[test]
fn a_viewer_who_reads_nothing_is_let_go_and_costs_nobody_anything() {
    let shown = shown(&[]);
    let directory = DirectoryClient::connect(&shown.daemon.url).unwrap();
    for server in 1..=400 {
        let address = format!("udp://127.0.0.1:{}", 1_000 + server);
        let mut life = life_of(ServerId(server), Incarnation::new(1, 1), &address);
        life.traits.labels = (0..8).map(|at| (format!("{at:a<64}"), "b".repeat(64))).collect();
        enter(&directory, &Registration { addresses: vec![address; 8], ..life }).unwrap();
    }
    eventually("all of them", || shown.figure("rpc_binder_registrations") == 400);
    let before = shown.memory();
    let idle: Vec<_> = (0..60).map(|_| shown.look_on("0-0")).collect();
    eventually("the viewers", || shown.figure("rpc_binder_http_viewers") == 60);
    eventually("an answer", || shown.is_served());
    let binder = Binder::at(&shown.daemon.url).unwrap();
    let _server = counter(&binder, &Arc::default());
    assert!(live(&binder) > 0, "the binder is not disturbed");
    for _ in 0..600 {
        if shown.turned_away("slow") == 60 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(shown.turned_away("slow"), 60);
    assert_eq!(shown.figure("rpc_binder_http_viewers"), 0);
    let grown = shown.memory().saturating_sub(before);
    assert!(grown < 128 << 20, "{grown} bytes");
    drop(idle);
}

#[test]
fn a_page_that_cannot_be_opened_is_told_before_anybody_is_served() {
    let shown = shown(&[]);
    let (code, out, complaint) = support::run(&[
        "serve",
        "--listen",
        "udp://127.0.0.1:0",
        "--store",
        "none",
        "--http",
        &shown.place,
    ]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(complaint.contains(&format!("no page at {}", shown.place)), "{complaint}");
}

#[test]
fn a_daemon_that_ends_lets_its_viewers_go() {
    let mut shown = shown(&[]);
    let mut viewer = shown.look_on("0-0");
    await_line(&mut viewer, "data: {\"frame\"");
    shown.daemon.signal("TERM");
    assert!(shown.daemon.child.wait().unwrap().success());
    let mut rest = Vec::new();
    let _reset = viewer.read_to_end(&mut rest);
    assert!(TcpStream::connect(&shown.place).is_err());
}
