//! The command line: what may be said, and its help.
//!
//! Knows words, defaults and how a duration is written; does not know how anything is done.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use rpc_runtime::binder::VersionRequirement;
use rpc_runtime::binder::model::check_name;
use rpc_runtime::ids::ServerId;
use rpc_runtime::time::Duration;

use crate::page;

/// Where a binder listens and is looked for unless told otherwise.
pub const DEFAULT_URL: &str = "udp://127.0.0.1:7000";

/// What a script learns: those of failed calls are [`rpc_runtime::CallError::exit_code`]'s.
const EXIT_CODES: &str = "Exit code: 0 done, 1 not found or refused, 2 wrong usage; 75 no binder \
                          reached, 76 or 70 it did not answer as it should, 78 an address that \
                          cannot be used.";

/// As [`EXIT_CODES`], where a method was called.
const CALL_EXIT_CODES: &str = "Exit code: 0 the method returned, 3 it returned an error of its own \
                               (both are printed), 1 no such service or method, 2 wrong usage or \
                               arguments; 75 or 78 the call did not run, 70 it ran and failed, 76 \
                               nobody knows.\n\nValues are JSON as serde_json writes it, but bytes \
                               are text in hexadecimal, integers beyond 2^53 text in decimals, and \
                               maps whose keys are no text lists of pairs. An exactly_once method \
                               runs once, over crashes of its server too; but this command keeps no \
                               journal, so a call of which nobody knows is not asked about later.";

/// Servers register with the binder; clients ask it where a service is.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "rpc-binder", version, max_term_width = 100)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Print one JSON object a line
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run a binder until SIGTERM or SIGINT
    Serve {
        /// Where to listen; port 0 takes a free one, which is printed
        #[arg(long, value_name = "URL", default_value = DEFAULT_URL)]
        listen: String,

        /// How long a registration is believed without a renewal
        #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_lease)]
        lease: Duration,

        /// The folder in which registrations last; `etcd://HOST:PORT,…/PREFIX` has several binders share
        /// them, `none` keeps them in memory [default: rpc-binder in the user's folder for state]
        #[arg(long, value_name = "PLACE", env = "RPC_BINDER_STORE", hide_env_values = true)]
        #[arg(value_parser = parse_place)]
        store: Option<Lasting>,

        /// The rules that say who may register under which names, and who may drain; read again on
        /// SIGHUP
        #[arg(long, value_name = "FILE", env = "RPC_BINDER_ACCESS", hide_env_values = true)]
        access: Option<PathBuf>,

        /// What is shown, and to whom.
        #[command(flatten)]
        shown: Shown,
    },
    /// Show all registrations
    List {
        /// Whom to ask.
        #[command(flatten)]
        ask: Ask,
    },
    /// Show the live servers of a service
    Lookup {
        /// The service's name
        #[arg(value_parser = parse_name)]
        name: String,

        /// The versions that will do, such as `1`, `1.2`, `>=1.2, <2` or `*`
        #[arg(default_value = "*")]
        version: VersionRequirement,

        /// Whom to ask.
        #[command(flatten)]
        ask: Ask,
    },
    /// Show what a service offers: each method with its parameters, result, error and semantics
    Describe {
        /// The service's name
        #[arg(value_parser = parse_name)]
        name: String,

        /// Which of its servers.
        #[command(flatten)]
        which: Which,

        /// Whom to ask.
        #[command(flatten)]
        ask: Ask,
    },
    /// Print who comes, leaves, drains or changes, one line each, until Ctrl-C
    Watch(Watch),
    /// Show what servers do, as top does: calls a second, latency, failures
    Top(Top),
    /// Have a server drain: clients leave it, it ends its calls, refuses new ones, and stops
    Drain {
        /// The server's id, as `list` shows it
        #[arg(value_parser = parse_server)]
        id: ServerId,

        /// Only have clients of this service leave it, and let the server go on
        #[arg(long, value_name = "NAME", value_parser = parse_name)]
        service: Option<String>,

        /// The file of a key that may drain, where the binder's access rules want one
        #[arg(long, value_name = "FILE", env = "RPC_BINDER_KEY", hide_env_values = true)]
        key: Option<PathBuf>,

        /// Whom to ask.
        #[command(flatten)]
        ask: Ask,
    },
    /// Make keys by which servers prove who they are
    Key {
        /// What to do with it.
        #[command(subcommand)]
        act: KeyAct,
    },
    /// Call a method, and print what it returns as JSON
    #[command(after_help = CALL_EXIT_CODES)]
    Call(Call),
    /// Print a script that completes this command line in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What is to be seen as it comes.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Watch {
    /// The service's name; all services if it is left out, which are looked at once a second
    #[arg(value_parser = parse_name)]
    pub name: Option<String>,

    /// End after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub time: Option<Duration>,

    /// End after so many changes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub changes: Option<u64>,

    /// Whom to ask.
    #[command(flatten)]
    pub ask: Ask,
}

