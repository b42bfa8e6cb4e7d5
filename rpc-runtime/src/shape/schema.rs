//! A shape as data: what its text says, for whoever has no types and must encode and decode.
//!
//! The text is the recorder's ([`super::of`]), but it may come from anywhere: reading it is bounded
//! in bytes, parts and depth. Does not know how a value is encoded.

use std::fmt;

use super::form::write_name;
use super::parse::{Parser, ShapeError};

/// Names a part of a [`Schema`].
pub type PartId = usize;

/// A shape, read: parts that name each other, because types can contain themselves.
///
/// ```
/// use rpc_runtime::shape::schema::{Part, Schema};
///
/// let schema = Schema::parse("{value:u8,next:option #0}").unwrap();
/// let Part::Struct(fields) = schema.part(schema.root()) else { panic!() };
/// assert_eq!(fields[1].name, "next");
/// assert_eq!(schema.to_string(), "{value:u8,next:option #0}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    pub(super) parts: Vec<Part>,
    pub(super) root: PartId,
}

/// One part of a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// `?`: nobody has seen it.
    Unknown,
    /// Without parts of its own.
    Leaf(Leaf),
    /// `option T`.
    Option(PartId),
    /// `[T]`.
    List(PartId),
    /// `[K=>V]`.
    Map(PartId, PartId),
    /// `[T;n]`: an array, or a tuple of equal parts.
    Array(PartId, u64),
    /// `(A,B)`: a tuple, or a struct whose fields have no names.
    Tuple(Vec<PartId>),
    /// `{a:A,b:B}`.
    Struct(Vec<Field>),
    /// `<A|B(T)|C{c:T}>`, by index on the wire.
    Enum(Vec<Variant>),
}

/// A field with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its part.
    pub part: PartId,
}

/// A variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub holds: Holds,
}

/// What a variant holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// `?`: nobody has seen it.
    Unknown,
    /// Nothing.
    Nothing,
    /// Values without names.
    Unnamed(Vec<PartId>),
    /// Values with names.
    Named(Vec<Field>),
}

/// A value without parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are named as their types are")]
pub enum Leaf {
    Unit,
    Bool,
    Char,
    Str,
    U8,
    U16,
    U32,
    U64,
    U128,
    I8,
    I16,
    I32,
    I64,
    I128,
    F32,
    F64,
    /// An array that is too long to be looked into.
    LargeArray,
}

impl Leaf {
    pub(super) const ALL: [Self; 17] = [
        Self::Unit,
        Self::Bool,
        Self::Char,
        Self::Str,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::U128,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::I128,
        Self::F32,
        Self::F64,
        Self::LargeArray,
    ];

    /// The word for it in the text.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unit => "()",
            Self::Bool => "bool",
            Self::Char => "char",
            Self::Str => "str",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::U128 => "u128",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::I128 => "i128",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::LargeArray => "large array",
        }
    }
}

impl Schema {
    /// Reads the text of a shape.
    ///
    /// # Errors
    ///
    /// It is none, or beyond the limits.
    pub fn parse(text: &str) -> Result<Self, ShapeError> {
        let mut parser = Parser::new(text)?;
        let schema = parser.schema()?;
        parser.end()?;
        Ok(schema)
    }

    /// The part that the shape is of.
    #[must_use]
    pub const fn root(&self) -> PartId {
        self.root
    }

    /// A part.
    ///
    /// # Panics
    ///
    /// `id` is none of this schema.
    #[must_use]
    pub fn part(&self, id: PartId) -> &Part {
        &self.parts[id]
    }

    /// The text of one of its parts.
    ///
    /// # Panics
    ///
    /// `id` is none of this schema.
    #[must_use]
    pub fn text(&self, id: PartId) -> String {
        let mut text = String::new();
        Printer { schema: self, met: Vec::new(), text: &mut text }.part(id);
        text
    }

    /// Whether values can be encoded and decoded: every part was seen, and none is too long.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Unknown | Part::Leaf(Leaf::LargeArray) => false,
            Part::Enum(variants) => variants.iter().all(|one| one.holds != Holds::Unknown),
            Part::Leaf(_)
            | Part::Option(_)
            | Part::List(_)
            | Part::Map(..)
            | Part::Array(..)
            | Part::Tuple(_)
            | Part::Struct(_) => true,
        })
    }

    /// Whether no value of it exists: an enum without variants.
    #[must_use]
    pub fn is_never(&self) -> bool {
        matches!(self.part(self.root), Part::Enum(variants) if variants.is_empty())
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(self.root))
    }
}

/// Writes the text that was read.
struct Printer<'s> {
    schema: &'s Schema,
    /// The parts with parts of their own, as they were met.
    met: Vec<PartId>,
    text: &'s mut String,
}

impl Printer<'_> {
    fn part(&mut self, id: PartId) {
        let part = self.schema.part(id);
        if !matches!(part, Part::Unknown | Part::Leaf(_)) {
            if let Some(number) = self.met.iter().position(|&met| met == id) {
                self.text.push_str(&format!("#{number}"));
                return;
            }
            self.met.push(id);
        }
        match part {
            Part::Unknown => self.text.push('?'),
            Part::Leaf(leaf) => self.text.push_str(leaf.word()),
            Part::Option(inner) => {
                self.text.push_str("option ");
                self.part(*inner);
            }
            Part::List(item) => {
                self.text.push('[');
                self.part(*item);
                self.text.push(']');
            }
            Part::Map(key, value) => {
                self.text.push('[');
                self.part(*key);
                self.text.push_str("=>");
                self.part(*value);
                self.text.push(']');
            }
            Part::Array(item, count) => {
                self.text.push('[');
                self.part(*item);
                self.text.push_str(&format!(";{count}]"));
            }
            Part::Tuple(items) => self.unnamed(items),
            Part::Struct(fields) => self.named(fields),
            Part::Enum(variants) => self.variants(variants),
        }
    }

    fn variants(&mut self, variants: &[Variant]) {
        self.text.push('<');
        for (index, Variant { name, holds }) in variants.iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { "|" });
            write_name(name, self.text);
            match holds {
                Holds::Unknown => self.text.push('?'),
                Holds::Nothing => {}
                Holds::Unnamed(items) => self.unnamed(items),
                Holds::Named(fields) => self.named(fields),
            }
        }
        self.text.push('>');
    }

    fn unnamed(&mut self, items: &[PartId]) {
        self.text.push('(');
        for (index, &item) in items.iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { "," });
            self.part(item);
        }
        self.text.push(')');
    }

    fn named(&mut self, fields: &[Field]) {
        self.text.push('{');
        for (index, Field { name, part }) in fields.iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { "," });
            write_name(name, self.text);
            self.text.push(':');
            self.part(*part);
        }
        self.text.push('}');
    }
}
