//! Who is killed in a storm: the binder; or, one at a time, etcd's nodes and the binders before them.

#![expect(clippy::disallowed_methods, reason = "the moments of killing are real time")]

use std::error::Error;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use rpc_tests::etcd::Cluster;
use rpc_tests::processes::{self, Moments};

use crate::Storm;

/// Binders before etcd.
const BINDERS: usize = 3;

/// All that may be killed.
pub(crate) struct Victims {
    etcd: Option<Cluster>,
    binders: Vec<Binder>,
    /// What the binders are told to keep theirs in.
    store: String,
    is_paced: bool,
}

struct Binder {
    url: String,
    child: Child,
}

impl Victims {
    /// Starts them, with their files in `folder`.
    pub(crate) fn start(storm: &Storm, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let etcd = match storm.store {
            crate::StoreKind::Embedded => None,
            crate::StoreKind::Etcd => Some(Cluster::start(folder, storm.nodes)?),
        };
        let embedded = folder.join("store");
        let embedded = embedded.to_str().ok_or("the folder's name is no text")?;
        let store = etcd.as_ref().map_or_else(|| embedded.to_owned(), |etcd| etcd.url("storm"));
        let count = if etcd.is_some() { BINDERS } else { 1 };
        let is_paced = etcd.is_some();
        let mut binders = Vec::new();
        for port in (7_010..).take(count) {
            let url = processes::lasting_place(port);
            let child = start(&url, &store)?;
            binders.push(Binder { url, child });
        }
        Ok(Self { etcd, binders, store, is_paced })
    }

    /// Where the binders are.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.binders.iter().map(|binder| binder.url.clone()).collect()
    }

    /// Lets all live for a moment, kills one, and starts it again.
    pub(crate) fn strike(&mut self, moments: &mut Moments) -> Result<(), Box<dyn Error>> {
        // Now and then they live long enough for leases to end.
        let life = if moments.below(10) == 0 { 1_500 } else { 5 + moments.below(150) };
        thread::sleep(Duration::from_millis(life));
        let nodes = self.etcd.as_ref().map_or(0, Cluster::nodes);
        let all = u64::try_from(nodes + self.binders.len())?;
        let victim = usize::try_from(moments.below(all))?;
        // So that others go on without it, and not only wait for it.
        let death = if self.is_paced { moments.below(2_000) } else { 0 };
        match &mut self.etcd {
            Some(etcd) if victim < nodes => {
                etcd.kill(victim)?;
                thread::sleep(Duration::from_millis(death));
                etcd.revive(victim)
            }
            Some(_) | None => {
                let binder = &mut self.binders[victim - nodes];
                binder.child.kill()?;
                binder.child.wait()?;
                thread::sleep(Duration::from_millis(death));
                binder.child = start(&binder.url, &self.store)?;
                Ok(())
            }
        }
    }
}

impl Drop for Victims {
    fn drop(&mut self) {
        for binder in &mut self.binders {
            let _gone = binder.child.kill().and_then(|()| binder.child.wait());
        }
    }
}

fn start(url: &str, store: &str) -> Result<Child, Box<dyn Error>> {
    processes::start_server(&["binder", "--listen", url, "--store", store])
}
