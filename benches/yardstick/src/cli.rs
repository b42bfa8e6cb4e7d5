//! The command line.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::child::{self, Setting};
use crate::contest::REFERENCE;
use crate::figures;
use crate::system::{Place, Result, Transport, Work};

/// Calls measured beside the raw transports and beside other frameworks, in interleaved rounds.
#[derive(Debug, Parser)]
#[command(name = "yardstick")]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// What cargo says to every bench.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One caller, one call after the other: the median, the 99th percentile, the processor time.
    Latency {
        #[command(flatten)]
        common: Common,
        /// What a call carries.
        #[arg(long, value_enum, default_value = "null")]
        payload: Payload,
    },
    /// 64-byte calls a second with many under way on one connection, started by one thread.
    Throughput {
        #[command(flatten)]
        common: Common,
        /// Calls under way.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1_024])]
        outstanding: Vec<usize>,
    },
    /// Large messages, one after the other.
    Bulk {
        #[command(flatten)]
        common: Common,
        /// Bytes of a message.
        #[arg(long, default_value_t = 1 << 20)]
        bytes: usize,
        /// In the reply instead of the argument.
        #[arg(long)]
        reply: bool,
    },
    /// Threads on one connection; idle connections and the memory that they take.
    Scale {
        #[command(flatten)]
        common: Common,
        /// Threads at most: 1, 2, 4, ….
        #[arg(long, default_value_t = 64)]
        threads: usize,
        /// Connections at most: 1, 10, 100, ….
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
    },
    /// Crates, and the size of a minimal server, which is built for it.
    Size {
        #[command(flatten)]
        common: Common,
        /// Builds every server from nothing, and says how long that took.
        #[arg(long)]
        build: bool,
    },
    /// System calls of a null call, counted by strace.
    Counts {
        #[command(flatten)]
        common: Common,
    },
    /// The other process.
    #[command(hide = true)]
    Serve {
        system: String,
        transport: Transport,
        work: String,
        path: String,
        #[arg(long)]
        counts: bool,
        #[arg(long)]
        processor: Option<usize>,
    },
    /// A process with idle connections.
    #[command(hide = true)]
    Hold { system: String, transport: Transport, address: String, count: usize },
    /// The client's process where somebody looks at it from outside.
    #[command(hide = true)]
    Drive { system: String, transport: Transport, address: String, calls: u64 },
}

/// What a call carries in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Payload {
    /// Nothing. The raw echoes send 64 bytes all the same.
    Null,
    /// 64 bytes.
    #[value(name = "64")]
    Small,
}

/// Where the two ends run, if the scheduler is not to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pin {
    /// Both on one processor.
    One,
    /// Each on one of its own.
    Two,
}

/// What all figures have in common.
#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
    /// One JSON object a line instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Only these transports.
    #[arg(long, value_enum, value_delimiter = ',')]
    transport: Vec<Transport>,
    /// Only these systems, and `raw`.
    #[arg(long, value_delimiter = ',')]
    system: Vec<String>,
    /// How often each system has its turn, after one that does not count.
    #[arg(long, default_value_t = 9)]
    pub(crate) rounds: usize,
    /// How long a turn takes.
    #[arg(long, default_value_t = 0.5)]
    pub(crate) seconds: f64,
    /// Keeps both ends on one processor, or on one each.
    #[arg(long, value_enum)]
    pub(crate) pin: Option<Pin>,
    /// Counts allocations and context switches, too: times are a little worse then.
    #[arg(long)]
    pub(crate) counts: bool,
}

impl Common {
    /// The transports to go through.
    pub(crate) fn transports(&self) -> Vec<Transport> {
        let asked =
            |transport: &Transport| self.transport.is_empty() || self.transport.contains(transport);
        Transport::ALL.into_iter().filter(asked).collect()
    }

    /// Whether the system takes part.
    pub(crate) fn wants(&self, system: &str) -> bool {
        system == REFERENCE
            || self.system.is_empty()
            || self.system.iter().any(|asked| asked == system)
    }
}

/// Does what the command line asks for.
pub(crate) fn run() -> ExitCode {
    match command(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("yardstick: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command(command: Command) -> Result<()> {
    match command {
        Command::Latency { common, payload } => figures::latency::run(&common, payload),
        Command::Throughput { common, outstanding } => {
            figures::throughput::run(&common, &outstanding)
        }
        Command::Bulk { common, bytes, reply } => {
            figures::bulk::run(&common, if reply { Work::Source(bytes) } else { Work::Sink(bytes) })
        }
        Command::Scale { common, threads, connections } => {
            figures::scale::run(&common, threads, connections)
        }
        Command::Size { common, build } => figures::size::run(&common, build),
        Command::Counts { common } => figures::counts::run(&common),
        Command::Hold { system, transport, address, count } => {
            child::hold(&system, transport, &address, count)
        }
        Command::Drive { system, transport, address, calls } => {
            figures::counts::drive(&system, transport, &address, calls)
        }
        Command::Serve { system, transport, work, path, counts, processor } => {
            let work = Work::parse(&work)?;
            child::serve(
                &system,
                Place { transport, work, path: &path },
                Setting { counts, processor },
            )
        }
    }
}
