//! Streams over Unix sockets: how the two ends of one are opened, and the file that names the place.
//!
//! A socket's file outlives a process that was killed. It is removed when somebody listens at its path
//! anew, if nobody listens there any more: whoever is there accepts connections, and an abandoned file
//! refuses them. Two who start at a time take turns by a lock on the folder.
//!
//! Whoever may write to the file may connect (`unix(7)`). It is made under the process's `umask`;
//! where that is too wide, the folder is to keep others out.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket, Type};

use super::super::{cannot_listen, number_of};
use super::Way;
use super::crowd::Bounds;
use super::dialled::Dialled;
use super::listening::{Listener, Listening};
use crate::address::Address;
use crate::driver::{Link, LinkError};
use crate::reactor::clock;
use crate::time::Duration;

/// How long to wait for others that start in the same folder, who need a moment each.
const TURN_PATIENCE: Duration = Duration::from_secs(2);
const TURN_PAUSE: Duration = Duration::from_millis(2);

/// Connections that wait to be taken.
const BACKLOG: i32 = 4_096;

/// Listens at a path.
///
/// # Errors
///
/// [`LinkError::InUse`] when somebody listens there, or something else than a socket has that name;
/// [`LinkError::Unresolved`] when no socket can have it; else the system's word.
pub fn listen(path: &str) -> Result<Arc<dyn Link>, LinkError> {
    let way = way(path)?;
    let opened = bind_named(&way, path).and_then(|(socket, name)| {
        Listening::on(vec![Listener::new(socket, way.address, Some(name))], Bounds::default())
    });
    Ok(Arc::new(opened.map_err(|error| cannot_listen(path, error))?))
}

/// An endpoint from which to reach whoever listens at a path. The connection is made when something is
/// sent.
///
/// # Errors
///
/// [`LinkError::Unresolved`], or the system's word.
pub fn dial(path: &str) -> Result<(Arc<dyn Link>, Address), LinkError> {
    let way = way(path)?;
    let address = way.address;
    let dialled = Dialled::to(way).map_err(|error| {
        LinkError::System(format!("cannot open a socket to reach {path}"), error.into())
    })?;
    Ok((Arc::new(dialled), address))
}

/// The way to a path, whether or not anybody listens there.
pub(in super::super) fn way(path: &str) -> Result<Way, LinkError> {
    let unresolved = || LinkError::Unresolved(path.to_owned());
    if path.is_empty() || path.contains('\0') {
        return Err(unresolved());
    }
    let place = SockAddr::unix(path).map_err(|_| unresolved())?; // it may be too long
    let whole = std::path::absolute(path).map_err(|_| unresolved())?;
    let address = Address::Local(number_of(whole.as_os_str().as_bytes()));
    Ok(Way { address, place })
}

/// A listening socket at the path, in place of one that nobody listens at, and its file.
pub(in super::super) fn bind_named(way: &Way, path: &str) -> io::Result<(Socket, Name)> {
    let socket = bind(way, Path::new(path))?;
    Ok((socket, Name::of(path)?))
}

fn bind(way: &Way, path: &Path) -> io::Result<Socket> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let turn = File::open(folder.unwrap_or(Path::new(".")));
    if let Ok(folder) = &turn {
        take_turn(folder)?; // released when it is closed
    }
    if is_abandoned(way, path) {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&way.place)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Waits for the lock on a folder; not for ever, because whoever may open the folder may hold it.
fn take_turn(folder: &File) -> io::Result<()> {
    let until = clock::now() + TURN_PATIENCE;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if clock::now() < until => clock::pause(TURN_PAUSE),
            Err(TryLockError::WouldBlock) => {
                let text = "another process holds a lock on the folder";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
            }
        }
    }
}

/// Whether the path names a socket that refuses connections.
fn is_abandoned(way: &Way, path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refuses = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?; // somebody whose backlog is full is there all the same
        socket.connect(&way.place)
    };
    is_socket && refuses().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The file that names a listening socket; it goes with this.
#[derive(Debug)]
pub(in super::super) struct Name {
    path: PathBuf,
    inode: (u64, u64),
}

impl Name {
    fn of(path: &str) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let file = fs::symlink_metadata(&path)?;
        Ok(Self { inode: (file.dev(), file.ino()), path })
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // Somebody may have put another in its place.
        let found = fs::symlink_metadata(&self.path).map(|file| (file.dev(), file.ino()));
        if found.is_ok_and(|found| found == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
