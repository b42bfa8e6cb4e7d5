//! What each subcommand does: asks or serves, prints, and says how it went.
//!
//! Results go to `out`, complaints to `complaints`; the exit code is 0 for done, 1 for "no", and for a
//! call that failed what `rpc_runtime` says of it.

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;

use rpc_runtime::Exit;
use rpc_runtime::binder::{Binder, Entry, Health, Key, VersionRequirement};
use rpc_runtime::ids::ServerId;
use rpc_runtime::time::Duration;

use clap::CommandFactory as _;

use crate::cli::{Ask, Cli, Command, KeyAct, Lasting, Shown};
use crate::{call, daemon, describe, keys, render, top, watch};

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
        Command::Serve { listen, lease, store, access, shown } => {
            let access = access.as_deref();
            let told = (*lease, store.as_ref(), access, shown);
            serve(cli, listen, told, (out, &mut *complaints))
        }
        Command::List { ask } => list(ask, cli.json).and_then(|text| write(&text, out)),
        Command::Lookup { name, version, ask } => {
            lookup(ask, name, version).and_then(|entries| print(cli, &entries, out))
        }
        Command::Describe { name, which, ask } => binder(ask)
            .and_then(|binder| describe::text(&binder, name, which, cli.json))
            .and_then(|text| write(&text, out)),
        Command::Watch(asked) => return watch::run(asked, cli.json, out, complaints),
        Command::Top(asked) => return top::run(asked, cli.json, out, complaints),
        Command::Drain { id, service, key, ask } => {
            drain(ask, (*id, service.as_deref()), key.as_deref(), cli.json)
                .and_then(|text| write(&text, out))
        }
        Command::Key { act: KeyAct::New { file } } => {
            keys::new(file, cli.json).and_then(|text| write(&text, out))
        }
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
    (lease, store, access, shown): (Duration, Option<&Lasting>, Option<&Path>, &Shown),
    said: (&mut dyn Write, &mut dyn Write),
) -> Outcome<()> {
    let by_default = || Lasting::by_default(|name| std::env::var_os(name));
    let lasting = store.cloned().map_or_else(by_default, Ok);
    let lasting = lasting.map_err(|text| Exit::from(Box::<dyn Error>::from(text)))?;
    let place = match &lasting {
        Lasting::In(folder) => Some(folder.display().to_string()),
        Lasting::Etcd(url) => Some(url.clone()),
        Lasting::Nowhere => None,
    };
    let told = daemon::Told { lease, lasting: &lasting, access, shown };
    let ready = |url: &str, lease, page: Option<&str>| {
        render::listening(url, lease, place.as_deref(), page, cli.json)
    };
    daemon::serve(listen, told, said, ready).map_err(Exit::from)
}

fn list(ask: &Ask, json: bool) -> Outcome<String> {
    let reports = binder(ask)?.reports()?;
    let rows: Vec<(Entry, Option<Health>)> = reports
        .into_iter()
        .map(|one| (one.entry, one.report.map(|report| report.health)))
        .collect();
    Ok(if json { render::json_with_health(&rows) } else { render::table_with_health(&rows) })
}

fn drain(
    ask: &Ask,
    (server, name): (ServerId, Option<&str>),
    key: Option<&Path>,
    json: bool,
) -> Outcome<String> {
    let mut binder = binder(ask)?;
    if let Some(path) = key {
        let key = Key::from_file(path).map_err(|error| Exit::failure(NO, error.to_string()))?;
        binder = binder.key(key);
    }
    let count = binder.drain(server, name)?;
    Ok(render::drains(server, name, count, json))
}

fn lookup(ask: &Ask, name: &str, version: &VersionRequirement) -> Outcome<Vec<Entry>> {
    let entries = binder(ask)?.lookup(name, version)?;
    if entries.is_empty() {
        let text = format!("{} ({})", render::nobody(name, version), render::asked(&ask.binder));
        return Err(Exit::failure(NO, text));
    }
    Ok(entries)
}

pub(crate) fn binder(ask: &Ask) -> Outcome<Binder> {
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
