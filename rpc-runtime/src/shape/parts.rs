//! Values with parts: the accesses that the recorder hands to visitors.

use serde::de::Visitor;
use serde::de::value::U32Deserializer;
use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
};

use super::form::{Fields, Form, Type};
use super::recorder::{Recorder, Refused, Run};

/// The items of a list, a tuple or a struct.
pub(super) struct Items<'r> {
    run: &'r mut Run,
    left: usize,
    pub(super) forms: Vec<Form>,
}

impl<'r> Items<'r> {
    pub(super) const fn of(run: &'r mut Run, count: usize) -> Self {
        Self { run, left: count, forms: Vec::new() }
    }

    /// A list has one item; none where a type contains itself.
    pub(super) fn list(run: &'r mut Run) -> Self {
        let left = usize::from(!run.is_again());
        Self::of(run, left)
    }
}

impl SeqAccess<'static> for &mut Items<'_> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'static>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let mut form = Form::Unknown;
        let value = seed.deserialize(Recorder::new(self.run, &mut form));
        self.forms.push(form);
        value.map(Some)
    }
}

/// The one pair of a map.
pub(super) struct Pairs<'r> {
    pub(super) run: &'r mut Run,
    pub(super) left: usize,
    pub(super) key: Form,
    pub(super) value: Form,
}

impl MapAccess<'static> for &mut Pairs<'_> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'static>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(Recorder::new(self.run, &mut self.key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'static>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Refused> {
        seed.deserialize(Recorder::new(self.run, &mut self.value))
    }
}

/// The variant that is shown in this run.
pub(super) struct Chosen<'r> {
    pub(super) run: &'r mut Run,
    pub(super) place: usize,
    pub(super) index: usize,
}

impl EnumAccess<'static> for Chosen<'_> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'static>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self), Refused> {
        let index = u32::try_from(self.index).map_err(|_| Refused::Sample)?;
        let index: U32Deserializer<Refused> = index.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl Chosen<'_> {
    /// Notes at once what kind of variant it is: a type inside itself then shows another one.
    fn met(&mut self, fields: Fields) {
        let Type::Enum(variants) = &mut self.run.registry.types[self.place] else { return };
        let known = &mut variants[self.index].fields;
        if known.is_none() {
            *known = Some(fields);
            self.run.learned = true;
        }
    }

    fn learn(self, forms: Vec<Form>) {
        let Type::Enum(variants) = &mut self.run.registry.types[self.place] else { return };
        let Some(known) = &mut variants[self.index].fields else { return };
        for (known, form) in known.forms.iter_mut().zip(forms) {
            self.run.learned |= known.merge(form);
        }
    }

    fn parts<V: Visitor<'static>>(
        mut self,
        fields: Fields,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let count = fields.forms.len();
        self.met(fields);
        let mut items = Items::of(self.run, count);
        let value = visitor.visit_seq(&mut items);
        let forms = std::mem::take(&mut items.forms);
        self.learn(forms);
        value
    }
}

impl VariantAccess<'static> for Chosen<'_> {
    type Error = Refused;

    fn unit_variant(mut self) -> Result<(), Refused> {
        self.met(Fields::default());
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'static>>(
        mut self,
        seed: S,
    ) -> Result<S::Value, Refused> {
        self.met(Fields::unnamed(1));
        let mut form = Form::Unknown;
        let value = seed.deserialize(Recorder::new(self.run, &mut form));
        self.learn(vec![form]);
        value
    }

    fn tuple_variant<V: Visitor<'static>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.parts(Fields::unnamed(count), visitor)
    }

    fn struct_variant<V: Visitor<'static>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.parts(Fields::named(fields), visitor)
    }
}
