//! The lab: call semantics compared under injected faults, simulated and on real sockets.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod acks;
mod allocations;
mod echo;
mod experiment;
mod orphans;
mod path;
mod printer;
mod render;
mod retries;
mod simulated;
mod sockets;
mod speed;
mod threaded;
mod vault;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use rpc_runtime::fault::Faults;

use experiment::{Experiment, Row, SEMANTICS, World};
use speed::Speed;

/// Compare what calls promise with what happens, under faults of your choice.
#[derive(Parser, Debug)]
#[command(name = "lab", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    compare: Compare,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Every call semantics under every mix of faults (the default).
    Compare(Compare),
    /// How many calls a second the simulator makes.
    Speed(Measure),
    /// The textbook's printer: who asks again after a crash, and what is on paper then.
    Printer(Show),
    /// The four strategies against orphans, on the same work.
    Orphans(Show),
    /// A retry storm over three layers with the last one dead.
    Retries(Show),
    /// Stop-and-wait against blast over message size, loss and delay.
    Acks(Parcels),
    /// The steps of one call, with the time and share of each.
    Path(Steps),
}

/// Which calls to take apart.
#[derive(Args, Debug)]
struct Steps {
    /// How bytes travel.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["udp", "tcp", "unix"])]
    transport: Vec<path::Transport>,
    /// Calls that are sampled, with marks and without.
    #[arg(long, default_value_t = 20_000, value_parser = value_parser!(u64).range(1..))]
    calls: u64,
    /// Payload of a call.
    #[arg(long, default_value_t = 16, value_parser = value_parser!(u64).range(..=1_000))]
    bytes: u64,
    /// Where the client's thread and the server's run.
    #[arg(long, value_enum, default_value = "two")]
    pin: path::Pin,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Makes the calls and nothing else: for whoever counts.
    #[arg(long, hide = true)]
    only_call: bool,
}

/// What to send over which networks.
#[derive(Args, Debug)]
struct Parcels {
    /// Where: simulated, on loopback UDP sockets, or both.
    #[arg(long, value_enum, default_value = "all")]
    world: ParcelsWorld,
    /// Bytes of a message.
    #[arg(long, value_delimiter = ',', default_values_t = [4_096, 16_384, 65_536, 262_144, 1_048_576],
        value_parser = value_parser!(u64).range(1..=15 << 20))]
    bytes: Vec<u64>,
    /// Shares of datagrams that are lost, each way.
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 0.01, 0.05], value_parser = loss)]
    loss: Vec<f64>,
    /// What a datagram takes one way, in milliseconds.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 10],
        value_parser = value_parser!(u64).range(..=1_000))]
    delay_ms: Vec<u64>,
    /// Seed of the losses.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// A share that leaves something to arrive.
