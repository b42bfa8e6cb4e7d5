//! The binders of a storm, as those use them who speak to one at a time: when it is silent, to the next.

use std::cell::Cell;
use std::time::Duration;

use rpc_runtime::binder::{BinderError, DirectoryClient};
use rpc_runtime::{CallError, Error, Options};

/// How long a binder is asked: it may be down.
pub(crate) const PATIENCE: Duration = Duration::from_millis(800);

/// Binders before one store, or one.
pub(crate) struct Binders {
    directories: Vec<DirectoryClient>,
    at: Cell<usize>,
}

impl Binders {
    /// Those at `urls`, to begin with the `first`.
    pub(crate) fn new(urls: &[String], first: usize) -> Result<Self, CallError> {
        let options = Options::new().timeout(PATIENCE).circuit_breaker(false);
        let connect = |url: &String| Ok(DirectoryClient::connect(url)?.with(options));
        let directories = urls.iter().map(connect).collect::<Result<_, CallError>>()?;
        Ok(Self { directories, at: Cell::new(first) })
    }

    /// Asks one; another one next time, if it is silent.
    pub(crate) fn ask<T>(
        &self,
        call: impl FnOnce(&DirectoryClient) -> Result<T, Error<BinderError>>,
    ) -> Result<T, Error<BinderError>> {
        let at = self.at.get() % self.directories.len();
        let answer = call(&self.directories[at]);
        if let Err(Error::Call(_)) = answer {
            self.at.set(at + 1);
        }
        answer
    }

    /// Has another one asked from now on.
    pub(crate) fn turn(&self) {
        self.at.set(self.at.get() + 1);
    }

    pub(crate) fn are_several(&self) -> bool {
        self.directories.len() > 1
    }
}
