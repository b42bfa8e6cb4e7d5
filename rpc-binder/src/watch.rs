//! `rpc-binder watch`: who comes, leaves, drains and changes, as it happens.
//!
//! [`Seen`] finds the changes between two looks; it is pure. One service is followed by the binder's
//! `watch`, which answers when something changes; all of them by a look at the list's revision each second.

use std::collections::BTreeMap;
use std::io::{self, Write};

use rpc_runtime::Exit;
use rpc_runtime::binder::{Binder, Entry, EntryState, Place, Revision};
use rpc_runtime::time::Duration;
use serde::Serialize;

use crate::cli;
use crate::command::{DONE, Outcome};
use crate::interrupt::{News, Teller};
use crate::render::{self, clean};

/// How often all services are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long the binder may be silent while nothing changes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two answers: where many change, their news come together.
const BETWEEN_NEWS: Duration = Duration::from_millis(50);
/// Pause before a binder that does not answer is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// It was there at first.
    There,
    Came,
    Left,
    Draining,
    /// Its life, its addresses, its interface or what it says of itself.
    Changed,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Came => "came",
            Self::Left => "left",
            Self::Draining => "draining",
            Self::Changed => "changed",
        }
    }
}

/// What was seen last.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    by_place: BTreeMap<Place, Entry>,
    has_looked: bool,
}

impl Seen {
    /// What has become of whom since the last look.
    pub(crate) fn look(&mut self, entries: Vec<Entry>) -> Vec<(Kind, Entry)> {
        let listed = entries.into_iter().filter(|entry| entry.state != EntryState::Expired);
        let now: BTreeMap<_, _> = listed.map(|entry| (entry.place(), entry)).collect();
        let before = std::mem::replace(&mut self.by_place, now);
        let is_first = !std::mem::replace(&mut self.has_looked, true);
        let left = before.iter().filter(|(place, _)| !self.by_place.contains_key(place));
        let mut changes: Vec<_> = left.map(|(_, entry)| (Kind::Left, entry.clone())).collect();
        for (place, entry) in &self.by_place {
            let kind = match before.get(place) {
                None if is_first => Some(Kind::There),
                None => Some(Kind::Came),
                Some(old) => change(old, entry),
            };
            changes.extend(kind.map(|kind| (kind, entry.clone())));
        }
        changes
    }
}

fn change(old: &Entry, new: &Entry) -> Option<Kind> {
    let is_other = old.incarnation != new.incarnation
        || old.addresses != new.addresses
        || old.fingerprint != new.fingerprint
        || old.traits != new.traits;
    let is_draining = old.state != new.state && new.state == EntryState::Draining;
    match (is_draining, is_other || old.state != new.state) {
        (true, _) => Some(Kind::Draining),
        (false, true) => Some(Kind::Changed),
        (false, false) => None,
    }
}

/// What the thread that looks tells.
enum Told {
    Look(Revision, Vec<Entry>),
    /// The binder does not answer, and why.
    Away(String),
    Back,
}

