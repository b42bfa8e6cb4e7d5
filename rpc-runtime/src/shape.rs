//! The shape of a type: how its values look on the wire, found without a derive of its own.
//!
//! A macro sees the word `Receipt`, not what is inside. So the type's own `Deserialize` is run
//! against a recorder that answers with samples and writes down what was asked for, again and again
//! until every variant of every enum was seen (the idea of serde-reflection). Names of types and of
//! newtypes are left out, names of fields and variants are kept: what a rename leaves alone on the
//! wire leaves the shape alone. Computed once, when an interface is first used.
//!
//! [`Schema`] is the way back, from the text to what can be encoded with.

mod form;
mod parts;
mod recorder;
mod parse;
pub mod schema;
mod method;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Deserialize;

pub use method::{MethodSchema, Output, Parameter};
pub use parse::{DEPTH_MAX, PARTS_MAX, ShapeError, TEXT_BYTES_MAX};
pub use schema::Schema;

use form::{Form, Registry};
use recorder::{Recorder, Refused, Run};

/// How often a type's `Deserialize` is run at most.
const RUNS_MAX: usize = 4_096;

/// How many runs may teach nothing before the recorder believes that there is nothing more.
const IDLE_RUNS_MAX: usize = 16;

/// How values of a type look on the wire, as a canonical text such as
/// `{number:u64,paid:<Cash|Card(str)>}`.
///
/// ```
/// use rpc_runtime::shape;
///
/// #[derive(serde::Deserialize)]
/// enum Paid {
///     Cash,
///     Card(String),
/// }
///
/// #[derive(serde::Deserialize)]
/// struct Receipt {
///     number: u64,
///     paid: Paid,
/// }
///
/// let shape = shape::of::<Receipt>().unwrap();
/// assert_eq!(shape.as_str(), "{number:u64,paid:<Cash|Card(str)>}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape(String);

impl Shape {
    /// The text. `?` stands for a part that took none of the samples.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether every part was seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.0.contains('?')
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The type cannot be sent: its bytes would have to say what they are.
///
/// Untagged and internally tagged enums, `#[serde(flatten)]` and values of any type ask for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfDescribing;

impl fmt::Display for SelfDescribing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "it asks the message what it is, and the message cannot say: remove `#[serde(untagged)]`, \
             `#[serde(tag = …)]` or `#[serde(flatten)]`, or send a type without them",
        )
    }
}

impl std::error::Error for SelfDescribing {}

/// The shape of `T`.
///
/// # Errors
///
/// [`SelfDescribing`]: values of `T` can be sent, but never be read again.
pub fn of<T: Deserialize<'static>>() -> Result<Shape, SelfDescribing> {
    let mut run = Run::new();
    let mut root = Form::Unknown;
    let mut idle = 0;
    for _ in 0..RUNS_MAX {
        let mut form = Form::Unknown;
        let ended = T::deserialize(Recorder::new(&mut run, &mut form));
        run.learned |= root.merge(form);
        match ended {
            Err(Refused::SelfDescribing) => return Err(SelfDescribing),
            Err(Refused::Sample) => run.try_another_sample(),
            Ok(_) => {}
        }
        idle = if run.end() { 0 } else { idle + 1 };
        if idle > IDLE_RUNS_MAX || (ended.is_ok() && run.registry.is_complete(&root)) {
            break;
        }
    }
    Ok(Shape(print(&root, &run.registry)))
}

fn print(root: &Form, registry: &Registry) -> String {
    let mut text = String::new();
    form::Printer::new(registry, &mut text).form(root);
    text
}
