//! Servers that are looked after: watched, drained, shown as `top` does, and kept from names that are
//! not theirs; with the daemon and the command line as processes of their own.

#![expect(clippy::disallowed_methods, reason = "a pause between two looks at the real world")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use rpc_runtime::binder::{Binder, BinderError, Key};
use rpc_runtime::server::Running;
use rpc_runtime::{CallError, Error, Execution, Server, service};

use support::{
    Counter as _, CounterClient, CounterService, Daemon, Shared, command, counter, eventually,
    lasting_place, live, run,
};

/// A `watch` that runs.
struct Watching {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(words: &[&str]) -> Self {
        let mut command = command(&[&["watch", "--json"], words].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next change: what it is, and of which server.
    fn next(&mut self) -> (String, String) {
        let line = self.lines.next().unwrap().unwrap();
        let row: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(row["revision"].as_u64().unwrap() > 0, "{line}");
        assert_eq!((&row["name"], &row["version"]), (&"counter".into(), &"1.0".into()), "{line}");
        assert!(row["addresses"][0].as_str().unwrap().starts_with("udp://"), "{line}");
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (text("change"), text("id"))
    }

    fn end(mut self) -> i32 {
        assert!(self.lines.next().is_none());
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _exit = self.child.wait();
    }
}

#[test]
fn watch_tells_who_comes_drains_and_leaves_and_ends_after_so_many_changes() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "10s");
    let binder = Binder::at(&daemon.url).unwrap();
    let first = counter(&binder, &Arc::default());
    let there = |server: &Running| ("there".to_owned(), server.id().to_string());
    let words = ["--binder", &daemon.url, "--changes", "3"];
    let mut named = Watching::start(&[&["counter"], &words[..]].concat());
    let mut all = Watching::start(&words);
    assert_eq!(named.next(), there(&first));
    assert_eq!(all.next(), there(&first));

    let second = counter(&binder, &Arc::default());
    let id = second.id().to_string();
    assert_eq!(named.next(), ("came".to_owned(), id.clone()));
    assert_eq!(all.next(), ("came".to_owned(), id.clone()));
    assert_eq!(binder.drain(second.id(), Some("counter")).unwrap(), 1);
    assert_eq!(named.next(), ("draining".to_owned(), id.clone()));
    assert_eq!(all.next(), ("draining".to_owned(), id.clone()));
    drop(second);
    assert_eq!(named.next(), ("left".to_owned(), id.clone()));
    assert_eq!(all.next(), ("left".to_owned(), id));
    assert_eq!((named.end(), all.end()), (0, 0));
}

#[test]
fn watch_says_that_the_binder_is_away_and_goes_on_when_it_is_back() {
    let daemon = Daemon::start(&lasting_place(20_011), "10s");
    let url = daemon.url.clone();
    let mut command = command(&["watch", "counter", "--binder", &url, "--timeout", "200ms"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said: Lines<BufReader<ChildStderr>> =
        BufReader::new(child.stderr.take().unwrap()).lines();
    let place = url.strip_prefix("udp://").unwrap();
    let head = format!("watching \"counter\" (asked {place}): 0 registrations");
    assert_eq!(out.next().unwrap().unwrap(), head);
    daemon.signal("KILL");
    drop(daemon);
    let away = said.next().unwrap().unwrap();
    assert!(away.starts_with("rpc-binder: the binder is away: "), "{away}");
    let daemon = Daemon::start(&url, "10s");
    assert_eq!(said.next().unwrap().unwrap(), "rpc-binder: the binder is back");
    let server = counter(&Binder::at(&daemon.url).unwrap(), &Arc::default());
    let came = out.next().unwrap().unwrap();
    let line = format!("  came      counter 1.0  {}  {}", server.id(), server.url());
    assert!(came.ends_with(&line), "{came}");

    let id = child.id().to_string();
    let kill = std::process::Command::new("kill").args(["-s", "INT", &id]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(0), "Ctrl-C is how it ends");
}

#[test]
fn watch_ends_when_its_time_is_over() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "10s");
    let (code, out, said) = run(&["watch", "--json", "--for", "300ms", "--binder", &daemon.url]);
    assert_eq!((code, out.as_str(), said.as_str()), (0, "", ""));
}

