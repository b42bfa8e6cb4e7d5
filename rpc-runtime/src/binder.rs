//! The binder as its users see it: where servers register and clients find them.
//!
//! Knows the binder's interface and both of its users: the server that registers and renews, the
//! client that imports, caches and detects what is stale. Does not know how a binder keeps its
//! registrations; that is the daemon's.
//!
//! Birrell & Nelson, "Implementing Remote Procedure Calls" (1984), section 2.2, binding: an importer
//! names an exporter's *instance*, so that a restarted one is noticed.

pub mod version;
pub mod model;
pub mod compatibility;
pub mod url;
mod cache;
pub mod key;
pub mod report;
mod service;
mod pages;
mod ways;
mod handle;
mod proving;
mod registration;
mod import;
mod watch;

pub use cache::Found;
pub use handle::Binder;
pub use key::{Key, KeyError, Proof};
pub use model::{
    BinderError, Entries, Entry, EntryState, Fit, Lease, Limit, MethodDescription, Methods, Place,
    Registration, RegistrationId, Revision, Secret, Traits,
};
pub use registration::describe;
pub use report::{Callee, Figures, Health, Report, Reported, Reports};
pub use service::{
    DIRECTORY_INTERFACE, Directory, DirectoryClient, DirectoryService, DirectoryStart,
};
pub use url::BinderUrl;
pub use version::{Version, VersionError, VersionRequirement};
