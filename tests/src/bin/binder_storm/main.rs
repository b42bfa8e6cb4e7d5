//! The binder's storm: a real binder, killed with SIGKILL at random instants and started again on its
//! store, while servers register, renew, leave and fall silent.
//!
//! Each crowd ([`crowd`]) registers under a name of its own and remembers what the binder confirmed, so
//! that what a lookup shows can be held against it without a race: a confirmed registration that is
//! renewed in time must be there, and one whose end was confirmed or seen must never be again. Beside
//! them other servers take over the addresses of dead ones ([`impostors`]), and clients that follow the
//! binder must not call them.
//!
//! With `--store etcd` there are three binders before an etcd of three nodes, and one of these six is killed
//! at a time: lookups never fail then ([`victims`]).

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod binders;
mod crowd;
mod impostors;
mod judge;
mod victims;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Kill a binder again and again, and hold what it shows against what it confirmed.
#[derive(Parser, Debug)]
#[command(name = "binder_storm", version)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    storm: Storm,
}

/// How hard it blows.
#[derive(Args, Debug)]
struct Storm {
    /// Where registrations last.
    #[arg(long, value_enum, default_value = "embedded")]
    store: StoreKind,
    /// Nodes of etcd, where that is the store.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// How often something is killed and restarted.
    #[arg(long, default_value_t = 200)]
    restarts: u32,
    /// Crowds of servers, each under a name of its own.
    #[arg(long, default_value_t = 6)]
    crowds: u32,
    /// Seed of the moments and of what is asked.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Where registrations last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StoreKind {
    /// In a folder, for one binder.
    Embedded,
    /// In etcd, for three binders.
    Etcd,
}

#[derive(Subcommand, Debug)]
enum Part {
    /// The binder; started by the storm.
    #[command(hide = true)]
    Binder(BinderPart),
}

/// The binder's part.
#[derive(Args, Debug)]
struct BinderPart {
    #[arg(long)]
    listen: String,
    #[arg(long)]
    store: String,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.part {
        Some(Part::Binder(part)) => judge::serve(&part).map(|()| ExitCode::SUCCESS),
        None => judge::run(&cli.storm),
    };
    result.unwrap_or_else(|error| {
        eprintln!("binder_storm: {error}");
        ExitCode::FAILURE
    })
}
