//! The bank's client as scripts use it: what it prints, and exit codes that say whether it paid.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::disallowed_methods, reason = "a bank that takes its time")]

use std::process::Command;
use std::time::Duration;

use clap::Parser as _;
use examples::bank::{Bank, BankError, BankService, MyBank};
use rpc_runtime::server::Running;
use rpc_runtime::{Binder, CallError, Server, Service, service};

/// A binder, and a server that is registered with it.
struct Town {
    binder: Running,
    _server: Running,
}

impl Town {
    fn with(service: impl Service) -> Self {
        let limits = rpc_binder::registry::Limits::default();
        let running = rpc_binder::daemon::start("udp://127.0.0.1:0", limits).unwrap();
        let binder = Binder::at(&running.url()).unwrap();
        let server = Server::bind("udp://127.0.0.1:0").unwrap().export(service).register(&binder);
        Self { binder: running, _server: server.spawn().unwrap() }
    }

    fn pay(&self, cents: &str) -> (i32, String, String) {
        pay(&self.binder.url(), cents)
    }
}

/// Runs the client: its exit code, and what it printed to stdout and stderr.
fn pay(binder: &str, cents: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bank_client"));
    let output = command.args(["--binder", binder, "--cents", cents]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn paying_is_0_and_the_banks_own_no_is_1() {
    let town = Town::with(BankService::new(MyBank::with(&[("ann", 100), ("bob", 0)])));
    let (code, out, complaint) = town.pay("30");
    assert_eq!((code, complaint.as_str()), (0, ""));
    assert!(out.contains("ann has Some(70), bob has Some(30)"), "{out}");
    let (code, out, complaint) = town.pay("71");
    assert_eq!((code, out.as_str(), complaint.as_str()), (1, "", "error: ann is 1 cents short\n"));
}

/// A bank with a day of its own for each sum.
struct BadDay;

impl Bank for BadDay {
    fn balance(&self, account: &str) -> rpc_runtime::Result<u64, BankError> {
        Err(BankError::NoAccount(account.to_owned()).into())
    }

    fn transfer(&self, _: &str, _: &str, cents: u64) -> rpc_runtime::Result<u64, BankError> {
        match cents {
            1 => std::panic::resume_unwind(Box::new("the vault is jammed")),
            2 => std::thread::sleep(Duration::from_millis(2_500)),
            _ => {}
        }
        Err(CallError::failed("closed"))?
    }

    fn note(&self, _line: &str) {}
}

#[test]
fn a_call_that_ran_and_failed_is_70_and_one_that_may_have_run_76() {
    let town = Town::with(BankService::new(BadDay));
    let (code, out, complaint) = town.pay("1");
    assert_eq!((code, out.as_str()), (70, ""));
    assert_eq!(complaint, "error: executed: the handler panicked: the vault is jammed\n");
    let (code, _, complaint) = town.pay("3");
    assert_eq!(code, 70);
    assert_eq!(complaint, "error: executed, perhaps in part: the handler gave up: closed\n");
    let (code, out, complaint) = town.pay("2");
    assert_eq!(code, 76, "{complaint}");
    assert!(out.starts_with("asked what became of it: Ok("), "{out}");
    assert!(complaint.starts_with("error: may have executed: no reply from "), "{complaint}");
}

/// Runs the binder's own command line: exit code, output, complaints.
fn command(words: &[&str]) -> (u8, String, String) {
    let cli = rpc_binder::cli::Cli::try_parse_from([&["rpc-binder"], words].concat()).unwrap();
    let (mut out, mut complaints) = (Vec::new(), Vec::new());
    let code = rpc_binder::command::run(&cli, &mut out, &mut complaints).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (code, text(out), text(complaints))
}

#[test]
fn a_bank_that_its_callers_cannot_use_is_refused_in_words() {
    let town = Town::with(BankService::new(MyBank::with(&[("ann", 100)])));
    let url = town.binder.url();
    let entries = Binder::at(&url).unwrap().list().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bank_server"));
    let output = command.args(["--changed", "--binder", &url]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert_eq!((output.status.code(), text(output.stdout).as_str()), (Some(78), ""));
    assert_eq!(
        text(output.stderr),
        format!(
            "error: not executed: the binder at {url} refuses \"bank\" 1.1: \"transfer\" differs: \
             parameter cents is i64 here and u64 in bank 1.0 (live at server {}): keep it as it is \
             there, or raise the major version\n",
            entries[0].server
        )
    );
}

#[test]
fn anybody_can_call_the_bank_from_the_command_line() {
    let town = Town::with(BankService::new(MyBank::with(&[("ann", 100), ("bob", 0)])));
    let url = town.binder.url();
    let call =
        |method: &str, arguments: &str| command(&["call", method, arguments, "--binder", &url]);
    assert_eq!(
        call("bank.transfer", r#"{"from":"ann","to":"bob","cents":30}"#),
        (0, "70\n".into(), String::new())
    );
    assert_eq!(
        call("bank.transfer", r#"{"from":"ann","to":"bob","cents":"ten"}"#),
        (2, "".into(), "rpc-binder: bank.transfer: cents: expected u64, found \"ten\"\n".into())
    );
    let text = "rpc-binder: bank 1.0 has no method \"transfre\"; did you mean \"transfer\"?\n";
    assert_eq!(call("bank.transfre", "{}"), (1, "".into(), text.into()));
    assert_eq!(
        call("bank.transfer", r#"["ann","bob",71]"#),
        (3, "{\"NoFunds\":{\"short\":1}}\n".into(), String::new())
    );
}

/// Another bank of that name.
#[service(name = "bank", version = "1.0")]
trait Other {
    fn rob(&self) -> Result<(), CallError>;
}

struct Robbers;

impl Other for Robbers {
    fn rob(&self) -> Result<(), CallError> {
        Ok(())
    }
}

#[test]
fn a_call_that_did_not_run_is_75_and_78_where_trying_again_is_vain() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (code, _, complaint) = pay(&format!("udp://{}", silent.local_addr().unwrap()), "1");
    assert_eq!(code, 75, "{complaint}");
    assert!(complaint.starts_with("error: not executed: no server named \"bank\""), "{complaint}");
    let (code, _, complaint) = pay("127.0.0.1:7000", "1");
    assert_eq!(code, 78, "{complaint}");
    let (code, _, complaint) = Town::with(OtherService::new(Robbers)).pay("1");
    assert_eq!(code, 78, "{complaint}");
    assert!(complaint.contains("offers another interface"), "{complaint}");
}
