//! A method's form: the shapes of its parameters, its result and its error, found when the
//! interface is first used.

use crate::marshal::{Marshal, Param};
use crate::outcome::Outcome;
use crate::shape::{self, SelfDescribing, Shape};

/// Where a method of a table names its types. Generated code calls it.
#[derive(Debug, Default)]
pub struct Forms {
    parameters: Vec<String>,
    outputs: Vec<String>,
    unsendable: Option<String>,
}

impl Forms {
    /// The next parameter.
    pub fn parameter<T: Param<'static>>(&mut self) {
        let form = self.form(shape::of::<T>(), |count| format!("parameter {count}"));
        self.parameters.push(form);
    }

    /// The next parameter, which comes back.
    pub fn in_out<T: Marshal>(&mut self) {
        let form = self.form(shape::of::<T>(), |count| format!("parameter {count}"));
        self.parameters.push(format!("inout:{form}"));
    }

    /// What the method returns.
    pub fn output<O: Outcome>(&mut self) {
        let value = self.form(shape::of::<O::Value>(), |_| "the result".to_owned());
        let error = self.form(shape::of::<O::App>(), |_| "the error".to_owned());
        self.outputs = vec![value, error];
    }

    fn form(
        &mut self,
        shape: Result<Shape, SelfDescribing>,
        part: impl FnOnce(usize) -> String,
    ) -> String {
        let part = part(self.parameters.len() + 1);
        match shape {
            Ok(shape) => shape.to_string(),
            Err(error) => {
                self.unsendable.get_or_insert_with(|| format!("{part} cannot be sent: {error}"));
                "?".to_owned()
            }
        }
    }

    /// `(str,u64)->{number:u64}!<NoFunds>`, and why it cannot be sent if it cannot.
    pub(super) fn finish(self) -> (String, Option<String>) {
        let form = format!("({})->{}", self.parameters.join(","), self.outputs.join("!"));
        (form, self.unsendable)
    }
}
