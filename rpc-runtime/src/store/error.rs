//! What can go wrong with a store, sorted by what to do about it.
//!
//! Does not know any store: each translates its own errors into these.

use std::fmt;

/// Why a store failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    kind: StoreErrorKind,
    detail: String,
    is_doubtful: bool,
}

/// What to do about a failure of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// It could not be opened or reached.
    CannotOpen,
    /// Its rows are in a format of another version.
    OtherVersion,
    /// Another process has it open.
    InUse,
    /// It has no room left.
    DiskFull,
    /// The connection to it broke.
    Lost,
    /// Another transaction was in the way, again and again.
    Conflict,
    /// A later life of this server has taken it.
    Fenced,
    /// More transactions wait than the queue holds.
    Busy,
    /// A row is not what was written.
    Corrupt,
    /// None of these.
    Other,
}

impl StoreError {
    /// A failure of that kind, in the store's own words.
    #[must_use]
    pub fn new(kind: StoreErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), is_doubtful: false }
    }

    /// This failure, met while committing: the transaction may be in the store all the same.
    #[must_use]
    pub fn doubtful(self) -> Self {
        Self { is_doubtful: true, ..self }
    }

    /// What to do about it.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The store's own words.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether the transaction may have been committed all the same. Look at the rows to know.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }
}

impl StoreErrorKind {
    /// What happened, and what to do.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::CannotOpen => (
                "the store cannot be opened",
                "check that its place exists and that this process may write there",
            ),
            Self::OtherVersion => (
                "the store is of another version",
                "start the release that wrote it, or give this one an empty store",
            ),
            Self::InUse => (
                "another process has the store open",
                "stop that one first, or give this one a store of its own",
            ),
            Self::DiskFull => {
                ("the store has no room left", "make room; it goes on by itself then")
            }
            Self::Lost => (
                "the connection to the store broke",
                "see that the database runs; the next transaction connects again",
            ),
            Self::Conflict => {
                ("other transactions were in the way every time", "try again, with fewer at a time")
            }
            Self::Fenced => (
                "a later life of this server has taken the store",
                "end this process: that one serves now",
            ),
            Self::Busy => ("too many transactions wait for the store", "try again later"),
            Self::Corrupt => {
                ("the store holds a damaged row", "restore a backup, and find out what damaged it")
            }
            Self::Other => ("the store failed", "see the database's own log"),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, advice) = self.kind.words();
        f.write_str(what)?;
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        if self.is_doubtful {
            f.write_str("; it may have committed")?;
        }
        write!(f, ": {advice}")
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_happened_how_sure_that_is_and_what_to_do() {
        let error = StoreError::new(StoreErrorKind::InUse, "/var/lib/bank");
        assert_eq!(
            error.to_string(),
            "another process has the store open (/var/lib/bank): \
             stop that one first, or give this one a store of its own"
        );
        let error = StoreError::new(StoreErrorKind::Lost, "").doubtful();
        assert_eq!(
            error.to_string(),
            "the connection to the store broke; it may have committed: \
             see that the database runs; the next transaction connects again"
        );
    }
}
