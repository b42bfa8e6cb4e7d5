//! Services called from the command line: a real binder and real servers in this process, and the
//! command run as `main` runs it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::disallowed_methods, reason = "a handler that takes its time")]

#[path = "calls/services.rs"]
mod services;

use std::cell::RefCell;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use clap::Parser as _;
use serde_json::{Value, json};

use rpc_binder::cli::Cli;
use rpc_binder::registry::Limits;
use rpc_binder::{command, daemon};
use rpc_runtime::binder::{
    Binder, DirectoryClient, MethodDescription, Registration, Traits, Version,
};
use rpc_runtime::ids::{Incarnation, MethodFingerprint, ServerId};
use rpc_runtime::interface::{fingerprint_of, method_fingerprint_of};
use rpc_runtime::server::Running;
use rpc_runtime::store::Durable;
use rpc_runtime::store::memory::MemoryStore;
use rpc_runtime::time::Duration;
use rpc_runtime::{Semantics, Server, Service};

use services::{Notes, Open, ShopService, TillService, later};

/// A binder and what is registered there.
struct Town {
    binder: Running,
    url: String,
    servers: Mutex<Vec<Running>>,
}

impl Town {
    fn empty() -> Self {
        let binder = daemon::start("udp://127.0.0.1:0", Limits::default()).unwrap();
        let url = binder.url();
        Self { binder, url, servers: Mutex::default() }
    }

    fn with(service: impl Service) -> Self {
        let town = Self::empty();
        town.add(service);
        town
    }

    fn add(&self, service: impl Service) -> ServerId {
        let binder = Binder::at(&self.url).unwrap();
        let server = Server::bind("udp://127.0.0.1:0").unwrap().export(service).register(&binder);
        let running = server.spawn().unwrap();
        let id = running.id();
        self.servers.lock().unwrap().push(running);
        id
    }

    /// Exit code, output, complaints.
    fn run(&self, words: &[&str]) -> (u8, String, String) {
        let cli = Cli::try_parse_from([&["rpc-binder"], words, &["--binder", &self.url]].concat());
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let code = command::run(&cli.unwrap(), &mut out, &mut complaints).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (code, text(out), text(complaints))
    }

    fn call(&self, target: &str, arguments: &str) -> (u8, String, String) {
        self.run(&["call", target, arguments])
    }

    fn place(&self) -> &str {
        self.url.strip_prefix("udp://").unwrap()
    }
}

fn done(line: &str) -> (u8, String, String) {
    (0, format!("{line}\n"), String::new())
}

fn refused(code: u8, line: &str) -> (u8, String, String) {
    (code, String::new(), format!("rpc-binder: {line}\n"))
}

