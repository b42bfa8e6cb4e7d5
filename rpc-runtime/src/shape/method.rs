//! A method's form, read: the schemas of its parameters, its result and its error.

use super::parse::{Parser, ShapeError};
use super::schema::Schema;

/// Most parameters of one method.
const PARAMETERS_MAX: usize = 1_024;

/// A method's form, read: `(str,inout:[str])->{number:u64}!<NoFunds>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodSchema {
    /// In order, as they are marshalled.
    pub parameters: Vec<Parameter>,
    /// What it returns, if it replies at all.
    pub output: Option<Output>,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its shape.
    pub schema: Schema,
    /// Whether it comes back.
    pub is_in_out: bool,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The value.
    pub value: Schema,
    /// The method's own error; [`Schema::is_never`] if it has none.
    pub error: Schema,
}

impl MethodSchema {
    /// Reads a method's form.
    ///
    /// # Errors
    ///
    /// It is none, or beyond the limits.
    pub fn parse(form: &str) -> Result<Self, ShapeError> {
        let mut parser = Parser::new(form)?;
        let mut parameters = Vec::new();
        parser.expect("(")?;
        while !parser.take(")") {
            if !parameters.is_empty() {
                parser.expect(",")?;
            }
            if parameters.len() == PARAMETERS_MAX {
                return Err(ShapeError::Limit { of: "parameters", max: PARAMETERS_MAX });
            }
            let is_in_out = parser.take("inout:");
            parameters.push(Parameter { schema: parser.schema()?, is_in_out });
        }
        parser.expect("->")?;
        if parser.end().is_ok() {
            return Ok(Self { parameters, output: None });
        }
        let value = parser.schema()?;
        parser.expect("!")?;
        let output = Some(Output { value, error: parser.schema()? });
        parser.end()?;
        Ok(Self { parameters, output })
    }

    /// Whether calls can be encoded and replies decoded.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let output = self.output.iter().flat_map(|output| [&output.value, &output.error]);
        self.parameters.iter().map(|one| &one.schema).chain(output).all(Schema::is_complete)
    }

    /// The parameters that come back, by their places.
    pub fn in_outs(&self) -> impl Iterator<Item = (usize, &Schema)> {
        let numbered = self.parameters.iter().enumerate();
        numbered.filter(|(_, one)| one.is_in_out).map(|(place, one)| (place, &one.schema))
    }
}
