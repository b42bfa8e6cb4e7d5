//! A method called by its description: JSON in, JSON out, and an exit code that says whether it ran.

use std::io::{self, Read as _, Write};

use rpc_runtime::binder::{Binder, Entry, MethodDescription};
use rpc_runtime::client::RawReply;
use rpc_runtime::interface::LearnedMethod;
use rpc_runtime::shape::MethodSchema;
use rpc_runtime::time::Duration;
use rpc_runtime::{
    Balance, CallError, Channel, ErrorKind, ErrorRecord, Execution, Exit, Interface, Options,
    Semantics,
};
use serde::Serialize;

use crate::cli::Call;
use crate::command::{DONE, NO, Outcome};
use crate::find;
use crate::json::{self, Json, Printed};

/// The method returned an error of its own.
pub(crate) const OWN_ERROR: u8 = 3;
/// The arguments are none of the method's.
const WRONG_ARGUMENTS: u8 = 2;

/// How long the binder is asked at most.
const BINDER_PATIENCE: Duration = Duration::from_secs(2);

/// How it ended.
enum End {
    Returned(Printed),
    OwnError(Printed),
    Failed(Box<ErrorRecord>, Exit),
    NotCalled(Exit),
}

/// Calls, prints, and gives the exit code.
pub(crate) fn run(
    call: &Call,
    json: bool,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<u8> {
    let end = end(call).unwrap_or_else(End::NotCalled);
    let (text, code) = if json { object(&end) } else { plain(&end) };
    if !text.is_empty() {
        writeln!(out, "{text}")?;
        out.flush()?;
    }
    if let (false, End::Failed(_, exit) | End::NotCalled(exit)) = (json, &end) {
        writeln!(complaints, "rpc-binder: {}", exit.text())?;
    }
    Ok(code)
}

fn plain(end: &End) -> (String, u8) {
    let whole = |word: &str, Printed { value, in_outs }: &Printed| match in_outs {
        None => value.clone(),
        Some(in_outs) => format!("{{\"{word}\":{value},\"inout\":{in_outs}}}"),
    };
    match end {
        End::Returned(printed) => (whole("returned", printed), DONE),
        End::OwnError(printed) => (whole("error", printed), OWN_ERROR),
        End::Failed(_, exit) | End::NotCalled(exit) => (String::new(), exit.code()),
    }
}

/// `{"ok":…}`, or `{"error":…}` with one of `app` (the method's own), `call` and `not_called`.
fn object(end: &End) -> (String, u8) {
    let in_outs = |printed: &Printed| {
        let in_outs = printed.in_outs.as_ref();
        in_outs.map_or(String::new(), |in_outs| format!(",\"inout\":{in_outs}"))
    };
    match end {
        End::Returned(printed) => {
            (format!("{{\"ok\":{}{}}}", printed.value, in_outs(printed)), DONE)
        }
        End::OwnError(printed) => {
            let value = &printed.value;
            (format!("{{\"error\":{{\"app\":{value}}}{}}}", in_outs(printed)), OWN_ERROR)
        }
        End::Failed(record, exit) => (error(&Failure::Call(record)), exit.code()),
        End::NotCalled(exit) => (error(&Failure::NotCalled(exit.text())), exit.code()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Failure<'e> {
    Call(&'e ErrorRecord),
    NotCalled(&'e str),
}

fn error(failure: &Failure<'_>) -> String {
    let text = serde_json::to_string(failure).expect("an error becomes JSON");
    format!("{{\"error\":{text}}}")
}

fn end(call: &Call) -> Outcome<End> {
    // What is wrong with the arguments whatever the method is, is found before anybody is asked.
    let arguments = given(&call.arguments)?;
    let found = Binder::at(&call.binder)
        // One call needs no news of those who come and go.
        .map(|binder| binder.patience(call.timeout.min(BINDER_PATIENCE)).balance(Balance::Sticky))
        .map_err(Exit::from)
        .and_then(|binder| Found::by(binder, call));
    let found = found?;
    let bytes = json::arguments(&found.form, &found.method.parameters, &arguments)
        .map_err(|flaw| wrong(call, &flaw.to_string()))?;
    Ok(match found.call(call, &bytes) {
        Ok(end) => end,
        Err(error) => End::Failed(Box::new(error.record()), found.failure(error)),
    })
}

fn given(arguments: &str) -> Outcome<Json> {
    let usage = |text: String| Exit::failure(WRONG_ARGUMENTS, text);
    if arguments != "-" {
        return Json::parse(arguments).map_err(usage);
    }
    let mut text = String::new();
    let limit = json::TEXT_BYTES_MAX as u64 + 1; // one more tells that it is too long
    io::stdin().lock().take(limit).read_to_string(&mut text)?;
    Json::parse(&text).map_err(usage)
}

fn wrong(call: &Call, text: &str) -> Exit {
    let target = &call.target;
    Exit::failure(WRONG_ARGUMENTS, format!("{}.{}: {text}", target.service, target.method))
}

/// What is called: a method, and the server that described it.
struct Found {
    binder: Binder,
    entry: Entry,
    method: MethodDescription,
    form: MethodSchema,
}

impl Found {
    fn by(binder: Binder, call: &Call) -> Outcome<Self> {
        let entry = find::server(&binder, &call.target.service, &call.which)?;
        let methods = binder.methods(&entry)?;
        let method = find::method(&entry, &methods, &call.target.method)?.clone();
        let form = find::form(&entry.name, &method).map_err(|why| {
            let target = &call.target;
            let method = format!("{}.{}", target.service, target.method);
            Exit::failure(NO, format!("{method} cannot be called from here: {why}"))
        })?;
        Ok(Self { binder, entry, method, form })
    }

    /// Calls the server that is wanted, or any that has the very same method.
    fn call(&self, call: &Call, arguments: &[u8]) -> Result<End, CallError> {
        let interface = self.interface();
        let channel = match call.which.server {
            Some(_) => Channel::import_from(&self.binder, &self.entry)?,
            None => Channel::import_interface(&self.binder, interface, &call.which.version)?,
        };
        let channel = channel.with(Options::new().timeout(call.timeout));
        let reply = channel.call_raw(interface, 0, arguments).wait()?;
        let names = &self.method.parameters;
        let printed = |schema, bytes: &[u8]| {
            let printed = json::printed(&self.form, names, schema, bytes);
            printed.map_err(|why| {
                let error = CallError::new(ErrorKind::ReplyUndecodable, Execution::Executed);
                error.because(why).with_method(self.full_name())
            })
        };
        Ok(match (&self.form.output, reply) {
            (None, _) => End::Returned(Printed { value: "null".into(), in_outs: None }),
            (Some(output), RawReply::Returned(bytes)) => {
                End::Returned(printed(&output.value, &bytes)?)
            }
            (Some(output), RawReply::Failed(bytes)) => {
                End::OwnError(printed(&output.error, &bytes)?)
            }
        })
    }

    fn interface(&self) -> &'static Interface {
        let version = (self.entry.version.major, self.entry.version.minor);
        let method = LearnedMethod {
            name: &self.method.name,
            signature: &self.method.signature,
            form: &self.method.form,
            semantics: self.method.semantics,
            fingerprint: self.method.fingerprint,
            is_exterminated: self.method.is_exterminated,
        };
        Interface::learned(&self.entry.name, version, &[method])
    }

    fn full_name(&self) -> String {
        format!("{}.{}", self.entry.name, self.method.name)
    }

    /// What there is to say of a call that failed.
    fn failure(&self, error: CallError) -> Exit {
        let is_lost = error.execution() == Execution::Unknown;
        let exit = Exit::from(error);
        if !is_lost || self.method.semantics != Semantics::ExactlyOnce {
            return exit;
        }
        let text = "; this command keeps no journal, so nobody resolves the call later";
        Exit::failure(exit.code(), format!("{}{text}", exit.text()))
    }
}
