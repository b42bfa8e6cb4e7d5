//! System calls of a null call, each side's, counted by strace from outside: the difference between a
//! long run and a short one, so that opening and closing cancel out.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use serde::Serialize;

use crate::child::{Served, Setting};
use crate::cli::Common;
use crate::system::{Place, Request, Result, System, Transport, Work};
use crate::systems;
use crate::table::{self, Row, number};

/// Calls of the two runs.
const CALLS: [u64; 2] = [500, 2_500];

/// How many of each system call.
type Counted = BTreeMap<String, f64>;

#[derive(Serialize)]
struct Line {
    system: &'static str,
    transport: &'static str,
    side: &'static str,
    system_calls: f64,
    each: Counted,
}

impl Row for Line {
    const HEADER: &'static [&'static str] = &["SYSTEM", "side", "system calls", "which"];

    fn cells(&self) -> Vec<String> {
        let each: Vec<_> =
            self.each.iter().map(|(name, count)| format!("{name} {count:.2}")).collect();
        let (system, side) = (self.system.to_owned(), self.side.to_owned());
        vec![system, side, number(self.system_calls, 2), each.join(", ")]
    }
}

pub(crate) fn run(common: &Common) -> Result<()> {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        return Err("strace is not installed: system calls are not counted".into());
    }
    for transport in common.transports() {
        if transport == Transport::Mem {
            continue; // one process: nobody could tell the sides apart
        }
        let mut lines = Vec::new();
        for &system in systems::ALL {
            if common.wants(system.name()) && system.speaks(transport, Work::Echo) {
                match measure(system, transport) {
                    Ok(both) => lines.extend(both),
                    Err(error) => eprintln!("{} over {transport}: skipped: {error}", system.name()),
                }
            }
        }
        let title = format!("system calls of a null call over {transport}, {} calls", CALLS[1]);
        table::show(common.json, &title, &lines);
    }
    Ok(())
}

fn measure(system: &'static dyn System, transport: Transport) -> Result<[Line; 2]> {
    let [short, long] = CALLS;
    let (before, after) = (counted(system, transport, short)?, counted(system, transport, long)?);
    let line = |side, before: &Counted, after: &Counted| {
        let a_call = |(name, count): (&String, &f64)| {
            let more = count - before.get(name).copied().unwrap_or(0.0);
            (name.clone(), more / (long - short) as f64)
        };
        let each: Counted = after.iter().map(a_call).filter(|(_, count)| *count > 0.004).collect();
        let system_calls = each.values().sum();
        Line { system: system.name(), transport: transport.name(), side, system_calls, each }
    };
    Ok([line("client", &before.0, &after.0), line("server", &before.1, &after.1)])
}

/// System calls of the client's process and of the server's in a run of `calls`.
fn counted(
    system: &'static dyn System,
    transport: Transport,
    calls: u64,
) -> Result<(Counted, Counted)> {
    let folder = tempfile::tempdir()?;
    let [path, client, server] = ["place", "client", "server"].map(|name| folder.path().join(name));
    let path = path.to_str().ok_or("a folder whose name is no text")?;
    let at = Place { transport, work: Work::Echo, path };
    let served = Served::start_process(strace(&server)?, system, at, Setting::default())?;
    let mut drive = strace(&client)?;
    drive.args(["drive", system.name(), transport.name(), &served.address, &calls.to_string()]);
    let ended = drive.stderr(Stdio::null()).status()?;
    drop(served); // its strace writes at the end
    if !ended.success() {
        return Err("the client failed".into());
    }
    Ok((parse(&fs::read_to_string(client)?), parse(&fs::read_to_string(server)?)))
}

fn strace(output: &Path) -> Result<Command> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-c", "-o"]).arg(output).arg(env::current_exe()?);
    Ok(command)
}

/// The table of `strace -c`: `% time`, `seconds`, `usecs/call`, `calls`, perhaps `errors`, `syscall`.
fn parse(summary: &str) -> Counted {
    let row = |line: &str| {
        let cells: Vec<_> = line.split_whitespace().collect();
        cells.first()?.parse::<f64>().ok()?;
        let (calls, name) = (cells.get(3)?.parse().ok()?, *cells.last()?);
        (name != "total").then(|| (name.to_owned(), calls))
    };
    summary.lines().filter_map(row).collect()
}

/// The client's process.
pub(crate) fn drive(system: &str, transport: Transport, address: &str, calls: u64) -> Result<()> {
    let mut caller = systems::by_name(system)?.connect(transport, Work::Echo, address)?;
    for _ in 0..calls {
        caller.call(Request::Null)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_strace_is_read_with_and_without_errors() {
        let summary = "% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 90.00    0.000900           9       100         2 recvfrom
 10.00    0.000100           1       101           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           4       201         2 total
";
        let expected = [("recvfrom".to_owned(), 100.0), ("sendto".to_owned(), 101.0)];
        assert_eq!(parse(summary), BTreeMap::from(expected));
    }
}
