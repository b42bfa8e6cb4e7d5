//! The recorder: a deserializer that has no bytes, answers with samples, and writes down what it
//! was asked for.

use std::any::type_name;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Visitor};

use super::form::{Fields, Form, Registry, Type, Variant};
use super::parts::{Chosen, Items, Pairs};

/// How deep a value is followed before the run is given up.
const LEVELS_MAX: usize = 96;

/// How many parts a tuple or an array may have to be looked into.
const TUPLE_PARTS_MAX: usize = 65_536;

/// Texts, numbers and blocks offered, in turn, to a type that refuses the one before.
const TEXTS: [&str; 8] = [
    "a",
    "",
    "1",
    "1.0.0",
    "127.0.0.1",
    "2000-01-01T00:00:00Z",
    "00000000-0000-4000-8000-000000000001",
    "a@example.org",
];
const NUMBERS: [u8; 4] = [1, 0, 2, 10];
const BLOCKS: [&[u8]; 6] = [&[1], &[], &[1; 4], &[1; 8], &[1; 16], &[1; 32]];

/// Why a run ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A type takes none of the samples offered in this run.
    Sample,
    /// A type asks what comes next.
    SelfDescribing,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sample => "the sample was refused",
            Self::SelfDescribing => "the type is self-describing",
        })
    }
}

impl std::error::Error for Refused {}

impl serde::de::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Sample
    }
}

/// What one run after another learns.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) registry: Registry,
    /// Whether this run has taught anything.
    pub(super) learned: bool,
    number: usize,
    /// The named types that the value in hand lies in.
    inside: Vec<usize>,
    /// Which sample each kind of visitor gets.
    samples: BTreeMap<&'static str, usize>,
    /// Whose sample was used last: the one to change if the run is refused.
    last: Option<&'static str>,
}

impl Run {
    pub(super) fn new() -> Self {
        Self {
            registry: Registry::default(),
            learned: false,
            number: 0,
            inside: Vec::new(),
            samples: BTreeMap::new(),
            last: None,
        }
    }

    /// Ends a run; tells whether it taught anything.
    pub(super) fn end(&mut self) -> bool {
        self.number += 1;
        self.inside.clear();
        self.last = None;
        std::mem::take(&mut self.learned)
    }

    /// The type that saw the last sample gets another one in the next run.
    pub(super) fn try_another_sample(&mut self) {
        if let Some(visitor) = self.last {
            *self.samples.entry(visitor).or_default() += 1;
        }
    }

    fn sample<T: Copy>(&mut self, visitor: &'static str, offered: &[T]) -> T {
        self.last = Some(visitor);
        let turn = *self.samples.entry(visitor).or_default();
        offered[turn % offered.len()]
    }

    /// Whether the value in hand lies in one of its own type: options and lists end there.
    pub(super) fn is_again(&self) -> bool {
        (1..self.inside.len()).any(|at| self.inside[..at].contains(&self.inside[at]))
    }

    /// Goes into a named type.
    fn enter(&mut self, place: usize) -> Result<(), Refused> {
        if self.inside.len() >= LEVELS_MAX {
            return Err(Refused::Sample);
        }
        self.inside.push(place);
        Ok(())
    }

    fn leave(&mut self) {
        self.inside.pop();
    }

    /// Which variant to show: one that is not known in full, else one after the other, so that a
    /// type that contains itself comes to an end.
    fn choose(&self, place: usize) -> usize {
        let Type::Enum(variants) = &self.registry.types[place] else { return 0 };
        let unmet = variants.iter().position(|variant| variant.fields.is_none());
        let partly = || variants.iter().position(|variant| !variant.is_complete());
        let partly = if self.is_again() { None } else { partly() };
        let turn = (self.number + self.inside.len()) % variants.len().max(1);
        unmet.or(partly).unwrap_or(turn)
    }
}

/// Answers for one value, and writes its form down.
pub(super) struct Recorder<'r> {
    pub(super) run: &'r mut Run,
    pub(super) form: &'r mut Form,
}

impl<'r> Recorder<'r> {
    pub(super) const fn new(run: &'r mut Run, form: &'r mut Form) -> Self {
        Self { run, form }
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $name:literal)*) => {$(
        fn $method<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
            *self.form = Form::Leaf($name);
            let number = self.run.sample(type_name::<V>(), &NUMBERS);
            visitor.$visit(number.into())
        }
    )*};
}

macro_rules! self_describing {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'static>>(self, _: V) -> Result<V::Value, Refused> {
            Err(Refused::SelfDescribing)
        }
    )*};
}

impl Deserializer<'static> for Recorder<'_> {
    type Error = Refused;

    numbers! {
        deserialize_u8 visit_u8 "u8"
        deserialize_u16 visit_u16 "u16"
        deserialize_u32 visit_u32 "u32"
        deserialize_u64 visit_u64 "u64"
        deserialize_u128 visit_u128 "u128"
        deserialize_i16 visit_i16 "i16"
        deserialize_i32 visit_i32 "i32"
        deserialize_i64 visit_i64 "i64"
        deserialize_i128 visit_i128 "i128"
        deserialize_f32 visit_f32 "f32"
        deserialize_f64 visit_f64 "f64"
    }

