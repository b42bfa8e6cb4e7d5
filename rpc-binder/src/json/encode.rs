//! JSON to postcard.

use rpc_runtime::shape::Schema;
use rpc_runtime::shape::schema::{Field, Holds, Leaf, Part, PartId, Variant};

use super::DEPTH_MAX;
use super::flaw::{Flaw, listed};
use super::number::{encode_integer, float, integer, put_varint};
use super::value::Json;

/// Appends `json` to `bytes`, as postcard would a value of this shape.
///
/// # Errors
///
/// It is no such value.
pub fn encode(schema: &Schema, json: &Json, bytes: &mut Vec<u8>) -> Result<(), Flaw> {
    Encoder { schema, depth: 0, bytes }.part(schema.root(), json)
}

struct Encoder<'e> {
    schema: &'e Schema,
    depth: usize,
    bytes: &'e mut Vec<u8>,
}

impl Encoder<'_> {
    fn part(&mut self, id: PartId, json: &Json) -> Result<(), Flaw> {
        if self.depth == DEPTH_MAX {
            return Err(Flaw::new(format!("more than {DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let encoded = self.value(id, json);
        self.depth -= 1;
        encoded
    }

    fn value(&mut self, id: PartId, json: &Json) -> Result<(), Flaw> {
        match (self.schema.part(id), json) {
            (Part::Unknown, _) => Err(Flaw::new("nobody knows the form of this")),
            (Part::Leaf(leaf), _) => self.leaf(*leaf, json),
            (Part::Option(_), Json::Null) => {
                self.bytes.push(0);
                Ok(())
            }
            (Part::Option(inner), _) => {
                self.bytes.push(1);
                self.part(*inner, json)
            }
            (Part::List(item), Json::Text(text)) if self.is_byte(*item) => self.hexadecimal(text),
            (Part::List(item), Json::List(items)) => {
                self.count(items.len());
                self.items(items.iter().map(|json| (*item, json)))
            }
            (Part::List(item), _) if self.is_byte(*item) => {
                Err(Flaw::expected("bytes in hexadecimal", json))
            }
            (Part::List(_), _) => Err(Flaw::expected("a list", json)),
            (Part::Map(key, item), _) => self.map(*key, *item, json),
            (Part::Array(item, count), Json::List(items)) if items.len() as u64 == *count => {
                self.items(items.iter().map(|json| (*item, json)))
            }
            (Part::Array(_, count), _) => Err(Flaw::expected(format!("a list of {count}"), json)),
            (Part::Tuple(parts), _) => self.unnamed(parts, json),
            (Part::Struct(fields), _) => self.named(fields, json),
            (Part::Enum(variants), _) => self.variant(variants, json),
        }
    }

    fn leaf(&mut self, leaf: Leaf, json: &Json) -> Result<(), Flaw> {
        if let Some(kind) = integer(leaf) {
            return encode_integer(leaf, kind, json, self.bytes);
        }
        match (leaf, json) {
            (Leaf::Unit, json) if is_nothing(json) => {}
            (Leaf::Unit, _) => return Err(Flaw::expected("null", json)),
            (Leaf::Bool, Json::Bool(value)) => self.bytes.push(u8::from(*value)),
            (Leaf::Bool, _) => return Err(Flaw::expected("true or false", json)),
            (Leaf::Char, Json::Text(text)) if is_single(text) => self.text(text),
            (Leaf::Char, _) => return Err(Flaw::expected("text of one character", json)),
            (Leaf::Str, Json::Text(text)) => self.text(text),
            (Leaf::Str, _) => return Err(Flaw::expected("text", json)),
            (Leaf::F64, _) => self.bytes.extend(float(leaf, json)?.to_le_bytes()),
            (Leaf::F32, _) => {
                let value = float(leaf, json)?;
                #[expect(clippy::cast_possible_truncation, reason = "the nearest f32 is meant")]
                let short = value as f32;
                if short.is_infinite() && value.is_finite() {
                    return Err(Flaw::expected("f32", json));
                }
                self.bytes.extend(short.to_le_bytes());
            }
            (
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
                | Leaf::LargeArray,
                _,
            ) => return Err(Flaw::new("an array too large to be written as JSON")),
        }
        Ok(())
    }

    fn count(&mut self, count: usize) {
        put_varint(count as u128, self.bytes);
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn is_byte(&self, item: PartId) -> bool {
        *self.schema.part(item) == Part::Leaf(Leaf::U8)
    }

    fn hexadecimal(&mut self, text: &str) -> Result<(), Flaw> {
        let wrong = || Flaw::expected("bytes in hexadecimal", &Json::Text(text.to_owned()));
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(wrong()) };
        self.count(pairs.len());
        for pair in pairs {
            let digit =
                |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
            let [high, low] = pair.map(digit);
            let (Some(high), Some(low)) = (high, low) else { return Err(wrong()) };
            self.bytes.push(high << 4 | low);
        }
        Ok(())
    }

    fn items<'j>(&mut self, items: impl Iterator<Item = (PartId, &'j Json)>) -> Result<(), Flaw> {
        for (index, (part, json)) in items.enumerate() {
            self.part(part, json).map_err(|flaw| flaw.in_item(index))?;
        }
        Ok(())
    }

    fn map(&mut self, key: PartId, item: PartId, json: &Json) -> Result<(), Flaw> {
        let is_text = *self.schema.part(key) == Part::Leaf(Leaf::Str);
        match json {
            Json::Object(pairs) if is_text => {
                self.count(pairs.len());
                for (name, json) in pairs {
                    self.text(name);
                    self.part(item, json).map_err(|flaw| flaw.in_field(name))?;
                }
                Ok(())
            }
            Json::List(pairs) if !is_text => {
                self.count(pairs.len());
                for (index, pair) in pairs.iter().enumerate() {
                    let in_pair = |flaw: Flaw| flaw.in_item(index);
                    self.unnamed(&[key, item], pair).map_err(in_pair)?;
                }
                Ok(())
            }
            _ if is_text => Err(Flaw::expected("an object", json)),
            Json::Null
            | Json::Bool(_)
            | Json::Number(_)
            | Json::Text(_)
            | Json::List(_)
            | Json::Object(_) => Err(Flaw::expected("a list of pairs [key, value]", json)),
        }
    }

    fn unnamed(&mut self, parts: &[PartId], json: &Json) -> Result<(), Flaw> {
        match json {
            Json::List(items) if items.len() == parts.len() => {
                self.items(parts.iter().copied().zip(items))
            }
            Json::Null
            | Json::Bool(_)
            | Json::Number(_)
            | Json::Text(_)
            | Json::List(_)
            | Json::Object(_) => Err(Flaw::expected(format!("a list of {}", parts.len()), json)),
        }
    }

    fn named(&mut self, fields: &[Field], json: &Json) -> Result<(), Flaw> {
        let names = fields.iter().map(|field| field.name.as_str());
        let Json::Object(pairs) = json else {
            return Err(Flaw::expected(format!("an object with {}", listed(names, "and")), json));
        };
        for (name, _) in pairs {
            if fields.iter().all(|field| field.name != *name) {
                return Err(Flaw::unknown("field", name, names));
            }
        }
        for Field { name, part } in fields {
            match pairs.iter().find(|(given, _)| given == name) {
                Some((_, json)) => self.part(*part, json).map_err(|flaw| flaw.in_field(name))?,
                None if matches!(self.schema.part(*part), Part::Option(_)) => self.bytes.push(0),
                None => return Err(Flaw::missing("field", name)),
            }
        }
        Ok(())
    }

    fn variant(&mut self, variants: &[Variant], json: &Json) -> Result<(), Flaw> {
        let names = variants.iter().map(|variant| variant.name.as_str());
        let (name, held) = match json {
            Json::Text(name) => (name, &Json::Null),
            Json::Object(pairs) if pairs.len() == 1 => (&pairs[0].0, &pairs[0].1),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::List(_) | Json::Object(_) => {
                let what = format!("one of {}", listed(names, "or"));
                return Err(Flaw::expected(what, json));
            }
        };
        let Some(index) = variants.iter().position(|variant| variant.name == *name) else {
            return Err(Flaw::unknown("variant", name, names));
        };
        self.count(index);
        let encoded = match &variants[index].holds {
            Holds::Unknown => Err(Flaw::new("nobody knows the form of this")),
            Holds::Nothing if is_nothing(held) => Ok(()),
            Holds::Nothing => Err(Flaw::expected("nothing", held)),
            Holds::Unnamed(parts) => match parts.as_slice() {
                [only] => self.part(*only, held),
                parts => self.unnamed(parts, held),
            },
            Holds::Named(fields) => self.named(fields, held),
        };
        encoded.map_err(|flaw| flaw.in_field(name))
    }
}

/// Whether a value without parts may be written so.
fn is_nothing(json: &Json) -> bool {
    match json {
        Json::Null => true,
        Json::List(items) => items.is_empty(),
        Json::Object(pairs) => pairs.is_empty(),
        Json::Bool(_) | Json::Number(_) | Json::Text(_) => false,
    }
}

fn is_single(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some() && chars.next().is_none()
}