/// What is to be seen of servers at work.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Top {
    /// The service's name; all services if it is left out
    #[arg(value_parser = parse_name)]
    pub name: Option<String>,

    /// How often to look; servers tell the binder what they do three times in a lease
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub interval: Duration,

    /// Print once and end, as where stdout is no terminal
    #[arg(long)]
    pub once: bool,

    /// Whom to ask.
    #[command(flatten)]
    pub ask: Ask,
}

/// What to do with a key.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum KeyAct {
    /// Make one, in a new file that only its owner may read
    New {
        /// The file
        file: PathBuf,
    },
}

/// What a binder shows, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Shown {
    /// Serve a page that shows all of it in a browser, and /metrics and /healthz, at this address; a port
    /// alone is one of 127.0.0.1 [default: no page]
    #[arg(long, value_name = "ADDRESS", env = "RPC_BINDER_HTTP", hide_env_values = true)]
    #[arg(value_parser = parse_http)]
    pub http: Option<SocketAddr>,

    /// A name by which browsers may ask for the page, besides localhost and addresses; may be repeated
    #[arg(long, value_name = "NAME")]
    pub http_name: Vec<String>,

    /// How long a server is shown whose lease is over
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    pub show_expired: Duration,
}

impl Shown {
    /// Where the page is to be, if there is to be one.
    #[must_use]
    pub fn page(&self) -> Option<page::Place> {
        let names = self.http_name.clone();
        self.http.map(|address| page::Place { address, names })
    }
}

/// Which of a service's servers.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Which {
    /// The versions that will do; of several the highest
    #[arg(long, value_name = "REQUIREMENT", default_value = "*")]
    pub version: VersionRequirement,

    /// This server and no other one, by its id
    #[arg(long, value_name = "ID", value_parser = parse_server)]
    pub server: Option<ServerId>,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Call {
    /// The service and its method, such as `bank.transfer`
    #[arg(value_name = "NAME.METHOD", value_parser = parse_target)]
    pub target: Target,

    /// The arguments as JSON: an object by name or a list; `-` reads stdin
    #[arg(value_name = "JSON", default_value = "{}", hide_default_value = true)]
    #[arg(allow_hyphen_values = true)]
    pub arguments: String,

    /// Which of its servers.
    #[command(flatten)]
    pub which: Which,

    /// The binder to ask; of several before one store, a list with commas
    #[arg(long, value_name = "URL", env = "RPC_BINDER", hide_env_values = true)]
    #[arg(default_value = DEFAULT_URL)]
    pub binder: String,

    /// How long to wait for the reply, and for the binder if that is less than 2s
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// A method of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The service's name.
    pub service: String,
    /// The method's name on the wire.
    pub method: String,
}

/// Where registrations last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// In this folder.
    In(PathBuf),
    /// In the cluster of this URL, for all binders before it.
    Etcd(String),
    /// Nowhere: a binder that restarts knows nobody.
    Nowhere,
}

impl Lasting {
    /// Where they last unless somebody says otherwise: where services of the system keep their state if
    /// it is one of them, else among the user's own files.
    ///
    /// # Errors
    ///
    /// The environment names no folder for it.
    pub fn by_default(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        let folder = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let of_user = || folder("HOME").map(|home| home.join(".local/state"));
        let of_user = || folder("XDG_STATE_HOME").or_else(of_user);
        let place = folder("STATE_DIRECTORY").or_else(|| Some(of_user()?.join("rpc-binder")));
        let nowhere = "no HOME is set: say where registrations are to last: --store FOLDER";
        place.map(Self::In).ok_or_else(|| nowhere.to_owned())
    }
}

