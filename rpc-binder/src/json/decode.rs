//! Postcard to JSON, written as it is read: fields keep the order of their type.

use std::fmt::{self, Write as _};

use rpc_runtime::shape::Schema;
use rpc_runtime::shape::schema::{Field, Holds, Leaf, Part, PartId, Variant};

use super::number::{decode_integer, integer, take_varint, write_float};
use super::{DEPTH_MAX, TEXT_BYTES_MAX};

/// How many values a message may hold beyond one for each of its bytes, as in what servers decode.
const EMPTY_ITEMS_MAX: usize = 1_024;

/// Bytes that are no values of their form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable {
    /// After this many bytes.
    at: usize,
    why: &'static str,
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} bytes {}", self.at, self.why)
    }
}

impl std::error::Error for Undecodable {}

/// Takes values off a message, one behind the other.
#[derive(Debug)]
pub struct Decoder<'b> {
    rest: &'b [u8],
    length: usize,
    /// How many values may still be made.
    budget: usize,
    depth: usize,
}

impl<'b> Decoder<'b> {
    /// All values of a message.
    #[must_use]
    pub const fn of(bytes: &'b [u8]) -> Self {
        let budget = bytes.len() + EMPTY_ITEMS_MAX;
        Self { rest: bytes, length: bytes.len(), budget, depth: 0 }
    }

    /// Appends the next value to `text`, as JSON.
    ///
    /// # Errors
    ///
    /// There is none, or it makes too much of itself.
    pub fn value(&mut self, schema: &Schema, text: &mut String) -> Result<(), Undecodable> {
        self.part(schema, schema.root(), text)
    }