/// Waits in a handler until it is let go.
#[service(name = "slow", version = "1.0")]
trait Slow {
    /// Waits.
    #[rpc(timeout = "20s")]
    fn wait(&self) -> Result<u32, CallError>;
}

#[derive(Default)]
struct Held {
    is_running: AtomicBool,
    is_free: Mutex<bool>,
    freed: Condvar,
}

impl Held {
    fn free(&self) {
        *self.is_free.lock().unwrap() = true;
        self.freed.notify_all();
    }
}

struct Holder(Arc<Held>);

impl Slow for Holder {
    fn wait(&self) -> Result<u32, CallError> {
        self.0.is_running.store(true, Ordering::Release);
        let is_free = self.0.is_free.lock().unwrap();
        let _free = self.0.freed.wait_while(is_free, |is_free| !*is_free).unwrap();
        Ok(7)
    }
}

#[test]
fn a_server_that_is_asked_to_drain_ends_its_calls_refuses_new_ones_and_stops() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "1s");
    let binder = Binder::at(&daemon.url).unwrap();
    let held = Arc::<Held>::default();
    let server = Server::bind("udp://127.0.0.1:0")
        .unwrap()
        .export(SlowService::new(Holder(Arc::clone(&held))))
        .export(CounterService::new(Shared::default()))
        .register(&binder)
        .spawn()
        .unwrap();
    let (slow, count) = (SlowClient::connect(&server.url()), CounterClient::connect(&server.url()));
    let (slow, count) = (slow.unwrap(), count.unwrap());
    let id = server.id().to_string();
    std::thread::scope(|threads| {
        let running = threads.spawn(|| slow.wait());
        eventually("the call", || held.is_running.load(Ordering::Acquire));
        let (code, out, _) = run(&["drain", &id, "--binder", &daemon.url]);
        let said = format!(
            "server {id} drains: clients leave 2 registrations, and the server hears of it when it \
             renews next\n"
        );
        assert_eq!((code, out), (0, said));
        assert_eq!(live(&binder), 0, "clients leave it at once");
        let mut refused = None;
        eventually("a refusal", || {
            refused = count.add().err();
            refused.is_some()
        });
        assert_eq!(refused.unwrap().execution(), Execution::NotExecuted);
        assert!(!running.is_finished(), "what runs goes on");
        held.free();
        assert_eq!(running.join().unwrap().unwrap(), 7);
    });
    server.wait();
    eventually("the end of its registrations", || binder.list().unwrap().is_empty());
    let (code, _, said) = run(&["drain", &id, "--binder", &daemon.url]);
    assert_eq!((code, said.as_str()), (1, "rpc-binder: no such server is registered here\n"));
}

#[test]
fn top_and_list_show_what_servers_say_of_themselves() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "300ms");
    let binder = Binder::at(&daemon.url).unwrap();
    let server = Server::bind("udp://127.0.0.1:0")
        .unwrap()
        .export(CounterService::new(Shared::default()))
        .zone("eu-1a")
        .label("rack", "7")
        .register(&binder)
        .spawn()
        .unwrap();
    let row = |words: &[&str]| {
        let (code, out, _) = run(&[words, &["--json", "--binder", &daemon.url]].concat());
        assert_eq!(code, 0);
        serde_json::from_str::<serde_json::Value>(&out).unwrap()
    };
    let of_two = || row(&["top", "counter", "--once"])["calls_per_second"].is_number();
    eventually("two renewals", of_two);
    let top = row(&["top", "--once"]);
    assert_eq!((&top["id"], &top["state"]), (&server.id().to_string().into(), &"live".into()));
    assert_eq!(top["health"], "serving");
    assert!(top["calls"].is_u64() && top["p99_us"].is_u64(), "{top}");
    let (code, table, _) = run(&["top", "--binder", &daemon.url]);
    assert_eq!(code, 0, "no terminal: once");
    assert!(table.starts_with("1 registration, 1 live, "), "{table}");
    assert!(table.contains("CALLS/S") && !table.contains('\x1b'), "{table}");

    let list = row(&["list"]);
    assert_eq!((&list["zone"], &list["labels"]["rack"]), (&"eu-1a".into(), &"7".into()));
    let (_, table, _) = run(&["list", "--binder", &daemon.url]);
    assert!(table.contains("ZONE") && table.contains("rack=7"), "{table}");
}