fn loss(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=0.5).contains(&share) => Ok(share),
        _ => Err("a loss is a number from 0 to 0.5".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ParcelsWorld {
    /// The simulator.
    Sim,
    /// Loopback UDP sockets.
    Udp,
    /// One after the other.
    All,
}

/// What to show.
#[derive(Args, Debug)]
struct Show {
    /// Seed of the simulated world.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What to compare.
#[derive(Args, Debug)]
struct Compare {
    /// Where: simulated, on real UDP sockets, or everywhere.
    #[arg(long, value_enum, default_value = "all")]
    world: WorldChoice,
    /// Calls in each row.
    #[arg(long, default_value_t = 2_000, value_parser = value_parser!(u64).range(1..))]
    calls: u64,
    /// Seed of the faults.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// One mix of faults instead of the usual ones: `none`, or such as
    /// `drop=0.2,duplicate=0.2,reorder=0.3,corrupt=0.01,delay=1ms..5ms`.
    #[arg(long)]
    faults: Option<Faults>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What to measure.
#[derive(Args, Debug)]
struct Measure {
    /// Calls for each figure.
    #[arg(long, value_parser = value_parser!(u64).range(1..))]
    calls: Option<u64>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WorldChoice {
    /// The simulator without threads: the protocol's own machines.
    Sim,
    /// The simulator with a binder, servers and clients in blocking code.
    SimThreads,
    /// The same binder, servers and clients on real UDP sockets.
    Udp,
    /// One after the other.
    #[value(alias = "both")]
    All,
}

/// The usual mixes of faults.
const MIXES: [&str; 4] = [
    "none",
    "drop=0.1",
    "duplicate=0.2,reorder=0.3",
    "drop=0.2,duplicate=0.2,reorder=0.3,corrupt=0.01",
];

/// Calls that make a figure of speed without threads, and with them.
const SPEED_CALLS: (u64, u64) = (200_000, 20_000);
/// The same at the end of a comparison, where nobody asked to wait.
const SPEED_CALLS_SHORT: (u64, u64) = (50_000, 5_000);

fn main() -> ExitCode {
    let Cli { command, compare } = Cli::parse();
    let done = match command.unwrap_or(Command::Compare(compare)) {
        Command::Compare(compare) => run(&compare),
        Command::Speed(measure) => run_speed(&measure),
        Command::Printer(show) => run_printer(&show),
        Command::Orphans(show) => run_orphans(&show),
        Command::Retries(show) => run_retries(&show),
        Command::Acks(parcels) => run_acks(&parcels),
        Command::Path(steps) => run_path(&steps),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all rows; true if every promise was kept.
fn run(compare: &Compare) -> Result<bool, Box<dyn Error>> {
    let experiments = experiments(compare)?;
    let bar = ProgressBar::new(experiments.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}")?);
    let mut rows = Vec::new();
    for experiment in &experiments {
        bar.set_message(format!("{} {}", experiment.world.word(), experiment.semantics));
        let row = match experiment.world {
            World::Sim => simulated::run(experiment),
            World::SimThreads => threaded::run(experiment)?,
            World::Udp => sockets::run(experiment)?,
        };
        if compare.json {
            println!("{}", serde_json::to_string(&row)?);
        }
        rows.push(row);
        bar.inc(1);
    }
    bar.finish_and_clear();
    for complaint in rows.iter().filter_map(Row::complaint) {
        eprintln!("lab: {complaint}");
    }
    let mut is_clean = rows.iter().all(Row::is_clean);
    if !compare.json {
        println!("{}", render::tables(&rows));
        println!("{}", render::summary(&rows));
        for speed in speed::measure(SPEED_CALLS_SHORT.0, SPEED_CALLS_SHORT.1)? {
            println!("{}", speed.line());
            is_clean &= speed.is_clean;
        }
    }
    Ok(is_clean)
}

/// Prints both figures; true if every call returned.
fn run_speed(measure: &Measure) -> Result<bool, Box<dyn Error>> {
    let (nodes, threads) = measure.calls.map_or(SPEED_CALLS, |calls| (calls, calls));
    let speeds = speed::measure(nodes, threads)?;
    for speed in &speeds {
        let line = if measure.json { serde_json::to_string(speed)? } else { speed.line() };
        println!("{line}");
    }
    Ok(speeds.iter().all(|speed: &Speed| speed.is_clean))
}

/// Prints the printer's table; true if every cell is the textbook's.
fn run_printer(show: &Show) -> Result<bool, Box<dyn Error>> {
    let rows = printer::rows(show.seed)?;
    if show.json {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        println!("{}", printer::table(&rows));
    }
    for complaint in rows.iter().filter_map(printer::Row::complaint) {
        eprintln!("lab: not what the textbook says: {complaint}");
    }
    Ok(rows.iter().all(|row| row.complaint().is_none()))
}

/// Prints what each strategy does about orphans; true if each is as it is known to be.
fn run_orphans(show: &Show) -> Result<bool, Box<dyn Error>> {
    let rows = orphans::rows(show.seed)?;
    if show.json {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        println!("{}", orphans::table(&rows));
    }
    let complaints = orphans::complaints(&rows);
    for complaint in &complaints {
        eprintln!("lab: not what the strategy is known for: {complaint}");
    }
    Ok(complaints.is_empty())
}

/// Prints what retries add; true if the budget held.
fn run_retries(show: &Show) -> Result<bool, Box<dyn Error>> {
    let rows = retries::rows(show.seed)?;
    if show.json {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        println!("{}", retries::table(&rows));
    }
    Ok(rows.iter().all(retries::Row::is_kept))
}

/// Prints how fast messages travel by either acknowledgement protocol; true if all came across.
fn run_acks(parcels: &Parcels) -> Result<bool, Box<dyn Error>> {
    let cells = acks::Grid {
        worlds: match parcels.world {
            ParcelsWorld::Sim => vec![World::Sim],
            ParcelsWorld::Udp => vec![World::Udp],
            ParcelsWorld::All => vec![World::Sim, World::Udp],
        },
        sizes: parcels
            .bytes
            .iter()
            .map(|&bytes| usize::try_from(bytes))
            .collect::<Result<_, _>>()?,
        losses: parcels.loss.clone(),
        delays: parcels.delay_ms.iter().map(|&ms| Duration::from_millis(ms)).collect(),
        seed: parcels.seed,
    }
    .cells();
    let bar = ProgressBar::new(cells.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}")?);
    let rows = acks::rows(&cells, |cell| {
        bar.set_message(cell.caption());
        bar.inc(1);
    });
    let rows = rows.map_err(|error| error.to_string())?;
    bar.finish_and_clear();
    if parcels.json {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        println!("{}", acks::table(&rows));
    }
    Ok(true)
}

/// Prints the steps of a call, and where they do not add up to the whole: that is the machine's doing.
fn run_path(steps: &Steps) -> Result<bool, Box<dyn Error>> {
    let bytes = usize::try_from(steps.bytes)?;
    let mut paths = Vec::new();
    for &transport in &steps.transport {
        if steps.only_call {
            path::only_call(transport, steps.calls, bytes, steps.pin)?;
            continue;
        }
        let path = path::measure(transport, steps.calls, bytes, steps.pin)?;
        if steps.json {
            for step in &path.steps {
                println!("{}", serde_json::to_string(step)?);
            }
            println!("{}", serde_json::to_string(&path.sum)?);
            println!("{}", serde_json::to_string(&path.counts)?);
        }
        paths.push(path);
    }
    if !steps.json && !steps.only_call {
        println!("{}", path::table(&paths));
    }
    for path in paths.iter().filter(|path| !path.sum.is_whole()) {
        let (word, difference) = (path.sum.transport.word(), path.sum.difference * 100.0);
        eprintln!(
            "lab: over {word} the parts differ from the whole by {difference:.1} %: the machine was \
             at something else, too"
        );
    }
    Ok(true)
}

fn experiments(compare: &Compare) -> Result<Vec<Experiment>, Box<dyn Error>> {
    let worlds: &[World] = match compare.world {
        WorldChoice::Sim => &[World::Sim],
        WorldChoice::SimThreads => &[World::SimThreads],
        WorldChoice::Udp => &[World::Udp],
        WorldChoice::All => &[World::Sim, World::SimThreads, World::Udp],
    };
    let mixes = match compare.faults {
        Some(faults) => vec![faults],
        None => MIXES.iter().map(|mix| mix.parse()).collect::<Result<_, _>>()?,
    };
    let mut experiments = Vec::new();
    for faults in mixes {
        for &world in worlds {
            for semantics in SEMANTICS {
                let (calls, seed) = (compare.calls, compare.seed);
                experiments.push(Experiment { world, semantics, faults, calls, seed });
            }
        }
    }
    Ok(experiments)
}
