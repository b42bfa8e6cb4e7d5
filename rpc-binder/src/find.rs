//! From a service's name to one server, and from a method's name to its description; where there is
//! none, what was probably meant.

use rpc_runtime::Exit;
use rpc_runtime::binder::{Binder, Entry, EntryState, Fit, MethodDescription};
use rpc_runtime::shape::{MethodSchema, ShapeError};

use crate::cli::Which;
use crate::command::{NO, Outcome};
use crate::json::near;
use crate::render;

/// A live server of the service: the one that is wanted, else one of the highest version.
pub(crate) fn server(binder: &Binder, name: &str, which: &Which) -> Outcome<Entry> {
    let entries = binder.lookup(name, &which.version)?;
    let wanted = |entry: &&Entry| which.server.is_none_or(|server| server == entry.server);
    // They come in the order of their versions.
    if let Some(entry) = entries.iter().rfind(wanted) {
        return Ok(entry.clone());
    }
    let asked = render::asked(binder.url());
    let text = match which.server {
        Some(server) if !entries.is_empty() => {
            let others: Vec<_> = entries.iter().map(|entry| entry.server.to_string()).collect();
            let others = others.join(", ");
            format!("server {server} offers no {name:?} ({asked}); there is {others}")
        }
        Some(_) | None => {
            let hint = hint(&binder.list()?, name);
            format!("{} ({asked}){hint}", render::nobody(name, &which.version))
        }
    };
    Err(Exit::failure(NO, text))
}

/// What there is in place of a service that there is not.
fn hint(all: &[Entry], name: &str) -> String {
    let live = || all.iter().filter(|entry| entry.state == EntryState::Live);
    let mut versions: Vec<_> =
        live().filter(|entry| entry.name == name).map(|entry| entry.version.to_string()).collect();
    versions.dedup();
    if !versions.is_empty() {
        return format!("; there is {}", versions.join(", "));
    }
    let near = near(name, live().map(|entry| entry.name.as_str()));
    near.map_or(String::new(), |near| format!("; did you mean {near:?}?"))
}

/// The method of that name.
pub(crate) fn method<'m>(
    entry: &Entry,
    methods: &'m [MethodDescription],
    name: &str,
) -> Outcome<&'m MethodDescription> {
    if let Some(method) = methods.iter().find(|method| method.name == name) {
        return Ok(method);
    }
    let (service, version) = (&entry.name, entry.version);
    let hint = match near(name, methods.iter().map(|method| method.name.as_str())) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("`rpc-binder describe {service}` shows those that it has"),
    };
    let text = format!("{service} {version} has no method {name:?}; {hint}");
    Err(Exit::failure(NO, text))
}

/// The form of a method of `service`, or why it cannot be called without its types.
pub(crate) fn form(service: &str, method: &MethodDescription) -> Result<MethodSchema, String> {
    if method.fit(service) == Fit::Not {
        return Err("its description is not that of its fingerprint: unverified".into());
    }
    if method.is_exterminated {
        let why = "its orphans are killed from its clients' journals, and this command keeps none";
        return Err(why.into());
    }
    match MethodSchema::parse(&method.form) {
        // What a table says that was written by hand, and names no types.
        Ok(form) if form.output.is_none() && is_without_types(&form, method) => {
            Err("its server does not say what its types are".into())
        }
        // What may be cut, and reads as if it were not, is nobody's word.
        Ok(form) if form.is_complete() && method.fit(service) == Fit::Proved => Ok(form),
        Ok(_) => Err("its form is not complete: `?` stands for a type that took no sample, \
                      `large array` for one that is too long"
            .into()),
        Err(ShapeError::Cut) => Err(format!(
            "its form was cut after {} bytes, because it is too long",
            method.form.len()
        )),
        Err(error) => Err(format!("its form cannot be read: {error}")),
    }
}

fn is_without_types(form: &MethodSchema, method: &MethodDescription) -> bool {
    form.parameters.is_empty() && !method.signature.starts_with("()->")
        || method.semantics != rpc_runtime::Semantics::Maybe
}