fn new_key(folder: &Path, name: &str) -> Key {
    let path = folder.join(name);
    let (code, out, said) = run(&["key", "new", path.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    let key = Key::from_file(&path).unwrap();
    assert!(out.starts_with(&format!("key {:016x} in ", key.id())), "{out}");
    assert!(!out.contains(&key.to_secret_text()), "keys are not printed");
    key
}

fn enters(binder: &Binder) -> Result<Running, CallError> {
    let count = CounterService::new(Shared::default());
    Server::bind("udp://127.0.0.1:0").unwrap().export(count).register(binder).spawn()
}

#[test]
fn nobody_registers_under_a_name_or_drains_there_but_who_has_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let (ann, eve) = (new_key(folder.path(), "ann.key"), new_key(folder.path(), "eve.key"));
    let again = folder.path().join("ann.key");
    let (code, _, said) = run(&["key", "new", again.to_str().unwrap()]);
    assert_eq!(code, 1, "one that is there is somebody's: {said}");
    let path = folder.path().join("access.toml");
    let keys = "[keys]\nann = \"ann.key\"\neve = \"eve.key\"\n[groups]\nteam = [\"ann\"]\n";
    let rule = "[[rule]]\nname = \"count*\"\nregister = [\"team\"]\n";
    fs::write(&path, format!("{keys}{rule}")).unwrap();

    let mut child = command(&["serve", "--listen", "udp://127.0.0.1:0", "--json", "--access"])
        .arg(&path)
        .args(["--store", "none"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let daemon = Daemon::of(child);
    let binder = Binder::at(&daemon.url).unwrap();

    let refusal = |binder: &Binder| enters(binder).unwrap_err().to_string();
    let text = refusal(&binder);
    assert!(text.contains("counter is owned by group team; this process has no key"), "{text}");
    let text = refusal(&binder.clone().key(eve.clone()));
    assert!(text.contains("counter is owned by group team; this is key eve"), "{text}");
    let server = enters(&binder.clone().key(ann)).unwrap();
    assert_eq!(live(&binder), 1);

    let drained = binder.clone().key(eve.clone()).drain(server.id(), None);
    assert!(matches!(drained, Err(Error::App(BinderError::NotAllowed { .. }))), "{drained:?}");
    let id = server.id().to_string();
    let with = |key: &str| {
        let key = folder.path().join(key);
        run(&["drain", &id, "--key", key.to_str().unwrap(), "--binder", &daemon.url])
    };
    let (code, _, text) = with("eve.key");
    assert_eq!(code, 1);
    assert!(
        text.contains("servers of counter are drained by group team; this is key eve"),
        "{text}"
    );
    assert_eq!(with("ann.key").0, 0);
    drop(server);

    // Rules that do not parse change nothing.
    fs::write(&path, "[[rule]]\nname = 7\n").unwrap();
    daemon.signal("HUP");
    let line = said.next().unwrap().unwrap();
    assert!(line.starts_with("rpc-binder: the access rules stay as they were: "), "{line}");
    assert!(enters(&binder).is_err());
    let rule = "[[rule]]\nname = \"count*\"\nregister = [\"eve\"]\n";
    fs::write(&path, format!("{keys}{rule}")).unwrap();
    daemon.signal("HUP");
    eventually("the new rules", || enters(&binder.clone().key(eve.clone())).is_ok());
}