    self_describing! { deserialize_any deserialize_identifier deserialize_ignored_any }

    fn deserialize_i8<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.form = Form::Leaf("i8");
        let number = self.run.sample(type_name::<V>(), &NUMBERS);
        visitor.visit_i8(number.cast_signed())
    }

    fn deserialize_bool<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.form = Form::Leaf("bool");
        let sample = self.run.sample(type_name::<V>(), &[true, false]);
        visitor.visit_bool(sample)
    }

    fn deserialize_char<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.form = Form::Leaf("char");
        let sample = self.run.sample(type_name::<V>(), &['a', '1', ' ']);
        visitor.visit_char(sample)
    }

    fn deserialize_str<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.form = Form::Leaf("str");
        let sample = self.run.sample(type_name::<V>(), &TEXTS);
        visitor.visit_borrowed_str(sample)
    }

    fn deserialize_string<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.form = Form::List(Box::new(Form::Leaf("u8")));
        let sample = self.run.sample(type_name::<V>(), &BLOCKS);
        visitor.visit_borrowed_bytes(sample)
    }

    fn deserialize_byte_buf<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_unit<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.form = Form::Leaf("()");
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'static>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        let mut inner = Form::Unknown;
        let value = if self.run.is_again() {
            visitor.visit_none()
        } else {
            visitor.visit_some(Recorder::new(self.run, &mut inner))
        };
        *self.form = Form::Option(Box::new(inner));
        value
    }

    fn deserialize_newtype_struct<V: Visitor<'static>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let key = (name, type_name::<V>());
        let place = self.run.registry.place(key, || Type::Newtype(Form::Unknown));
        *self.form = Form::Named(place);
        self.run.enter(place)?;
        let mut inner = Form::Unknown;
        let value = visitor.visit_newtype_struct(Recorder::new(self.run, &mut inner));
        if let Type::Newtype(known) = &mut self.run.registry.types[place] {
            self.run.learned |= known.merge(inner);
        }
        self.run.leave();
        value
    }

    fn deserialize_seq<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        let mut items = Items::list(self.run);
        let value = visitor.visit_seq(&mut items);
        let item = items.forms.pop().unwrap_or(Form::Unknown);
        *self.form = Form::List(Box::new(item));
        value
    }

    fn deserialize_tuple<V: Visitor<'static>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        if count == 0 || count > TUPLE_PARTS_MAX {
            *self.form = Form::Leaf(if count == 0 { "()" } else { "large array" });
            return if count == 0 {
                visitor.visit_seq(&mut Items::of(self.run, 0))
            } else {
                Err(Refused::Sample)
            };
        }
        let mut items = Items::of(self.run, count);
        let value = visitor.visit_seq(&mut items);
        let mut forms = std::mem::take(&mut items.forms);
        forms.resize(count, Form::Unknown);
        *self.form = Form::Tuple(forms);
        value
    }

    fn deserialize_tuple_struct<V: Visitor<'static>>(
        self,
        name: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let key = (name, type_name::<V>());
        self.structure(key, || Fields::unnamed(count), visitor)
    }

    fn deserialize_map<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        let left = usize::from(!self.run.is_again());
        let mut pairs = Pairs { run: self.run, left, key: Form::Unknown, value: Form::Unknown };
        let value = visitor.visit_map(&mut pairs);
        let (key, item) = (pairs.key, pairs.value);
        *self.form = Form::Map(Box::new(key), Box::new(item));
        value
    }

    fn deserialize_struct<V: Visitor<'static>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.structure((name, type_name::<V>()), || Fields::named(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'static>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let unmet = |&name: &&'static str| Variant { name, fields: None };
        let make = || Type::Enum(variants.iter().map(unmet).collect());
        let place = self.run.registry.place((name, type_name::<V>()), make);
        *self.form = Form::Named(place);
        self.run.enter(place)?;
        let index = self.run.choose(place);
        let value = visitor.visit_enum(Chosen { run: self.run, place, index });
        self.run.leave();
        value
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl Recorder<'_> {
    /// A struct, with or without names.
    fn structure<V: Visitor<'static>>(
        self,
        key: (&'static str, &'static str),
        fields: impl FnOnce() -> Fields,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let place = self.run.registry.place(key, || Type::Struct(fields()));
        *self.form = Form::Named(place);
        self.run.enter(place)?;
        let count = match &self.run.registry.types[place] {
            Type::Struct(fields) => fields.forms.len(),
            Type::Newtype(_) | Type::Enum(_) => return Err(Refused::Sample),
        };
        let mut items = Items::of(self.run, count);
        let value = visitor.visit_seq(&mut items);
        let forms = std::mem::take(&mut items.forms);
        if let Type::Struct(known) = &mut self.run.registry.types[place] {
            for (known, form) in known.forms.iter_mut().zip(forms) {
                self.run.learned |= known.merge(form);
            }
        }
        self.run.leave();
        value
    }
}
