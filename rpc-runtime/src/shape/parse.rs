//! From the text of a shape to a [`Schema`], and from a method's form to those of its parts.
//!
//! The text is as foreign as any other that comes from the network: limits first, then grammar.

use std::fmt;

use super::form::PUNCTUATION;
use super::schema::{Field, Holds, Leaf, Part, PartId, Schema, Variant};

/// Longest text that is read, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 << 10;
/// Most parts of one shape.
pub const PARTS_MAX: usize = 16_384;
/// How deep parts may lie in one another, as written.
pub const DEPTH_MAX: usize = 256;

/// Why a text is no shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShapeError {
    /// It ends in the middle: it was cut, perhaps.
    Cut,
    /// Something else was expected at this byte.
    Unexpected {
        /// Where.
        at: usize,
    },
    /// `#n` names nothing that stands before it.
    Dangling {
        /// Where.
        at: usize,
    },
    /// It has more of something than will be read.
    Limit {
        /// Of what.
        of: &'static str,
        /// The limit.
        max: usize,
    },
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("it ends in the middle"),
            Self::Unexpected { at } => write!(f, "it cannot be read from byte {at} on"),
            Self::Dangling { at } => write!(f, "byte {at} names a part that is not there"),
            Self::Limit { of, max } => write!(f, "it has more than {max} {of}"),
        }
    }
}

impl std::error::Error for ShapeError {}

/// Reads one shape after another.
pub(super) struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    parts: Vec<Part>,
    /// The parts with parts of their own, in the order of their first letters: what `#n` counts.
    met: Vec<PartId>,
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t str) -> Result<Self, ShapeError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ShapeError::Limit { of: "bytes", max: TEXT_BYTES_MAX });
        }
        Ok(Self { text, at: 0, depth: 0, parts: Vec::new(), met: Vec::new() })
    }

    /// The next shape.
    pub(super) fn schema(&mut self) -> Result<Schema, ShapeError> {
        self.met.clear();
        let root = self.part()?;
        Ok(Schema { parts: std::mem::take(&mut self.parts), root })
    }

    /// Nothing is left.
    pub(super) fn end(&self) -> Result<(), ShapeError> {
        if self.at == self.text.len() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Takes `word` if it comes next.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let comes = self.rest().starts_with(word);
        self.at += if comes { word.len() } else { 0 };
        comes
    }

    /// Takes `word`, which must come next.
    pub(super) fn expect(&mut self, word: &str) -> Result<(), ShapeError> {
        if self.take(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn part(&mut self) -> Result<PartId, ShapeError> {
        if self.depth == DEPTH_MAX {
            return Err(ShapeError::Limit { of: "levels", max: DEPTH_MAX });
        }
        self.depth += 1;
        let part = self.any_part();
        self.depth -= 1;
        part
    }

    fn any_part(&mut self) -> Result<PartId, ShapeError> {
        if self.take("#") {
            return self.reference();
        }
        if self.take("?") {
            return self.add(Part::Unknown);
        }
        let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
        let rest = self.rest();
        let named = |leaf: &Leaf| rest.strip_prefix(leaf.word()).is_some_and(is_whole);
        if let Some(leaf) = Leaf::ALL.into_iter().find(named) {
            self.at += leaf.word().len();
            return self.add(Part::Leaf(leaf));
        }
        // Its place is known before its parts are: they may name it.
        let id = self.add(Part::Unknown)?;
        self.met.push(id);
        self.parts[id] = if self.take("option ") {
            Part::Option(self.part()?)
        } else if self.take("[") {
            self.many()?
        } else if self.take("(") {
            Part::Tuple(self.unnamed()?)
        } else if self.take("{") {
            Part::Struct(self.named()?)
        } else if self.take("<") {
            Part::Enum(self.variants()?)
        } else {
            return Err(self.unexpected());
        };
        Ok(id)
    }

    fn add(&mut self, part: Part) -> Result<PartId, ShapeError> {
        if self.parts.len() == PARTS_MAX {
            return Err(ShapeError::Limit { of: "parts", max: PARTS_MAX });
        }
        self.parts.push(part);
        Ok(self.parts.len() - 1)
    }

    fn reference(&mut self) -> Result<PartId, ShapeError> {
        let at = self.at;
        let number = self.number()?;
        let number = usize::try_from(number).ok();
        let met = number.and_then(|number| self.met.get(number));
        met.copied().ok_or(ShapeError::Dangling { at })
    }

    /// A list, a map or an array, behind its bracket.
    fn many(&mut self) -> Result<Part, ShapeError> {
        let item = self.part()?;
        let part = if self.take("=>") {
            Part::Map(item, self.part()?)
        } else if self.take(";") {
            Part::Array(item, self.number()?)
        } else {
            Part::List(item)
        };
        self.expect("]")?;
        Ok(part)
    }

    fn unnamed(&mut self) -> Result<Vec<PartId>, ShapeError> {
        let mut items = vec![self.part()?];
        while self.take(",") {
            items.push(self.part()?);
        }
        self.expect(")")?;
        Ok(items)
    }

    fn named(&mut self) -> Result<Vec<Field>, ShapeError> {
        let mut fields = Vec::new();
        loop {
            let name = self.name()?;
            self.expect(":")?;
            fields.push(Field { name, part: self.part()? });
            if !self.take(",") {
                break;
            }
        }
        self.expect("}")?;
        Ok(fields)
    }

    fn variants(&mut self) -> Result<Vec<Variant>, ShapeError> {
        let mut variants = Vec::new();
        if self.take(">") {
            return Ok(variants);
        }
        loop {
            let name = self.name()?;
            let holds = if self.take("?") {
                Holds::Unknown
            } else if self.take("(") {
                Holds::Unnamed(self.unnamed()?)
            } else if self.take("{") {
                Holds::Named(self.named()?)
            } else {
                Holds::Nothing
            };
            variants.push(Variant { name, holds });
            if variants.len() > PARTS_MAX {
                return Err(ShapeError::Limit { of: "variants", max: PARTS_MAX });
            }
            if !self.take("|") {
                break;
            }
        }
        self.expect(">")?;
        Ok(variants)
    }

    /// A field's or a variant's name, as [`super::form::write_name`] writes it.
    fn name(&mut self) -> Result<String, ShapeError> {
        let mut name = String::new();
        loop {
            let rest = self.rest();
            let end = rest.find(|c| PUNCTUATION.contains(c)).unwrap_or(rest.len());
            name.push_str(&rest[..end]);
            self.at += end;
            if !self.take("\\u{") {
                return Ok(name);
            }
            let rest = self.rest();
            let end = rest.find('}').ok_or(ShapeError::Cut)?;
            let code = rest.get(..end).filter(|code| code.len() <= 6);
            let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
            name.push(code.and_then(char::from_u32).ok_or_else(|| self.unexpected())?);
            self.at += end + 1;
        }
    }

    fn number(&mut self) -> Result<u64, ShapeError> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number = rest[..end].parse().map_err(|_| self.unexpected())?;
        self.at += end;
        Ok(number)
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn unexpected(&self) -> ShapeError {
        let Self { at, .. } = *self;
        if at == self.text.len() { ShapeError::Cut } else { ShapeError::Unexpected { at } }
    }
}
