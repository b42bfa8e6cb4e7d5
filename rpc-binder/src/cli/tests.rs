//! What may be said, and what is answered to what may not.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from([&["rpc-binder"], words].concat())
}

fn complaint(words: &[&str]) -> String {
    let text = parse(words).unwrap_err().to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn serve_listens_at_the_default_place_with_leases_of_ten_seconds() {
    let cli = parse(&["serve"]).unwrap();
    let lease = Duration::from_secs(10);
    let shown = Shown { http: None, http_name: Vec::new(), show_expired: Duration::from_secs(60) };
    let listen = DEFAULT_URL.into();
    let expected = Command::Serve { listen, lease, store: None, access: None, shown };
    assert_eq!(cli.command, expected);
    assert!(!cli.json);
    let store = |words: &[&str]| {
        let Command::Serve { store, .. } = parse(words).unwrap().command else { panic!() };
        store
    };
    assert_eq!(store(&["serve", "--store", "none"]), Some(Lasting::Nowhere));
    assert_eq!(store(&["serve", "--store", "a/b"]), Some(Lasting::In("a/b".into())));
    let etcd = store(&["serve", "--store", "etcd://a:1,b:2"]);
    assert_eq!(etcd, Some(Lasting::Etcd("etcd://a:1,b:2/rpc-binder".into())));
    assert_eq!(
        complaint(&["serve", "--store", "etcd://a"]),
        "error: invalid value 'etcd://a' for '--store <PLACE>': \"etcd://a\" names no etcd: \"a\" is \
         no HOST:PORT; write etcd://HOST:PORT,HOST:PORT,HOST:PORT/PREFIX"
    );
}

#[test]
fn the_page_is_on_this_machine_unless_told() {
    let page = |words: &[&str]| {
        let Command::Serve { shown, .. } = parse(words).unwrap().command else { panic!() };
        shown.page()
    };
    assert_eq!(page(&["serve"]), None);
    for (said, meant) in [
        ("7080", "127.0.0.1:7080"),
        ("localhost:7080", "127.0.0.1:7080"),
        ("http://127.0.0.1:7080/", "127.0.0.1:7080"),
        ("[::1]:0", "[::1]:0"),
        ("0.0.0.0:80", "0.0.0.0:80"),
    ] {
        let place = page(&["serve", "--http", said, "--http-name", "a", "--http-name", "b"]);
        let names = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(place, Some(page::Place { address: meant.parse().unwrap(), names }));
    }
    assert_eq!(
        complaint(&["serve", "--http", "binder:7080"]),
        "error: invalid value 'binder:7080' for '--http <ADDRESS>': write an address and a \
         port, such as 127.0.0.1:7080, or a port"
    );
}

#[test]
fn a_lookup_takes_any_version_unless_told() {
    let version = |words: &[&str]| match parse(words).unwrap().command {
        Command::Lookup { version, .. } => version.to_string(),
        other @ (Command::Serve { .. }
        | Command::List { .. }
        | Command::Describe { .. }
        | Command::Watch(_)
        | Command::Top(_)
        | Command::Drain { .. }
        | Command::Key { .. }
        | Command::Call(_)
        | Command::Completions { .. }) => panic!("{other:?}"),
    };
    assert_eq!(version(&["lookup", "bank"]), "*");
    assert_eq!(version(&["lookup", "bank", ">=1.2, <2", "--json"]), ">=1.2, <2");
}

#[test]
fn wrong_usage_is_told_apart_and_says_what_to_write() {
    assert_eq!(parse(&["serv"]).unwrap_err().kind(), ErrorKind::InvalidSubcommand);
    assert_eq!(
        complaint(&["serve", "--binder", "udp://a:1"]),
        "error: unexpected argument '--binder' found"
    );
    assert_eq!(parse(&["--nope"]).unwrap_err().exit_code(), 2);
    assert_eq!(
        complaint(&["lookup", "Bank"]),
        "error: invalid value 'Bank' for '<NAME>': \"Bank\" cannot name a service: 'B' is none \
         of a-z 0-9 . _ -"
    );
    assert_eq!(
        complaint(&["lookup", "bank", "1.2.3"]),
        "error: invalid value '1.2.3' for '[VERSION]': \"1.2.3\" is not a version requirement: \
         a version is \"major.minor\" (a patch number says nothing about an interface)"
    );
    assert_eq!(
        complaint(&["serve", "--lease", "2"]),
        "error: invalid value '2' for '--lease <DURATION>': \"2\" has no unit: a duration is a \
         number with a unit, such as 500ms, 2s or \"1m 30s\""
    );
    assert_eq!(
        complaint(&["serve", "--lease", "2ms"]),
        "error: invalid value '2ms' for '--lease <DURATION>': a lease is between 100ms and 24h"
    );
}

#[test]
fn a_call_names_its_method_and_takes_its_arguments_as_they_are() {
    let call = |words: &[&str]| match parse(&[&["call"], words].concat()).unwrap().command {
        Command::Call(call) => call,
        other @ (Command::Serve { .. }
        | Command::List { .. }
        | Command::Lookup { .. }
        | Command::Describe { .. }
        | Command::Watch(_)
        | Command::Top(_)
        | Command::Drain { .. }
        | Command::Key { .. }
        | Command::Completions { .. }) => panic!("{other:?}"),
    };
    let plain = call(&["rpc.binder.list"]);
    assert_eq!((&*plain.target.service, &*plain.target.method), ("rpc.binder", "list"));
    assert_eq!((&*plain.arguments, plain.which.server), ("{}", None));
    assert_eq!(call(&["bank.note", "-"]).arguments, "-");
    assert_eq!(call(&["bank.note", "-7"]).arguments, "-7");
    let chosen = call(&["a.b", "[1]", "--server", "7f3a", "--version", "1.2"]);
    assert_eq!(chosen.which.server, Some(ServerId(0x7f3a)));
    assert_eq!(chosen.which.version.to_string(), "1.2");
    assert_eq!(
        complaint(&["call", "bank"]),
        "error: invalid value 'bank' for '<NAME.METHOD>': \"bank\" names no method: write \
         service.method"
    );
    assert_eq!(
        complaint(&["call", "a.b", "--server", "x"]),
        "error: invalid value 'x' for '--server <ID>': \"x\" is no server's id: those of `list` \
         have up to 16 digits, 0-9 and a-f"
    );
}

#[test]
fn help_reads_as_reviewed() {
    let help = Cli::command().term_width(100).render_long_help().to_string();
    insta::assert_snapshot!(help);
    let mut command = Cli::command().term_width(100);
    command.build();
    for name in [
        "serve",
        "list",
        "lookup",
        "describe",
        "watch",
        "top",
        "drain",
        "key",
        "call",
        "completions",
    ] {
        let part = command.find_subcommand_mut(name).unwrap().render_help().to_string();
        insta::assert_snapshot!(format!("{name}_help"), part);
    }
    let key = command.find_subcommand_mut("key").unwrap();
    let part = key.find_subcommand_mut("new").unwrap().render_help().to_string();
    insta::assert_snapshot!("key_new_help", part);
}

#[test]
fn every_shell_completes_every_command() {
    for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "rpc-binder", &mut script);
        let script = String::from_utf8(script).unwrap();
        for word in ["watch", "top", "drain", "key", "changes", "interval", "access"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}