    /// Nothing is left.
    ///
    /// # Errors
    ///
    /// Something is.
    pub const fn end(&self) -> Result<(), Undecodable> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong("more follows")) }
    }

    const fn wrong(&self, why: &'static str) -> Undecodable {
        Undecodable { at: self.length - self.rest.len(), why }
    }

    fn part(&mut self, schema: &Schema, id: PartId, text: &mut String) -> Result<(), Undecodable> {
        if self.depth == DEPTH_MAX {
            return Err(self.wrong("values lie too deep in one another"));
        }
        let Some(budget) = self.budget.checked_sub(1) else {
            return Err(self.wrong("there are more values than bytes"));
        };
        if text.len() > TEXT_BYTES_MAX {
            return Err(self.wrong("it becomes too long as JSON"));
        }
        self.budget = budget;
        self.depth += 1;
        let decoded = self.any(schema, id, text);
        self.depth -= 1;
        decoded
    }

    fn any(&mut self, schema: &Schema, id: PartId, text: &mut String) -> Result<(), Undecodable> {
        match schema.part(id) {
            Part::Unknown => Err(self.wrong("nobody knows the form")),
            Part::Leaf(leaf) => self.leaf(*leaf, text),
            Part::Option(inner) => match self.byte()? {
                0 => {
                    text.push_str("null");
                    Ok(())
                }
                1 => self.part(schema, *inner, text),
                _ => Err(self.wrong("an option is neither there nor not")),
            },
            Part::List(item) if *schema.part(*item) == Part::Leaf(Leaf::U8) => {
                text.push('"');
                for byte in self.block()? {
                    let _infallible = write!(text, "{byte:02x}");
                }
                text.push('"');
                Ok(())
            }
            Part::List(item) => {
                let count = self.count()?;
                self.items(schema, *item, count, text)
            }
            Part::Array(item, count) => self.items(schema, *item, *count, text),
            Part::Map(key, item) => self.map(schema, *key, *item, text),
            Part::Tuple(parts) => self.unnamed(schema, parts, text),
            Part::Struct(fields) => self.named(schema, fields, text),
            Part::Enum(variants) => self.variant(schema, variants, text),
        }
    }

    fn leaf(&mut self, leaf: Leaf, text: &mut String) -> Result<(), Undecodable> {
        if let Some(kind) = integer(leaf) {
            let decoded = decode_integer(kind, &mut self.rest, text);
            return decoded.ok_or_else(|| self.wrong("there is no integer of its size"));
        }
        match leaf {
            Leaf::Unit => text.push_str("null"),
            Leaf::Bool => text.push_str(match self.byte()? {
                0 => "false",
                1 => "true",
                _ => return Err(self.wrong("something is neither true nor false")),
            }),
            Leaf::Str => {
                let found = self.text()?;
                write_text(found, text);
            }
            Leaf::Char => {
                let found = self.text()?;
                if found.chars().count() != 1 {
                    return Err(self.wrong("a character is not one"));
                }
                write_text(found, text);
            }
            Leaf::F32 => {
                let value = f32::from_le_bytes(self.array()?);
                write_float(value.into(), &json(&value), text);
            }
            Leaf::F64 => {
                let value = f64::from_le_bytes(self.array()?);
                write_float(value, &json(&value), text);
            }
            Leaf::U8
            | Leaf::U16
            | Leaf::U32
            | Leaf::U64
            | Leaf::U128
            | Leaf::I8
            | Leaf::I16
            | Leaf::I32
            | Leaf::I64
            | Leaf::I128
            | Leaf::LargeArray => return Err(self.wrong("nobody knows the form")),
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Undecodable> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let Some((array, rest)) = self.rest.split_first_chunk() else {
            return Err(self.wrong("it ends"));
        };
        self.rest = rest;
        Ok(*array)
    }

    fn count(&mut self) -> Result<u64, Undecodable> {
        let count = take_varint(&mut self.rest, 64).and_then(|count| u64::try_from(count).ok());
        count.ok_or_else(|| self.wrong("there is no length"))
    }

    fn block(&mut self) -> Result<&'b [u8], Undecodable> {
        let count = usize::try_from(self.count()?).unwrap_or(usize::MAX);
        let Some((block, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.wrong("a length is beyond the end"));
        };
        self.rest = rest;
        Ok(block)
    }

    fn text(&mut self) -> Result<&'b str, Undecodable> {
        let block = self.block()?;
        std::str::from_utf8(block).map_err(|_| self.wrong("a text is not UTF-8"))
    }

    fn items(
        &mut self,
        schema: &Schema,
        item: PartId,
        count: u64,
        text: &mut String,
    ) -> Result<(), Undecodable> {
        text.push('[');
        for index in 0..count {
            text.push_str(if index == 0 { "" } else { "," });
            self.part(schema, item, text)?;
        }
        text.push(']');
        Ok(())
    }

    fn map(
        &mut self,
        schema: &Schema,
        key: PartId,
        item: PartId,
        text: &mut String,
    ) -> Result<(), Undecodable> {
        let is_text = *schema.part(key) == Part::Leaf(Leaf::Str);
        let (open, pair, close) = if is_text { ("{", "", "}") } else { ("[", "[", "]") };
        let count = self.count()?;
        text.push_str(open);
        for index in 0..count {
            text.push_str(if index == 0 { "" } else { "," });
            text.push_str(pair);
            self.part(schema, key, text)?;
            text.push(if is_text { ':' } else { ',' });
            self.part(schema, item, text)?;
            text.push_str(if is_text { "" } else { "]" });
        }
        text.push_str(close);
        Ok(())
    }

    fn unnamed(
        &mut self,
        schema: &Schema,
        parts: &[PartId],
        text: &mut String,
    ) -> Result<(), Undecodable> {
        text.push('[');
        for (index, part) in parts.iter().enumerate() {
            text.push_str(if index == 0 { "" } else { "," });
            self.part(schema, *part, text)?;
        }
        text.push(']');
        Ok(())
    }

    fn named(
        &mut self,
        schema: &Schema,
        fields: &[Field],
        text: &mut String,
    ) -> Result<(), Undecodable> {
        text.push('{');
        for (index, Field { name, part }) in fields.iter().enumerate() {
            text.push_str(if index == 0 { "" } else { "," });
            write_text(name, text);
            text.push(':');
            self.part(schema, *part, text)?;
        }
        text.push('}');
        Ok(())
    }

    fn variant(
        &mut self,
        schema: &Schema,
        variants: &[Variant],
        text: &mut String,
    ) -> Result<(), Undecodable> {
        let index = take_varint(&mut self.rest, 32).and_then(|index| usize::try_from(index).ok());
        let Some(Variant { name, holds }) = index.and_then(|index| variants.get(index)) else {
            return Err(self.wrong("there is no variant"));
        };
        if *holds == Holds::Nothing {
            write_text(name, text);
            return Ok(());
        }
        text.push('{');
        write_text(name, text);
        text.push(':');
        match holds {
            Holds::Unknown | Holds::Nothing => return Err(self.wrong("nobody knows the form")),
            Holds::Unnamed(parts) => match parts.as_slice() {
                [only] => self.part(schema, *only, text)?,
                parts => self.unnamed(schema, parts, text)?,
            },
            Holds::Named(fields) => self.named(schema, fields, text)?,
        }
        text.push('}');
        Ok(())
    }
}

/// Writes a text; nothing in it reaches a terminal as something to obey.
fn write_text(found: &str, text: &mut String) {
    let written = json(&found);
    if !written.contains(char::is_control) {
        text.push_str(&written);
        return;
    }
    for c in written.chars() {
        if c.is_control() {
            let _infallible = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers become JSON")
}