/// Whom to ask, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Ask {
    /// The binder to ask; of several before one store, a list with commas
    #[arg(long, value_name = "URL", env = "RPC_BINDER", hide_env_values = true)]
    #[arg(default_value = DEFAULT_URL)]
    pub binder: String,

    /// How long to wait for the binder
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// Shortest lease, so that a renewal can be lost and repeated in time.
const LEASE_MIN: Duration = Duration::from_millis(100);
/// Longest lease: a dead server is believed that long.
const LEASE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

fn parse_lease(text: &str) -> Result<Duration, String> {
    let lease = parse_duration(text)?;
    if (LEASE_MIN..=LEASE_MAX).contains(&lease) {
        Ok(lease)
    } else {
        Err("a lease is between 100ms and 24h".into())
    }
}

fn parse_place(text: &str) -> Result<Lasting, String> {
    match text {
        "none" => Ok(Lasting::Nowhere),
        etcd if etcd.starts_with("etcd:") => parse_etcd(etcd),
        folder => Ok(Lasting::In(folder.into())),
    }
}

#[cfg(feature = "etcd")]
fn parse_etcd(text: &str) -> Result<Lasting, String> {
    crate::store::EtcdUrl::parse(text).map(|url| Lasting::Etcd(url.to_string()))
}

#[cfg(not(feature = "etcd"))]
fn parse_etcd(_text: &str) -> Result<Lasting, String> {
    Err("this binder was built without the feature `etcd`".into())
}

fn parse_http(text: &str) -> Result<SocketAddr, String> {
    let text = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let local = text.strip_prefix("localhost:").unwrap_or(text);
    if let Ok(port) = local.parse() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse()
        .map_err(|_| "write an address and a port, such as 127.0.0.1:7080, or a port".into())
}

fn parse_name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

fn parse_server(text: &str) -> Result<ServerId, String> {
    let id = u64::from_str_radix(text, 16).ok().filter(|_| !text.starts_with('+'));
    id.map(ServerId).filter(|id| id.is_some()).ok_or_else(|| {
        format!("{text:?} is no server's id: those of `list` have up to 16 digits, 0-9 and a-f")
    })
}

fn parse_target(text: &str) -> Result<Target, String> {
    match text.rsplit_once('.') {
        Some((service, method)) if !method.is_empty() => {
            Ok(Target { service: parse_name(service)?, method: method.to_owned() })
        }
        Some(_) | None => Err(format!("{text:?} names no method: write service.method")),
    }
}

/// Reads a duration: numbers with units (us, ms, s, m, h), such as `500ms`, `2s` or `1m 30s`.
///
/// # Errors
///
/// What is wrong with it, for people.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let example = "a duration is a number with a unit, such as 500ms, 2s or \"1m 30s\"";
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_| example.to_owned())?;
        let micros: u64 = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "" => return Err(format!("{text:?} has no unit: {example}")),
            _ => return Err(format!("unknown unit {unit:?}: {example} (units: us, ms, s, m, h)")),
        };
        let part = number.checked_mul(micros).map(Duration::from_micros);
        total = part
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| format!("{text:?} is too long"))?;
        rest = tail.trim_start();
    }
    if total.is_zero() { Err(format!("{text:?} is no time at all: {example}")) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
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
        let shown =
            Shown { http: None, http_name: Vec::new(), show_expired: Duration::from_secs(60) };
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
    fn registrations_last_among_the_users_files_unless_told() {
        let with = |set: &[(&str, &str)]| {
            let set: std::collections::BTreeMap<_, _> = set.iter().copied().collect();
            Lasting::by_default(|name| set.get(name).map(OsString::from))
        };
        let home = ("HOME", "/home/ann");
        assert_eq!(with(&[home]), Ok(Lasting::In("/home/ann/.local/state/rpc-binder".into())));
        assert_eq!(
            with(&[home, ("XDG_STATE_HOME", "/var/x")]),
            Ok(Lasting::In("/var/x/rpc-binder".into()))
        );
        assert_eq!(
            with(&[home, ("STATE_DIRECTORY", "/var/lib/binder")]),
            Ok(Lasting::In("/var/lib/binder".into()))
        );
        assert!(with(&[("HOME", "")]).unwrap_err().contains("--store FOLDER"));
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
    fn durations_are_numbers_with_units() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("2h5us"), Ok(Duration::from_micros(7_200_000_005)));
        for wrong in ["", "0s", "s", "-1s", "1.5s", "2 sec", "99999999999999999999h", "9999999999h"]
        {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
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
}
