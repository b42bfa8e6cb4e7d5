//! A binder with its page and a small shop: services in processes of their own that call each other by
//! way of it, for whoever looks at the page, the browser's test among them.
//!
//! ```text
//!   customers ──► shop ──► bank ──► ledger
//!                  └─────► stock ──┘
//! ```

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand};
use rpc_binder::cli::Cli;
use rpc_binder::command;
use rpc_runtime::{Binder, CallError, Server, service};

/// Calls that the customers make at a time.
const CUSTOMERS: u32 = 3;

/// Takes orders.
#[service(name = "shop", version = "2.1")]
pub trait Shop {
    /// Sells one thing.
    fn order(&self, number: u64) -> Result<u64, CallError>;
}

/// Holds money.
#[service(name = "bank", version = "1.2")]
pub trait Bank {
    /// Takes some of it.
    fn pay(&self, number: u64) -> rpc_runtime::Result<u64, String>;
}

/// Holds things.
#[service(name = "stock", version = "1.0")]
pub trait Stock {
    /// Takes one of them.
    fn take(&self, number: u64) -> Result<u64, CallError>;
}

/// Remembers all of it.
#[service(name = "ledger", version = "3.0")]
pub trait Ledger {
    /// Adds a line.
    fn enter(&self, number: u64) -> Result<u64, CallError>;
}

struct MyShop {
    bank: BankClient,
    stock: StockClient,
}

impl Shop for MyShop {
    fn order(&self, number: u64) -> Result<u64, CallError> {
        work(400);
        let _sold_out = self.stock.take(number);
        let _no_money = self.bank.pay(number);
        Ok(number)
    }
}

struct MyBank(LedgerClient);

impl Bank for MyBank {
    fn pay(&self, number: u64) -> rpc_runtime::Result<u64, String> {
        work(900);
        if number.is_multiple_of(97) {
            return Err(rpc_runtime::Error::App("no money".into()));
        }
        Ok(self.0.enter(number)?)
    }
}

struct MyStock(LedgerClient);

impl Stock for MyStock {
    fn take(&self, number: u64) -> Result<u64, CallError> {
        work(if number.is_multiple_of(50) { 9_000 } else { 300 });
        if number.is_multiple_of(5) {
            self.0.enter(number)?;
        }
        Ok(number)
    }
}

struct MyLedger;

impl Ledger for MyLedger {
    fn enter(&self, number: u64) -> Result<u64, CallError> {
        work(150);
        Ok(number)
    }
}

/// Takes that long, in µs.
#[expect(clippy::disallowed_methods, reason = "what handlers do here is wait")]
fn work(micros: u64) {
    thread::sleep(Duration::from_micros(micros));
}

/// What a process of the shop does.
#[derive(Subcommand, Debug)]
pub enum Part {
    /// The binder.
    #[command(hide = true)]
    Binder {
        /// What `rpc-binder serve` is told.
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        words: Vec<String>,
    },
    /// A server.
    #[command(hide = true)]
    Server(Place),
    /// Those who order.
    #[command(hide = true)]
    Customers {
        /// The binder.
        binder: String,
    },
}

