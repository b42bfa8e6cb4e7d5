//! The processes of the tour: a binder and three shops, each this program again.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rpc_binder::render;
use rpc_runtime::{Balance, Binder, CallError, Channel, Stub};
use tempfile::TempDir;

use crate::binder::{Asked, Counts as _, CountsClient};
use crate::shop::{first, second};

/// The versions of the three shops.
pub(crate) const VERSIONS: [&str; 3] = ["1.0", "1.1", "1.1"];

/// All of it.
#[derive(Debug)]
pub(crate) struct Town {
    folder: TempDir,
    binder: Process,
    shops: Vec<Process>,
    /// This process's handle on the binder.
    names: Binder,
}

/// A process that ends when the tour does, however that ends.
#[derive(Debug)]
struct Process {
    child: Child,
    url: String,
}

impl Process {
    /// Starts a part and waits until it serves.
    fn start(arguments: &[&str]) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(env::current_exe()?);
        let piped = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn()?;
        let stdout = child.stdout.take().ok_or("the part has no standard output")?;
        let mut started = Self { child, url: String::new() };
        BufReader::new(stdout).read_line(&mut started.url)?;
        started.url.truncate(started.url.trim_end().len());
        if started.url.is_empty() {
            return Err(format!("the {} did not start", arguments[0]).into());
        }
        Ok(started)
    }

    /// SIGKILL.
    fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that is dead already is as good.
        let _ = self.kill();
    }
}

impl Town {
    /// Starts everybody; each is registered when this returns.
    pub(crate) fn open() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let binder = start_binder(&folder, "udp://127.0.0.1:0")?;
        let mut shops = Vec::new();
        for (number, version) in (1_u32..).zip(VERSIONS) {
            let ledger = ledger(&folder, number);
            let ledger = ledger.to_str().ok_or("the folder's name is no text")?;
            let number = number.to_string();
            shops.push(Process::start(&[
                "server",
                "--binder",
                &binder.url,
                "--number",
                &number,
                "--version",
                version,
                "--ledger",
                ledger,
            ])?);
        }
        let names = Binder::at(&binder.url)?;
        Ok(Self { folder, binder, shops, names })
    }

    /// What `rpc-binder list` prints.
    pub(crate) fn listed(&self) -> Result<String, CallError> {
        Ok(render::table(&self.names.list()?))
    }

    /// A channel for a client of the first version, to all shops that do for it.
    pub(crate) fn import(
        &self,
        requirement: &str,
        balance: Balance,
    ) -> Result<Channel, Box<dyn Error>> {
        self.import_as::<first::ShopClient>(requirement, balance)
    }

    /// The same for a client of the second version.
    pub(crate) fn import_second(&self, balance: Balance) -> Result<Channel, Box<dyn Error>> {
        self.import_as::<second::ShopClient>("1", balance)
    }

    fn import_as<S: Stub>(
        &self,
        requirement: &str,
        balance: Balance,
    ) -> Result<Channel, Box<dyn Error>> {
        let binder = self.names.clone().balance(balance);
        Ok(Channel::import_version::<S>(&binder, &requirement.parse()?)?)
    }

    /// A channel to one shop at its address, without the binder.
    pub(crate) fn connect(&self, shop: u32) -> Result<Channel, CallError> {
        Channel::connect(&self.shops[place(shop)].url)
    }

    /// What the binder was asked so far, by everybody.
    pub(crate) fn asked(&self) -> Result<Asked, CallError> {
        CountsClient::connect(&self.binder.url)?.asked()
    }

    /// Kills a shop with SIGKILL.
    pub(crate) fn kill_shop(&mut self, shop: u32) -> io::Result<()> {
        self.shops[place(shop)].kill()
    }

    /// Kills the binder with SIGKILL.
    pub(crate) fn kill_binder(&mut self) -> io::Result<()> {
        self.binder.kill()
    }

    /// Starts it again, on its store; gives how many registrations it knows at once.
    pub(crate) fn restart_binder(&mut self) -> Result<usize, Box<dyn Error>> {
        let url = self.binder.url.clone();
        self.binder = start_binder(&self.folder, &url)?;
        Ok(self.names.list()?.len())
    }

    /// The orders that were sold, by all shops, dead or alive; as often as they were.
    pub(crate) fn sold(&self) -> Result<Vec<u64>, Box<dyn Error>> {
        let mut sold = Vec::new();
        for (number, _) in (1..).zip(&self.shops) {
            let text = fs::read_to_string(ledger(&self.folder, number))?;
            for line in text.lines() {
                sold.push(line.parse()?);
            }
        }
        Ok(sold)
    }
}

fn start_binder(folder: &TempDir, listen: &str) -> Result<Process, Box<dyn Error>> {
    let store = folder.path().join("binder");
    let store = store.to_str().ok_or("the folder's name is no text")?;
    Process::start(&["binder", "--listen", listen, "--store", store])
}

fn ledger(folder: &TempDir, number: u32) -> PathBuf {
    folder.path().join(format!("ledger-{number}"))
}

fn place(shop: u32) -> usize {
    usize::try_from(shop).map_or(0, |shop| shop.saturating_sub(1))
}
