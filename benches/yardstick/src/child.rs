//! The processes beside the one that measures: the one that serves, and those that hold idle connections.
//! They are started by it, asked for what they used, and end with it.
//!
//! The output of each is the server's address on the first line, and a [`Usage`] for each line that comes
//! in. It ends when its input does. Over `mem` the server is a thread of this process instead.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, process, thread};

use crate::os::{self, Usage};
use crate::system::{Place, Result, System, Transport, Work};
use crate::{allocations, systems};

/// What the child is told beside its place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setting {
    pub(crate) counts: bool,
    /// The processor that the server stays on.
    pub(crate) processor: Option<usize>,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) address: String,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

impl Served {
    pub(crate) fn start(
        system: &'static dyn System,
        at: Place<'_>,
        setting: Setting,
    ) -> Result<Self> {
        if at.transport == Transport::Mem {
            return Self::start_thread(system, at, setting.processor);
        }
        Self::start_process(Command::new(env::current_exe()?), system, at, setting)
    }

    /// As [`Served::start`], by a `command` that runs this program, perhaps under another's eyes.
    pub(crate) fn start_process(
        mut command: Command,
        system: &'static dyn System,
        at: Place<'_>,
        setting: Setting,
    ) -> Result<Self> {
        command.args(["serve", system.name(), at.transport.name(), &at.work.word(), at.path]);
        if setting.counts {
            command.arg("--counts");
        }
        if let Some(processor) = setting.processor {
            command.arg(format!("--processor={processor}"));
        }
        Self::spawn(command)
    }

    /// A process that holds `count` idle connections to the server at `address`: descriptors of one
    /// process are not without number.
    pub(crate) fn hold(
        system: &dyn System,
        transport: Transport,
        address: &str,
        count: usize,
    ) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["hold", system.name(), transport.name(), address, &count.to_string()]);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let ask = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut address = String::new();
        answers.read_line(&mut address)?;
        let address = match address.trim().split_once(' ') {
            Some(("at", address)) => address.to_owned(),
            _ => return Err(address.trim().trim_start_matches("failed ").into()),
        };
        Ok(Self { address, process: Some(Process { child, ask, answers }) })
    }

    fn start_thread(
        system: &'static dyn System,
        at: Place<'_>,
        processor: Option<usize>,
    ) -> Result<Self> {
        let (tell, told) = mpsc::channel();
        let (transport, work, path) = (at.transport, at.work, at.path.to_owned());
        thread::spawn(move || {
            let announce = tell.clone();
            let announce = move |address: &str| drop(announce.send(Ok(address.to_owned())));
            let pinned = processor.map_or(Ok(()), os::pin);
            let at = Place { transport, work, path: &path };
            if let Err(error) = pinned.and_then(|()| system.serve(at, &announce)) {
                let _ = tell.send(Err(error));
            }
        });
        Ok(Self { address: told.recv_timeout(PATIENCE)??, process: None })
    }

    /// What the server's process has used so far; nothing if that is this process.
    pub(crate) fn usage(&mut self) -> Result<Usage> {
        let Some(process) = &mut self.process else { return Ok(Usage::default()) };
        process.ask.as_mut().ok_or("the server was stopped")?.write_all(b"usage\n")?;
        let mut line = String::new();
        process.answers.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            drop(process.ask.take());
            let _ = process.child.wait();
        }
    }
}

/// The whole of the other process.
pub(crate) fn serve(system: &str, at: Place<'_>, setting: Setting) -> Result<()> {
    os::raise_descriptors();
    if setting.counts {
        allocations::switch_on();
    }
    if let Some(processor) = setting.processor {
        os::pin(processor)?;
    }
    let system = systems::by_name(system)?;
    thread::spawn(answer);
    system.serve(at, &|address| say(&format!("at {address}"))).or_else(fail)
}

/// The whole of a process with idle connections.
pub(crate) fn hold(system: &str, transport: Transport, address: &str, count: usize) -> Result<()> {
    os::raise_descriptors();
    let first = match systems::by_name(system)?.connect(transport, Work::Many, address) {
        Ok(first) => first,
        Err(error) => return fail(error),
    };
    let mut all = Vec::with_capacity(count);
    while all.len() + 1 < count {
        match first.another() {
            Some(Ok(another)) => all.push(another),
            Some(Err(error)) => return fail(error),
            None => return fail("opens one connection only".into()),
        }
    }
    say(&format!("at {count}"));
    answer();
    Ok(())
}

/// Tells whoever started this process why nothing comes of it.
fn fail(error: Box<dyn Error + Send + Sync>) -> Result<()> {
    say(&format!("failed {}", error.to_string().replace('\n', " ")));
    Ok(())
}

/// Answers whoever started this process, and ends it with them.
fn answer() {
    for line in io::stdin().lines() {
        if line.is_err() {
            break;
        }
        say(&serde_json::to_string(&Usage::own()).expect("numbers are JSON"));
    }
    process::exit(0);
}

fn say(line: &str) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{line}");
    let _ = output.flush();
}