#[test]
fn a_call_prints_what_the_method_returns() {
    let town = Town::with(ShopService::new(Notes::default()));
    assert_eq!(town.call("shop.pay", r#"{"in":"cash","cents":30}"#), done("70"));
    assert_eq!(town.call("shop.pay", r#"["cash","30"]"#), done("70"));
    assert_eq!(town.run(&["call", "shop.ping"]), done("null"));
    let order = r#"{"customer":"ann","items":[{"name":"pen","price":3}],"paid":{"Card":"x"},"stamp":"00ff","notes":{"a":-1}}"#;
    assert_eq!(
        town.call("shop.order", &format!("{{\"order\":{order}}}")),
        done(&format!("[\"18446744073709551615\",{order}]"))
    );
    assert_eq!(
        town.call("shop.order", &format!("[{order},true]")).1,
        format!("[\"18446744073709551614\",{order}]\n")
    );
    let (code, out, _) = town.run(&["call", "shop.pay", r#"["cash",30]"#, "--json"]);
    assert_eq!((code, &*out), (0, "{\"ok\":70}\n"));
}

#[test]
fn an_error_of_the_method_is_printed_and_has_a_code_of_its_own() {
    let town = Town::with(ShopService::new(Notes::default()));
    let (code, out, complaints) = town.call("shop.pay", r#"{"in":"cash","cents":130}"#);
    assert_eq!((code, &*out, &*complaints), (3, "{\"TooLittle\":{\"short\":30}}\n", ""));
    let (code, out, _) = town.run(&["call", "shop.pay", r#"["sand",1]"#, "--json"]);
    assert_eq!((code, &*out), (3, "{\"error\":{\"app\":\"Closed\"}}\n"));
}

#[test]
fn parameters_that_come_back_are_printed_too() {
    let town = Town::with(ShopService::new(Notes::default()));
    assert_eq!(
        town.call("shop.fill", r#"{"basket":["pen"],"count":1}"#),
        done(r#"{"returned":1,"inout":{"basket":["pen","thing 0"]}}"#)
    );
    let (code, out, _) = town.run(&["call", "shop.fill", r#"[[],10]"#, "--json"]);
    assert_eq!((code, &*out), (3, "{\"error\":{\"app\":\"Closed\"},\"inout\":{\"basket\":[]}}\n"));
}

#[test]
fn a_maybe_call_is_sent_and_nobody_waits() {
    let notes = Notes::default();
    let count = Arc::clone(&notes.0);
    let town = Town::with(ShopService::new(notes));
    assert_eq!(town.call("shop.note", r#"{"line":"x"}"#), done("null"));
    for _ in 0..200 {
        if count.load(Ordering::Relaxed) == 1 {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the note never came");
}

#[test]
fn what_is_wrong_with_the_arguments_is_said_before_anything_is_sent() {
    let town = Town::with(ShopService::new(Notes::default()));
    let wrong = |target: &str, arguments: &str| {
        let (code, out, complaint) = town.call(target, arguments);
        assert_eq!((code, &*out), (2, ""));
        complaint
    };
    assert_eq!(
        wrong("shop.pay", r#"{"in":"cash","cents":"ten"}"#),
        "rpc-binder: shop.pay: cents: expected u64, found \"ten\"\n"
    );
    assert_eq!(
        wrong("shop.pay", r#"{"in":"cash","cnets":1}"#),
        "rpc-binder: shop.pay: unknown argument \"cnets\"; did you mean \"cents\"?\n"
    );
    assert_eq!(
        wrong("shop.pay", r#"{"in":"cash"}"#),
        "rpc-binder: shop.pay: missing argument \"cents\"\n"
    );
    let order = r#"{"order":{"customer":"ann","items":[{"name":"pen","price":-3}],"paid":"Cash","stamp":"","notes":{}}}"#;
    assert_eq!(
        wrong("shop.order", order),
        "rpc-binder: shop.order: order.items[0].price: expected u32 (0 to 4294967295), found -3\n"
    );
    assert!(wrong("shop.pay", "{").starts_with("rpc-binder: this is no JSON: EOF while"));
    let (code, out, _) = town.run(&["call", "shop.pay", "[1,2]", "--json"]);
    let error: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, error),
        (2, json!({"error":{"not_called":"shop.pay: in: expected text, found 1"}}))
    );
}

#[test]
fn what_there_is_not_comes_with_what_was_meant() {
    let town = Town::with(ShopService::new(Notes::default()));
    let place = town.place();
    assert_eq!(
        town.call("shop.apy", "{}"),
        refused(1, "shop 1.3 has no method \"apy\"; did you mean \"pay\"?")
    );
    assert_eq!(
        town.call("shop.withdraw", "{}"),
        refused(
            1,
            "shop 1.3 has no method \"withdraw\"; `rpc-binder describe shop` shows those that it has"
        )
    );
    assert_eq!(
        town.call("shpo.pay", "{}"),
        refused(
            1,
            &format!(
                "no server named \"shpo\" is registered (asked {place}); did you mean \"shop\"?"
            )
        )
    );
    assert_eq!(
        town.run(&["describe", "shop", "--version", "2"]),
        refused(
            1,
            &format!("no server named \"shop\" 2.x is registered (asked {place}); there is 1.3")
        )
    );
    assert_eq!(
        town.run(&["describe", "bakery"]),
        refused(1, &format!("no server named \"bakery\" is registered (asked {place})"))
    );
    let (code, _, complaint) = town.run(&["call", "shop.ping", "--server", "7"]);
    assert_eq!(code, 1);
    let start = "rpc-binder: server 0000000000000007 offers no \"shop\" (asked ";
    assert!(complaint.starts_with(start), "{complaint}");
}

#[test]
fn a_failed_call_says_first_whether_it_ran() {
    let town = Town::with(ShopService::new(Notes::default()));
    let (code, out, complaint) = town.call("shop.give_up", "{}");
    assert_eq!((code, &*out), (70, ""));
    let start = "rpc-binder: executed, perhaps in part: the handler gave up: the shop burns";
    assert!(complaint.starts_with(start), "{complaint}");
    let words = ["call", "shop.sleep", "[900]", "--timeout", "200ms"];
    let (code, _, complaint) = town.run(&words);
    assert_eq!(code, 76, "{complaint}");
    assert!(complaint.starts_with("rpc-binder: may have executed: "), "{complaint}");
    let (code, out, complaint) = town.run(&["call", "shop.give_up", "--json"]);
    let error: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &*complaint), (70, ""));
    assert_eq!(error["error"]["call"]["execution"], "executed");
    assert_eq!(error["error"]["call"]["method"], "shop.give_up");

    // The server is gone, and nobody told the binder.
    let town = Town::empty();
    announce(&town, "shop", &[description("pay", "(u64)->u64!<>")]);
    let (code, _, complaint) = town.run(&["call", "shop.pay", "[1]", "--timeout", "300ms"]);
    assert_eq!(code, 75, "{complaint}");
    assert!(complaint.starts_with("rpc-binder: not executed: "), "{complaint}");
    drop(town.binder);
    let url = town.url.as_str();
    let words = ["rpc-binder", "call", "shop.pay", "--timeout", "200ms", "--binder", url];
    let (mut out, mut complaints) = (Vec::new(), Vec::new());
    let cli = Cli::try_parse_from(words).unwrap();
    assert_eq!(command::run(&cli, &mut out, &mut complaints).unwrap(), 75);
}

#[test]
fn an_exactly_once_method_runs_once() {
    let store = Durable::start(MemoryStore::new()).unwrap();
    let till = TillService::durable(&store, |tx, call| call.on(&Open(RefCell::new(tx))));
    let town = Town::with(till);
    assert_eq!(town.call("till.put", "[5]"), done("5"));
    assert_eq!(town.call("till.put", r#"{"cents":6}"#), done("11"));
}

#[test]
fn the_highest_version_is_called_unless_one_is_wanted() {
    let town = Town::with(ShopService::new(Notes::default()));
    let old = town.servers.lock().unwrap()[0].id();
    town.add(later::ShopService::new(later::Free));
    assert_eq!(town.call("shop.pay", r#"{"cents":7}"#), done("0"));
    let words = ["call", "shop.pay", r#"{"in":"cash","cents":7}"#];
    assert_eq!(town.run(&[&words[..], &["--version", "1"]].concat()), done("93"));
    let old = old.to_string();
    assert_eq!(town.run(&[&words[..], &["--server", &old]].concat()), done("93"));
}

#[test]
fn a_description_tells_how_each_method_is_called() {
    let town = Town::with(ShopService::new(Notes::default()));
    let (code, text, _) = town.run(&["describe", "shop"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!(text);
    let (_, lines, _) = town.run(&["describe", "shop", "--json"]);
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 9);
    assert_eq!(rows[1]["parameters"][0], json!({"name":"in","form":"str","inout":false}));
    assert_eq!(rows[3]["result"], Value::Null);
    let why = "its orphans are killed from its clients' journals, and this command keeps none";
    assert_eq!(
        town.call("shop.print", "[1]"),
        refused(1, &format!("shop.print cannot be called from here: {why}"))
    );
    let (code, _, complaint) = town.call("shop.login", "{}");
    assert_eq!(code, 1);
    let start = "rpc-binder: shop.login cannot be called from here: its form is not complete: `?`";
    assert!(complaint.starts_with(start), "{complaint}");
}

#[test]
fn arguments_are_read_from_stdin() {
    let town = Town::with(ShopService::new(Notes::default()));
    let mut child = Command::new(env!("CARGO_BIN_EXE_rpc-binder"))
        .args(["call", "shop.pay", "-", "--binder", &town.url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(br#"{"in":"cash","cents":1}"#).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"99\n"[..]));
}

#[test]
fn large_arguments_and_results_come_through() {
    let town = Town::with(ShopService::new(Notes::default()));
    let stamp = "ab".repeat(1 << 20);
    let order =
        format!(r#"{{"customer":"ann","items":[],"paid":"Cash","stamp":"{stamp}","notes":{{}}}}"#);
    let (code, out, complaint) = town.call("shop.order", &format!("[{order},null]"));
    assert_eq!(code, 0, "{complaint}");
    assert_eq!(out, format!("[\"18446744073709551615\",{order}]\n"));
}

#[test]
fn every_shell_gets_a_script() {
    for shell in ["bash", "zsh", "fish"] {
        let cli = Cli::try_parse_from(["rpc-binder", "completions", shell]).unwrap();
        let mut script = Vec::new();
        assert_eq!(command::run(&cli, &mut script, &mut Vec::new()).unwrap(), 0);
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("describe") && script.contains("timeout"), "{shell}");
    }
}

fn description(name: &str, form: &str) -> MethodDescription {
    MethodDescription {
        name: name.into(),
        signature: "(it)->R".into(),
        parameters: vec!["it".into()],
        form: form.into(),
        semantics: Semantics::AtMostOnce,
        fingerprint: MethodFingerprint(0), // known once its service is
        is_exterminated: false,
    }
}

/// A server that is registered with these methods, whatever it is.
fn announce(town: &Town, name: &str, methods: &[MethodDescription]) {
    let mut methods = methods.to_vec();
    for method in &mut methods {
        let form = (method.form.as_str(), method.signature.as_str());
        method.fingerprint = method_fingerprint_of((name, &method.name), method.semantics, form);
    }
    let directory = DirectoryClient::connect(&town.url).unwrap();
    let registration = Registration {
        name: name.into(),
        version: Version::new(1, 0),
        server: ServerId(7),
        incarnation: Incarnation::new(1, 7),
        addresses: vec!["udp://127.0.0.1:9".into()],
        fingerprint: fingerprint_of(name, methods.iter().map(|method| method.fingerprint)),
        traits: Traits::default(),
        claim: 7,
    };
    directory.start().register(&registration, Some(methods)).wait().unwrap();
}

#[test]
fn a_hostile_description_does_no_harm() {
    let town = Town::empty();
    let deep = format!("({})->()!<>", "[".repeat(2_000));
    let cut = format!("({{{}", "a:u8,".repeat(200));
    let methods = [
        description("endless", "((#0,#0))->()!<>"),
        description("options", "(option #0)->()!<>"),
        description("units", "([();1152921504606846976])->()!<>"),
        description("deep", &deep),
        description("cut", &cut),
        description("odd", "(\"$(rm)\")->()!<>"),
        description("dangling", "(#7)->()!<>"),
    ];
    announce(&town, "trap", &methods);
    let nested = format!("[{}1{}]", "[".repeat(120), "]".repeat(120));
    for (method, arguments, code, why) in [
        ("endless", "[[1,2]]", 2, ": it[0]: expected a list of 2, found 1"),
        ("options", "[5]", 2, ": it: more than 128 levels"),
        ("units", "[[]]", 2, ": it: expected a list of 1152921504606846976, found []"),
        ("deep", "[1]", 1, " cannot be called from here: its form cannot be read: it has more"),
        ("cut", "[1]", 1, " cannot be called from here: its form was cut after 1002 bytes"),
        ("odd", "[1]", 1, " cannot be called from here: its form cannot be read: it cannot be"),
        ("dangling", "[1]", 1, " cannot be called from here: its form cannot be read: byte 2"),
        ("endless", &nested, 2, ": it: expected a list of 2, found a list of 1"),
    ] {
        let (got, out, complaint) = town.call(&format!("trap.{method}"), arguments);
        assert_eq!((got, &*out), (code, ""), "{method}: {complaint}");
        assert!(complaint.contains(&format!("trap.{method}{why}")), "{complaint}");
    }
    let (code, text, _) = town.run(&["describe", "trap"]);
    assert_eq!(code, 0);
    assert!(text.contains("endless(it: (#0,#0)) -> ()"), "{text}");
}
