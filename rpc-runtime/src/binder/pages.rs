//! What is asked of a binder to look at it as a whole: all registrations, the methods of an interface, and
//! whether anything has changed. Answers come in pages.

use super::handle::Binder;
use super::model::{BinderError, Entries, Entry, MethodDescription, Place, Revision};
use super::service::Directory as _;
use super::version::{Version, VersionRequirement};
use crate::error::{CallError, Result};
use crate::ids::ServerId;
use crate::time::Duration;

/// Most entries that are read from one listing, whatever the binder says.
const ENTRIES_MAX: usize = 16_384;
/// Most methods that are read of one interface, whatever the binder says.
const METHODS_MAX: usize = 4_096;

impl Binder {
    /// All registrations, live or not; at most 16,384 of them.
    ///
    /// # Errors
    ///
    /// The binder does not answer.
    pub fn list(&self) -> std::result::Result<Vec<Entry>, CallError> {
        self.read_list(None).map(|(_, entries)| entries)
    }

    /// All registrations under `name`, live or not, in order of version and server; at most 16,384 of them.
    ///
    /// # Errors
    ///
    /// The binder does not answer.
    pub fn list_of(&self, name: &str) -> std::result::Result<Vec<Entry>, CallError> {
        self.read_list(Some(name)).map(|(_, entries)| entries)
    }

    /// The last change of all, from which [`Binder::list`] is worth to be read again.
    ///
    /// # Errors
    ///
    /// The binder does not answer.
    pub fn revision(&self) -> std::result::Result<Revision, CallError> {
        self.ask(self.patience_max(), |directory| directory.list(None)).map(|page| page.revision)
    }

    /// Waits until something has changed under `name` since `known` ([`Revision::NONE`] if nothing is), but no
    /// longer than `patience`. Gives the last change, which is `known` if there was none.
    ///
    /// # Errors
    ///
    /// The binder does not answer, or `name` cannot name a service.
    pub fn wait_for_change(
        &self,
        name: &str,
        known: Revision,
        patience: Duration,
    ) -> Result<Revision, BinderError> {
        let patience_ms = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        let any = VersionRequirement::any();
        let page = self.ask_each(patience.saturating_add(self.patience_max()), |directory| {
            directory.start().watch(name, &any, known, patience_ms).wait()
        });
        page.map(|page| page.revision)
    }

    /// The methods of a server's interface.
    ///
    /// # Errors
    ///
    /// The binder does not answer, or nobody has that interface any more.
    pub fn methods(&self, entry: &Entry) -> Result<Vec<MethodDescription>, BinderError> {
        let until = self.world().now() + self.patience_max();
        let mut methods = Vec::new();
        loop {
            let from = u32::try_from(methods.len()).unwrap_or(u32::MAX);
            let page =
                self.ask_until(until, |directory| directory.methods(entry.fingerprint, from))?;
            let is_last = page.methods.is_empty();
            methods.extend(page.methods);
            let total = usize::try_from(page.total).unwrap_or(usize::MAX);
            if is_last || methods.len() >= total || methods.len() >= METHODS_MAX {
                return Ok(methods);
            }
        }
    }

    fn read_list(
        &self,
        name: Option<&str>,
    ) -> std::result::Result<(Revision, Vec<Entry>), CallError> {
        let until = self.world().now() + self.patience_max();
        let (version, server) = (Version::new(0, 0), ServerId(0));
        let first = name.map(|name| Place { name: name.to_owned(), version, server });
        read_pages(|after| {
            let after = after.or(first.as_ref());
            let mut page = self.ask_until(until, |directory| directory.list(after))?;
            if let Some(name) = name {
                let is_over = page.entries.iter().any(|entry| entry.name != name);
                page.entries.retain(|entry| entry.name == name);
                page.more &= !is_over;
            }
            Ok(page)
        })
    }
}

/// Reads on from page to page, as long as they go forward. Gives what the oldest of them is as of.
pub(super) fn read_pages<E>(
    mut ask: impl FnMut(Option<&Place>) -> std::result::Result<Entries, E>,
) -> std::result::Result<(Revision, Vec<Entry>), E> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut revision: Option<Revision> = None;
    loop {
        let after = entries.last().map(Entry::place);
        let page = ask(after.as_ref())?;
        let goes_forward = page.entries.last().is_some_and(|last| Some(last.place()) > after);
        entries.extend(page.entries);
        let oldest = revision.map_or(page.revision, |oldest| oldest.min(page.revision));
        revision = Some(oldest);
        if !page.more || !goes_forward || entries.len() >= ENTRIES_MAX {
            return Ok((oldest, entries));
        }
    }
}
