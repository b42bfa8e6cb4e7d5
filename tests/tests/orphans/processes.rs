//! Three services in processes of their own over UDP, and a client in a fourth that is killed.
//!
//! This very test binary plays the parts: it starts itself with a part to play in its environment.

#![expect(clippy::disallowed_methods, reason = "processes in the real world and its time")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use rpc_runtime::Server;
use rpc_runtime::time::Duration;

use super::chain::{Chain as _, ChainClient, ChainService, Desk, Link};

const QUANTUM: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(1);
/// What a machine under load may take to wake a thread. The exact bound holds in the simulator.
const SLACK: Duration = Duration::from_secs(5);
/// Nothing that happens at all takes longer.
const LONG: Duration = Duration::from_secs(20);

/// What part to play, and with whom.
const PART: &str = "RPC_TEST_CHAIN_PART";
const NEXT: &str = "RPC_TEST_CHAIN_NEXT";

#[expect(clippy::print_stdout, reason = "whoever started this process reads it")]
fn say(line: &str) {
    println!("\n{line}");
    let _ = std::io::stdout().flush();
}

/// The test that plays its own parts.
const ITSELF: &str =
    "processes::a_killed_client_s_work_is_gone_from_three_processes_after_a_quantum_and_the_grace";

/// A part in a process of its own.
fn play(part: &str) {
    let next = std::env::var(NEXT).ok();
    match part {
        "link" => {
            let link = Link {
                tell: say,
                ..Link::new(next.as_deref(), &Arc::<Desk>::default(), thread::sleep)
            };
            let server = Server::bind("udp://127.0.0.1:0").unwrap().quantum(QUANTUM).grace(GRACE);
            let server = server.export(ChainService::new(link)).spawn().unwrap();
            say(&format!("url {}", server.url()));
            // Until whoever started it closes the pipe, or dies.
            let mut nothing = [0; 64];
            while std::io::stdin().read(&mut nothing).is_ok_and(|read| read > 0) {}
        }
        "client" => drop(ChainClient::connect(&next.unwrap()).unwrap().work()),
        other => panic!("no part is called {other}"),
    }
}

/// A process that plays a part.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(part: &str, next: Option<&str>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", ITSELF, "--nocapture"]);
        command.env(PART, part).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(next) = next {
            command.env(NEXT, next);
        }
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The rest of the next line that begins like that.
    fn hear(&self, beginning: &str, within: Duration) -> String {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(beginning) {
                        return rest.trim().to_owned();
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("`{beginning}` was not said in time"),
                Err(RecvTimeoutError::Disconnected) => panic!("the process is gone"),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _exit = self.child.wait();
    }
}

#[test]
fn a_killed_client_s_work_is_gone_from_three_processes_after_a_quantum_and_the_grace() {
    if let Ok(part) = std::env::var(PART) {
        return play(&part);
    }
    let mut links: Vec<Process> = Vec::new();
    let mut next = None;
    for _ in 0..3 {
        let link = Process::start("link", next.as_deref());
        next = Some(link.hear("url", LONG));
        links.push(link);
    }
    let first = next.unwrap();
    let mut client = Process::start("client", Some(&first));
    for link in &links {
        link.hear("begun", LONG);
    }
    let chain = ChainClient::connect(&first).unwrap();
    thread::sleep(QUANTUM * 3);
    assert_eq!(chain.at_work().unwrap(), None, "the lock is held while the client lives");

    client.child.kill().unwrap();
    let killed = Instant::now();

    for link in &links {
        let left = (QUANTUM + GRACE + SLACK).saturating_sub(killed.elapsed());
        link.hear("left", left);
    }
    assert_eq!(chain.at_work().unwrap(), Some(0), "and the lock is free");
}
