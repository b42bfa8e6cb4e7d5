//! The command line: what may be said, and its help.
//!
//! Knows words and defaults; does not know how anything is done.

mod words;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use rpc_runtime::binder::VersionRequirement;
use rpc_runtime::ids::ServerId;
use rpc_runtime::time::Duration;

use crate::page;
use words::{
    parse_duration, parse_http, parse_lease, parse_name, parse_place, parse_server, parse_target,
};

pub use words::{Lasting, Target};

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

#[cfg(test)]
mod tests;
