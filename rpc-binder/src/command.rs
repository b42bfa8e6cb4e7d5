//! What each subcommand does: asks or serves, prints, and says how it went.
//!
//! Results go to `out`, complaints to `complaints`; the exit code is 0 for done, 1 for "no", and for a
//! call that failed what `rpc_runtime` says of it.

use std::error::Error;
use std::io::{self, Write};

use rpc_runtime::Exit;
use rpc_runtime::binder::{Binder, Entry, VersionRequirement};
use rpc_runtime::time::Duration;

use clap::CommandFactory as _;

use crate::cli::{Ask, Cli, Command, Lasting};
use crate::{call, daemon, describe, render};

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
        Command::Serve { listen, lease, store } => serve(cli, listen, *lease, store.as_ref(), out),
        Command::List { ask } => list(ask).and_then(|entries| print(cli, &entries, out)),
        Command::Lookup { name, version, ask } => {
            lookup(ask, name, version).and_then(|entries| print(cli, &entries, out))
        }
        Command::Describe { name, which, ask } => binder(ask)
            .and_then(|binder| describe::text(&binder, name, which, cli.json))
            .and_then(|text| write(&text, out)),
        Command::Call(asked) => return call::run(asked, cli.json, out, complaints),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "rpc-binder", &mut script);
            out.write_all(&script).map_err(Exit::from)
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

pub(crate) type Outcome<T> = Result<T, Exit>;

fn serve(
    cli: &Cli,
    listen: &str,
    lease: Duration,
    store: Option<&Lasting>,
    out: &mut dyn Write,
) -> Outcome<()> {
    let by_default = || Lasting::by_default(|name| std::env::var_os(name));
    let lasting = store.cloned().map_or_else(by_default, Ok);
    let folder = match lasting.map_err(|text| Exit::from(Box::<dyn Error>::from(text)))? {
        Lasting::In(folder) => Some(folder),
        Lasting::Nowhere => None,
    };
    let folder = folder.as_deref();
    daemon::serve(listen, lease, folder, out, |url| render::listening(url, lease, folder, cli.json))
        .map_err(Exit::from)
}

fn list(ask: &Ask) -> Outcome<Vec<Entry>> {
    Ok(binder(ask)?.list()?)
}

fn lookup(ask: &Ask, name: &str, version: &VersionRequirement) -> Outcome<Vec<Entry>> {
    let entries = binder(ask)?.lookup(name, version)?;
    if entries.is_empty() {
        let text = format!("{} ({})", render::nobody(name, version), render::asked(&ask.binder));
        return Err(Exit::failure(NO, text));
    }
    Ok(entries)
}

fn binder(ask: &Ask) -> Outcome<Binder> {
    Ok(Binder::at(&ask.binder)?.patience(ask.timeout))
}

fn print(cli: &Cli, entries: &[Entry], out: &mut dyn Write) -> Outcome<()> {
    let text = if cli.json { render::json(entries) } else { render::table(entries) };
    write(&text, out)
}

fn write(text: &str, out: &mut dyn Write) -> Outcome<()> {
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}
