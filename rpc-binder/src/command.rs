//! What each subcommand does: asks or serves, prints, and says how it went.
//!
//! Results go to `out`, complaints to `complaints`; the exit code is 0 for done, 1 for "no", and for a
//! call that failed what `rpc_runtime` says of it.

use std::io::{self, Write};

use rpc_runtime::Exit;
use rpc_runtime::binder::{Binder, Entry, VersionRequirement};

use crate::cli::{Ask, Cli, Command};
use crate::{daemon, render};

/// Done.
pub const DONE: u8 = 0;
/// Not found, refused, or not written.
pub const NO: u8 = 1;

/// Does what the command line says.
///
/// # Errors
///
/// Neither the result nor the complaint could be written.
pub fn run(cli: &Cli, out: &mut dyn Write, complaints: &mut dyn Write) -> io::Result<u8> {
    let done = match &cli.command {
        Command::Serve { listen, lease } => {
            daemon::serve(listen, *lease, out, |url| render::listening(url, *lease, cli.json))
                .map_err(Exit::from)
        }
        Command::List { ask } => list(ask).and_then(|entries| print(cli, &entries, out)),
        Command::Lookup { name, version, ask } => {
            lookup(ask, name, version).and_then(|entries| print(cli, &entries, out))
        }
    };
    match done {
        Ok(()) => Ok(DONE),
        Err(exit) => {
            writeln!(complaints, "rpc-binder: {}", exit.text())?;
            Ok(exit.code())
        }
    }
}

type Outcome<T> = Result<T, Exit>;

fn list(ask: &Ask) -> Outcome<Vec<Entry>> {
    Ok(binder(ask)?.list()?)
}

fn lookup(ask: &Ask, name: &str, version: &VersionRequirement) -> Outcome<Vec<Entry>> {
    let entries = binder(ask)?.lookup(name, version)?;
    if entries.is_empty() {
        let asked = ask.binder.split_once("://").map_or(ask.binder.as_str(), |(_, place)| place);
        let text = format!("{} (asked {asked})", render::nobody(name, version));
        return Err(Exit::failure(NO, text));
    }
    Ok(entries)
}

fn binder(ask: &Ask) -> Outcome<Binder> {
    Ok(Binder::at(&ask.binder)?.patience(ask.timeout))
}

fn print(cli: &Cli, entries: &[Entry], out: &mut dyn Write) -> Outcome<()> {
    let text = if cli.json { render::json(entries) } else { render::table(entries) };
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}