/// Prints until there is nothing more to wait for.
pub(crate) fn run(
    asked: &cli::Watch,
    json: bool,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<u8> {
    match follow(asked, json, out, complaints) {
        Ok(()) => Ok(DONE),
        Err(exit) => {
            writeln!(complaints, "rpc-binder: {}", exit.text())?;
            Ok(exit.code())
        }
    }
}

fn follow(
    asked: &cli::Watch,
    json: bool,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> Outcome<()> {
    let looking = Looking {
        binder: Binder::at(&asked.ask.binder)?.patience(asked.ask.timeout),
        name: asked.name.clone(),
        known: Revision::NONE,
    };
    let news = News::of(asked.time, |teller| looking.run(teller))?;
    let mut seen = Seen::default();
    let mut left = asked.changes.unwrap_or(u64::MAX);
    while left > 0 {
        match news.next() {
            None => break,
            Some(Told::Away(why)) => writeln!(complaints, "rpc-binder: the binder is away: {why}")?,
            Some(Told::Back) => writeln!(complaints, "rpc-binder: the binder is back")?,
            Some(Told::Look(revision, entries)) => {
                let is_first = !seen.has_looked;
                let changes = seen.look(entries);
                if is_first && !json {
                    out.write_all(head(asked, changes.len()).as_bytes())?;
                }
                for (kind, entry) in changes {
                    out.write_all(line(json, revision, kind, &entry).as_bytes())?;
                    if kind != Kind::There {
                        left -= 1;
                    }
                    if left == 0 {
                        break;
                    }
                }
                out.flush()?;
            }
        }
    }
    Ok(())
}

fn head(asked: &cli::Watch, count: usize) -> String {
    let what = asked.name.as_ref().map_or("all services".to_owned(), |name| format!("{name:?}"));
    let plural = if count == 1 { "" } else { "s" };
    let binder = render::asked(&asked.ask.binder);
    format!("watching {what} ({binder}): {count} registration{plural}\n")
}

/// One change as one line.
pub(crate) fn line(json: bool, revision: Revision, kind: Kind, entry: &Entry) -> String {
    let (version, id) = (entry.version.to_string(), entry.server.to_string());
    if json {
        let addresses = &entry.addresses;
        let row =
            Row { revision: revision.0, change: kind, name: &entry.name, version, id, addresses };
        let text = serde_json::to_string(&row).expect("strings and numbers become JSON");
        return format!("{text}\n");
    }
    let name = clean(&entry.name);
    let addresses: Vec<_> = entry.addresses.iter().map(|address| clean(address)).collect();
    let (word, addresses) = (kind.word(), addresses.join(" "));
    format!("{revision}  {word:<8}  {name} {version}  {id}  {addresses}\n")
}

#[derive(Serialize)]
struct Row<'a> {
    revision: u64,
    change: Kind,
    name: &'a str,
    version: String,
    id: String,
    addresses: &'a [String],
}

/// The thread that looks.
struct Looking {
    binder: Binder,
    name: Option<String>,
    known: Revision,
}

impl Looking {
    fn run(mut self, teller: &Teller<Told>) {
        let mut is_away = false;
        loop {
            let (told, pause) = match self.look() {
                Ok(look) => {
                    if std::mem::replace(&mut is_away, false) && !teller.tell(Told::Back) {
                        return;
                    }
                    let pause = if self.name.is_some() { BETWEEN_NEWS } else { LOOK };
                    (look.map(|(revision, entries)| Told::Look(revision, entries)), pause)
                }
                Err(exit) if is_away => {
                    let _the_same_again = exit;
                    (None, PAUSE)
                }
                Err(exit) => {
                    is_away = true;
                    (Some(Told::Away(exit.text().to_owned())), PAUSE)
                }
            };
            if told.is_some_and(|told| !teller.tell(told)) {
                return;
            }
            teller.rest(pause);
        }
    }

    /// What there is, if anything may have changed.
    fn look(&mut self) -> Result<Option<(Revision, Vec<Entry>)>, Exit> {
        let binder = &self.binder;
        let revision = match &self.name {
            Some(name) => binder.wait_for_change(name, self.known, PATIENCE)?,
            None => binder.revision()?,
        };
        if revision == self.known {
            return Ok(None);
        }
        let entries = match &self.name {
            Some(name) => binder.list_of(name)?,
            None => binder.list()?,
        };
        self.known = revision;
        Ok(Some((revision, entries)))
    }
}

#[cfg(test)]
mod tests {
    use rpc_runtime::binder::{Traits, Version};
    use rpc_runtime::ids::{Incarnation, ServerId};

    use super::*;

    fn entry(server: u64, life: u32, state: EntryState) -> Entry {
        Entry {
            name: "bank".into(),
            version: Version::new(1, 2),
            server: ServerId(server),
            incarnation: Incarnation::new(life, 0),
            addresses: vec!["udp://10.0.0.7:4000".into(), "tcp://10.0.0.7:4000".into()],
            fingerprint: 7,
            traits: Traits::default(),
            lease_left_ms: 1_000,
            state,
        }
    }

    #[test]
    fn each_change_is_told_once() {
        use EntryState::{Draining, Expired, Live};

        let mut seen = Seen::default();
        let mut look = |entries: &[Entry]| {
            let changes = seen.look(entries.to_vec());
            changes.iter().map(|(kind, entry)| (*kind, entry.server.0)).collect::<Vec<_>>()
        };
        assert_eq!(look(&[entry(1, 1, Live), entry(2, 1, Expired)]), [(Kind::There, 1)]);
        let later = Entry { lease_left_ms: 9, ..entry(1, 1, Live) };
        assert_eq!(look(&[later]), [], "a renewal is no change");
        assert_eq!(look(&[entry(1, 1, Live), entry(2, 2, Live)]), [(Kind::Came, 2)]);
        assert_eq!(
            look(&[entry(1, 2, Live), entry(2, 2, Draining)]),
            [(Kind::Changed, 1), (Kind::Draining, 2)]
        );
        assert_eq!(look(&[entry(1, 2, Expired)]), [(Kind::Left, 1), (Kind::Left, 2)]);
        assert_eq!(look(&[]), []);
    }

    #[test]
    fn a_change_is_one_line() {
        let entry = entry(0x7f3a_91c0_0000_0001, 1, EntryState::Live);
        assert_eq!(
            line(false, Revision(12), Kind::Came, &entry),
            "rev 12  came      bank 1.2  7f3a91c000000001  udp://10.0.0.7:4000 tcp://10.0.0.7:4000\n"
        );
        assert_eq!(
            line(true, Revision(12), Kind::Draining, &entry),
            "{\"revision\":12,\"change\":\"draining\",\"name\":\"bank\",\"version\":\"1.2\",\
             \"id\":\"7f3a91c000000001\",\
             \"addresses\":[\"udp://10.0.0.7:4000\",\"tcp://10.0.0.7:4000\"]}\n"
        );
        let evil = Entry { addresses: vec!["udp://\u{1b}[2J\n".into()], ..entry };
        let shown = line(false, Revision(12), Kind::Left, &evil);
        assert!(shown.ends_with("udp://\\u{1b}[2J\\n\n"), "{shown}");
    }
}
