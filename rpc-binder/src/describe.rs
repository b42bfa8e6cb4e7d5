//! What a service offers, for people and as JSON, one object a method.

use std::fmt::Write as _;

use rpc_runtime::binder::{Binder, Entry, MethodDescription};
use rpc_runtime::shape::MethodSchema;
use serde::Serialize;

use crate::cli::Which;
use crate::command::Outcome;
use crate::find;
use crate::render::clean;

/// The description of a service's interface.
pub(crate) fn text(binder: &Binder, name: &str, which: &Which, json: bool) -> Outcome<String> {
    let entry = find::server(binder, name, which)?;
    let methods = binder.methods(&entry)?;
    Ok(if json { objects(&entry, &methods) } else { paragraphs(&entry, &methods) })
}

fn paragraphs(entry: &Entry, methods: &[MethodDescription]) -> String {
    let mut text = format!("{} {}\n", entry.name, entry.version);
    for method in methods {
        let promise = method.semantics.word();
        let form = find::form(&entry.name, method);
        let _infallible = match &form {
            Ok(form) => write!(text, "\n{}\n    {promise}\n", clean(&signature(method, form))),
            Err(why) => {
                let (name, written) = (clean(&method.name), clean(&method.signature));
                let why = format!("cannot be called from here: {why}");
                write!(text, "\n{name}{written}\n    {promise}; {why}\n")
            }
        };
        if let Ok(MethodSchema { output: Some(output), .. }) = form
            && !output.error.is_never()
        {
            let _infallible = writeln!(text, "    error {}", clean(&output.error.to_string()));
        }
    }
    text
}

/// `transfer(from: str, to: str, cents: u64) -> u64`
fn signature(method: &MethodDescription, form: &MethodSchema) -> String {
    let parameters = form.parameters.iter().enumerate().map(|(index, parameter)| {
        let name = method.parameters.get(index).map_or("_", String::as_str);
        let in_out = if parameter.is_in_out { "inout " } else { "" };
        format!("{name}: {in_out}{}", parameter.schema)
    });
    let parameters = parameters.collect::<Vec<_>>().join(", ");
    let output = form.output.as_ref().map(|output| format!(" -> {}", output.value));
    format!("{}({parameters}){}", method.name, output.unwrap_or_default())
}

fn objects(entry: &Entry, methods: &[MethodDescription]) -> String {
    let mut text = String::new();
    for method in methods {
        let form = find::form(&entry.name, method);
        let output = form.as_ref().ok().and_then(|form| form.output.as_ref());
        let row = Row {
            service: &entry.name,
            version: entry.version.to_string(),
            method: &method.name,
            semantics: method.semantics.word(),
            parameters: form.as_ref().ok().map(|form| parameters(method, form)),
            result: output.map(|output| output.value.to_string()),
            error: output
                .filter(|output| !output.error.is_never())
                .map(|output| output.error.to_string()),
            form: &method.form,
            fingerprint: format!("{:016x}", method.fingerprint.0),
            uncallable: form.as_ref().err(),
        };
        text.push_str(&serde_json::to_string(&row).expect("strings become JSON"));
        text.push('\n');
    }
    text
}

fn parameters<'m>(method: &'m MethodDescription, form: &MethodSchema) -> Vec<Parameter<'m>> {
    let all = form.parameters.iter().enumerate().map(|(index, parameter)| Parameter {
        name: method.parameters.get(index).map(String::as_str),
        form: parameter.schema.to_string(),
        inout: parameter.is_in_out,
    });
    all.collect()
}

#[derive(Serialize)]
struct Row<'a> {
    service: &'a str,
    version: String,
    method: &'a str,
    semantics: &'static str,
    parameters: Option<Vec<Parameter<'a>>>,
    result: Option<String>,
    error: Option<String>,
    form: &'a str,
    fingerprint: String,
    /// Why it cannot be called by its description, if so.
    uncallable: Option<&'a String>,
}

#[derive(Serialize)]
struct Parameter<'a> {
    name: Option<&'a str>,
    form: String,
    inout: bool,
}

#[cfg(test)]
mod tests {
    use rpc_runtime::Semantics;
    use rpc_runtime::binder::{EntryState, Traits, Version};
    use rpc_runtime::ids::{Incarnation, ServerId};
    use rpc_runtime::interface::method_fingerprint_of;

    use super::*;

    fn entry() -> Entry {
        Entry {
            name: "bank".into(),
            version: Version::new(1, 2),
            server: ServerId(7),
            incarnation: Incarnation::new(1, 7),
            addresses: vec![],
            fingerprint: 7,
            traits: Traits::default(),
            lease_left_ms: 1_000,
            state: EntryState::Live,
        }
    }

    fn method(name: &str, names: &[&str], form: &str, semantics: Semantics) -> MethodDescription {
        let signature = "(as,written)->R";
        MethodDescription {
            name: name.into(),
            signature: signature.into(),
            parameters: names.iter().map(|&name| name.to_owned()).collect(),
            form: form.into(),
            semantics,
            fingerprint: method_fingerprint_of(("bank", name), semantics, (form, signature)),
            is_exterminated: false,
        }
    }

    fn some() -> Vec<MethodDescription> {
        let error = "<NoFunds{short:u64}|NoAccount(str)>";
        let transfer = format!("(str,str,u64)->{{left:u64}}!{error}");
        let names = ["from", "to", "cents"];
        vec![
            method("transfer", &names, &transfer, Semantics::AtMostOnce),
            method("fill", &["basket"], "(inout:[str])->u32!<>", Semantics::AtLeastOnce),
            method("unnamed", &[], "(u8)->()!<>", Semantics::ExactlyOnce),
            method("note", &["line"], "(str)->", Semantics::Maybe),
            method("picky", &["it"], "(?)->()!<>", Semantics::AtMostOnce),
            method("long", &["it"], "({a:u8,b:{c", Semantics::AtMostOnce),
            method("by_hand", &[], "()->", Semantics::AtMostOnce),
            MethodDescription {
                is_exterminated: true,
                ..method("job", &["it"], "(u8)->()!<>", Semantics::AtMostOnce)
            },
            MethodDescription {
                form: "(u16)->()!<>".into(),
                ..method("lie", &["it"], "(u8)->()!<>", Semantics::AtMostOnce)
            },
            method("evil", &["\u{1b}"], "(u8)->()!<>", Semantics::AtMostOnce),
        ]
    }

    #[test]
    fn every_method_has_a_paragraph() {
        insta::assert_snapshot!(paragraphs(&entry(), &some()));
    }

    #[test]
    fn every_method_is_an_object() {
        insta::assert_snapshot!(objects(&entry(), &some()));
    }
}
