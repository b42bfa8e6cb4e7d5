//! A whole call: arguments by name or by position to bytes, and the reply's bytes to JSON.

use rpc_runtime::shape::schema::Part;
use rpc_runtime::shape::{MethodSchema, Parameter, Schema};

use super::decode::{Decoder, Undecodable};
use super::encode::encode;
use super::flaw::Flaw;
use super::value::Json;

/// Marshals the arguments of a call: an object by the parameters' `names`, or a list by position.
///
/// # Errors
///
/// They are none of the method's; the parameter and the place in it are named.
pub fn arguments(form: &MethodSchema, names: &[String], json: &Json) -> Result<Vec<u8>, Flaw> {
    let parameters = &form.parameters;
    let mut bytes = Vec::new();
    match json {
        Json::Null if parameters.is_empty() => {}
        Json::List(items) if items.len() == parameters.len() => {
            for (index, (Parameter { schema, .. }, json)) in
                parameters.iter().zip(items).enumerate()
            {
                let named = |flaw: Flaw| flaw.in_field(&name(names, index));
                encode(schema, json, &mut bytes).map_err(named)?;
            }
        }
        Json::Object(pairs) if names.len() == parameters.len() => {
            let known = names.iter().map(String::as_str);
            if let Some((given, _)) = pairs.iter().find(|(given, _)| !names.contains(given)) {
                return Err(Flaw::unknown("argument", given, known));
            }
            for (Parameter { schema, .. }, name) in parameters.iter().zip(names) {
                match pairs.iter().find(|(given, _)| given == name) {
                    Some((_, json)) => {
                        encode(schema, json, &mut bytes).map_err(|flaw| flaw.in_field(name))?;
                    }
                    None if is_option(schema) => bytes.push(0),
                    None => return Err(Flaw::missing("argument", name)),
                }
            }
        }
        Json::Object(_) => {
            let text = "the names of the parameters are not known; give a list of the arguments";
            return Err(Flaw::new(text));
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::List(_) => {
            let count = parameters.len();
            let what = if names.len() == count && count > 0 {
                format!("an object of the arguments, or a list of {count}")
            } else {
                format!("a list of {count} arguments")
            };
            return Err(Flaw::expected(what, json));
        }
    }
    Ok(bytes)
}

fn is_option(schema: &Schema) -> bool {
    matches!(schema.part(schema.root()), Part::Option(_))
}

/// A parameter's name, or where it stands.
fn name(names: &[String], index: usize) -> String {
    names.get(index).cloned().unwrap_or_else(|| format!("argument {}", index + 1))
}

/// A reply as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// What the method returned, or its error.
    pub value: String,
    /// An object of the parameters that came back, if there are any.
    pub in_outs: Option<String>,
}

/// What a reply says, whose value has the form `value`.
///
/// # Errors
///
/// It is no such reply.
pub fn printed(
    form: &MethodSchema,
    names: &[String],
    value: &Schema,
    bytes: &[u8],
) -> Result<Printed, Undecodable> {
    let mut decoder = Decoder::of(bytes);
    let mut text = String::new();
    decoder.value(value, &mut text)?;
    let mut in_outs = String::new();
    for (index, schema) in form.in_outs() {
        in_outs.push(if in_outs.is_empty() { '{' } else { ',' });
        let name = name(names, index);
        in_outs.push_str(&serde_json::to_string(&name).expect("a text becomes JSON"));
        in_outs.push(':');
        decoder.value(schema, &mut in_outs)?;
    }
    decoder.end()?;
    let in_outs = (!in_outs.is_empty()).then(|| in_outs + "}");
    Ok(Printed { value: text, in_outs })
}
