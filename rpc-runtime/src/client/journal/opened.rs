//! The journals that this process has open, by their paths: channels that name one share it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::JournalError;
use super::book::Book;
use super::file::DiskFile;
use super::keeper::Keeper;
use crate::driver::World;
use crate::time::Duration;

static OPENED: Mutex<BTreeMap<PathBuf, Weak<Keeper>>> = Mutex::new(BTreeMap::new());

/// A journal that this process has just let go of may still be about to close its file: how often,
/// and after what time, it is tried again.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// The journal at `path`.
///
/// # Errors
///
/// See [`super::Journal::open`].
pub(super) fn open(path: &Path) -> Result<Arc<Keeper>, JournalError> {
    let place = place(path);
    let world = crate::reactor::world();
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tries = 0;
    let file = loop {
        let known = opened.get(&place);
        if let Some(keeper) = known.and_then(Weak::upgrade) {
            return Ok(keeper);
        }
        let was_ours = known.is_some();
        tries += 1;
        match DiskFile::open(&place) {
            Err(JournalError::InUse(_)) if was_ours && tries < TRIES => pause(&world),
            file => break file?,
        }
    };
    let keeper = Keeper::new(Book::open(Box::new(file), &mut *world.rng())?, world);
    opened.retain(|_, keeper| keeper.strong_count() > 0);
    opened.insert(place, Arc::downgrade(&keeper));
    Ok(keeper)
}

fn pause(world: &Arc<dyn World>) {
    world.gate().wait(Some(world.now() + PAUSE));
}

/// One name for a file, however its path is written. A file that is not there yet has a folder.
fn place(path: &Path) -> PathBuf {
    if let Ok(place) = path.canonicalize() {
        return place;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize();
    match (folder, path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}