/// Which server, and how it describes itself.
#[derive(Args, Debug)]
pub struct Place {
    /// The binder.
    binder: String,
    /// The service.
    service: String,
    #[arg(long, default_value = "")]
    zone: String,
    #[arg(long, default_value_t = 100)]
    weight: u32,
    #[arg(long, value_parser = label)]
    label: Vec<(String, String)>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Plays a part, until standard input ends or somebody ends the process.
///
/// # Errors
///
/// The part cannot be played.
pub fn play(part: &Part) -> Result<(), Box<dyn Error>> {
    match part {
        Part::Binder { words } => {
            use clap::Parser as _;
            let words = ["rpc-binder", "serve"].into_iter().chain(words.iter().map(String::as_str));
            let cli = Cli::parse_from(words);
            let code = command::run(&cli, &mut std::io::stdout(), &mut std::io::stderr())?;
            if code == command::DONE { Ok(()) } else { Err("no binder".into()) }
        }
        Part::Server(place) => serve(place),
        Part::Customers { binder } => order(binder),
    }
}

fn serve(place: &Place) -> Result<(), Box<dyn Error>> {
    let binder = Binder::at(&place.binder)?;
    let mut server = Server::bind("udp://127.0.0.1:0")?.zone(&place.zone).weight(place.weight);
    for (key, value) in &place.label {
        server = server.label(key, value);
    }
    let server = match &*place.service {
        "shop" => {
            let (bank, stock) = (BankClient::import(&binder)?, StockClient::import(&binder)?);
            server.export(ShopService::new(MyShop { bank, stock }))
        }
        "bank" => server.export(BankService::new(MyBank(LedgerClient::import(&binder)?))),
        "stock" => server.export(StockService::new(MyStock(LedgerClient::import(&binder)?))),
        "ledger" => server.export(LedgerService::new(MyLedger)),
        other => return Err(format!("the shop has no {other}").into()),
    };
    let running = server.register(&binder).spawn()?;
    ready(&running.url())?;
    until_let_go()
}

fn order(binder: &str) -> Result<(), Box<dyn Error>> {
    let shop = ShopClient::import(&Binder::at(binder)?)?;
    ready("ordering")?;
    thread::scope(|threads| {
        for customer in 0..CUSTOMERS {
            let shop = &shop;
            threads.spawn(move || {
                for number in (u64::from(customer)..).step_by(3) {
                    let _next_time = shop.order(number);
                    work(2_000);
                }
            });
        }
        let _let_go = until_let_go();
        std::process::exit(0) // customers never end by themselves
    })
}

fn ready(word: &str) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    writeln!(out, "{word}")?;
    Ok(out.flush()?)
}

fn until_let_go() -> Result<(), Box<dyn Error>> {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// A process that plays a part; killed when this is dropped.
#[derive(Debug)]
pub struct Played {
    child: Child,
    /// What it said when it was ready.
    pub said: String,
}

impl Played {
    /// Starts `program` with a part to play, and waits until that is ready.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn start(program: &str, words: &[&str]) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(program);
        command.args(words).env_remove("RPC_BINDER_HTTP");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().ok_or("it has no standard output")?;
        let mut said = String::new();
        BufReader::new(out).read_line(&mut said)?;
        let played = Self { child, said: said.trim_end().to_owned() };
        if played.said.is_empty() {
            Err(format!("{words:?} did not start").into())
        } else {
            Ok(played)
        }
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _exit = self.child.wait();
    }
}

/// A binder with a page.
#[derive(Debug)]
pub struct Shown {
    /// The program of which each process plays a part.
    program: String,
    /// Its process.
    pub binder: Played,
    /// The binder's URL.
    pub url: String,
    /// The page's URL.
    pub page: String,
}

impl Shown {
    /// Starts one; `words` are those of `rpc-binder serve`.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start(program: &str, words: &[&str]) -> Result<Self, Box<dyn Error>> {
        let fixed = ["binder", "--json", "--store", "none"];
        let words = [&fixed[..], words].concat();
        let binder = Played::start(program, &words)?;
        let ready: serde_json::Value = serde_json::from_str(&binder.said)?;
        let word = |name: &str| ready[name].as_str().map(str::to_owned).ok_or("it has no page");
        Ok(Self {
            program: program.to_owned(),
            url: word("listening")?,
            page: word("http")?,
            binder,
        })
    }

    /// Starts a server of the shop; `words` describe it.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn server(&self, service: &str, words: &[&str]) -> Result<Played, Box<dyn Error>> {
        Played::start(&self.program, &[&["server", &self.url, service], words].concat())
    }

    /// Starts the whole shop, and customers.
    ///
    /// # Errors
    ///
    /// Part of it does not start.
    pub fn shop(&self) -> Result<Vec<Played>, Box<dyn Error>> {
        let (a, b) = (["--zone", "eu-1a"], ["--zone", "eu-1b"]);
        let mut shop = Vec::new();
        for (service, words) in [
            ("ledger", [&a[..], &["--label", "disk=nvme"]].concat()),
            ("ledger", b.to_vec()),
            ("bank", [&a[..], &["--label", "team=payments"]].concat()),
            ("bank", [&b[..], &["--weight", "200"]].concat()),
            ("stock", a.to_vec()),
            ("shop", [&a[..], &["--label", "team=front"]].concat()),
        ] {
            shop.push(self.server(service, &words)?);
        }
        shop.push(Played::start(&self.program, &["customers", &self.url])?);
        Ok(shop)
    }
}
