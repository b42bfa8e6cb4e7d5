//! What the recorder has learned: forms of values, and a registry of the types met by name.

use std::collections::BTreeMap;

/// How a value looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Not seen yet.
    Unknown,
    /// Without parts.
    Leaf(&'static str),
    Option(Box<Self>),
    List(Box<Self>),
    Map(Box<Self>, Box<Self>),
    Tuple(Vec<Self>),
    /// A struct or an enum, by its place in the registry: types can contain themselves.
    Named(usize),
}

impl Form {
    /// Takes over what `seen` knows and this does not; tells whether that was anything.
    pub(super) fn merge(&mut self, seen: Self) -> bool {
        match (self, seen) {
            (_, Self::Unknown) => false,
            (old @ Self::Unknown, new) => {
                *old = new;
                true
            }
            (Self::Option(old), Self::Option(new)) | (Self::List(old), Self::List(new)) => {
                old.merge(*new)
            }
            (Self::Map(key, value), Self::Map(new_key, new_value)) => {
                let learned = key.merge(*new_key);
                value.merge(*new_value) || learned
            }
            (Self::Tuple(old), Self::Tuple(new)) => merge_all(old, new),
            (
                Self::Leaf(_)
                | Self::Option(_)
                | Self::List(_)
                | Self::Map(..)
                | Self::Tuple(_)
                | Self::Named(_),
                _,
            ) => false,
        }
    }

    fn is_complete(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Leaf(_) | Self::Named(_) => true,
            Self::Option(inner) | Self::List(inner) => inner.is_complete(),
            Self::Map(key, value) => key.is_complete() && value.is_complete(),
            Self::Tuple(items) => items.iter().all(Self::is_complete),
        }
    }
}

fn merge_all(old: &mut Vec<Form>, new: Vec<Form>) -> bool {
    let mut learned = new.len() > old.len();
    old.resize(old.len().max(new.len()), Form::Unknown);
    for (old, new) in old.iter_mut().zip(new) {
        learned |= old.merge(new);
    }
    learned
}

/// What lies between the brackets of a struct, a tuple struct or a variant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// Empty where the fields have no names.
    pub(super) names: &'static [&'static str],
    pub(super) forms: Vec<Form>,
}

impl Fields {
    pub(super) fn named(names: &'static [&'static str]) -> Self {
        Self { names, forms: vec![Form::Unknown; names.len()] }
    }

    pub(super) fn unnamed(count: usize) -> Self {
        Self { names: &[], forms: vec![Form::Unknown; count] }
    }

    fn is_complete(&self) -> bool {
        self.forms.iter().all(Form::is_complete)
    }
}

/// A variant of an enum.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    pub(super) name: &'static str,
    /// `None` until it was met.
    pub(super) fields: Option<Fields>,
}

/// A type with a name.
#[derive(Clone, Debug)]
pub(super) enum Type {
    Struct(Fields),
    /// A newtype: on the wire, what it holds.
    Newtype(Form),
    Enum(Vec<Variant>),
}

impl Type {
    fn is_complete(&self) -> bool {
        match self {
            Self::Struct(fields) => fields.is_complete(),
            Self::Newtype(inner) => inner.is_complete(),
            Self::Enum(variants) => variants.iter().all(Variant::is_complete),
        }
    }
}

impl Variant {
    pub(super) fn is_complete(&self) -> bool {
        self.fields.as_ref().is_some_and(Fields::is_complete)
    }
}

/// A name is not enough: two types may share it, and a generic one is many. The visitor's is.
type Key = (&'static str, &'static str);

/// All types met.
#[derive(Debug, Default)]
pub(super) struct Registry {
    places: BTreeMap<Key, usize>,
    pub(super) types: Vec<Type>,
}

impl Registry {
    pub(super) fn place(&mut self, key: Key, make: impl FnOnce() -> Type) -> usize {
        *self.places.entry(key).or_insert_with(|| {
            self.types.push(make());
            self.types.len() - 1
        })
    }

    /// Whether nothing of `root` is left to see.
    pub(super) fn is_complete(&self, root: &Form) -> bool {
        root.is_complete() && self.types.iter().all(Type::is_complete)
    }
}

/// Writes a form: each named type where it is first met, `#n` afterwards. All that has parts is
/// counted as it is met, from 0, so that whoever reads the text finds the n-th again; newtypes leave
/// no trace, as on the wire.
pub(super) struct Printer<'a> {
    registry: &'a Registry,
    /// The numbers of the named types written so far.
    numbers: BTreeMap<usize, usize>,
    /// How many forms with parts were written.
    count: usize,
    text: &'a mut String,
}

impl<'a> Printer<'a> {
    pub(super) const fn new(registry: &'a Registry, text: &'a mut String) -> Self {
        Self { registry, numbers: BTreeMap::new(), count: 0, text }
    }

    pub(super) fn form(&mut self, form: &Form) {
        let mut names = Vec::new();
        let form = self.held(form, &mut names);
        if let Some(&number) = names.iter().find_map(|name| self.numbers.get(name)) {
            self.numbers.extend(names.into_iter().map(|name| (name, number)));
            self.text.push_str(&format!("#{number}"));
            return;
        }
        if self.has_parts(form) {
            let number = self.count;
            self.count += 1;
            self.numbers.extend(names.into_iter().map(|name| (name, number)));
        }
        match form {
            Form::Unknown => self.text.push('?'),
            Form::Leaf(name) => self.text.push_str(name),
            Form::Option(inner) => {
                self.text.push_str("option ");
                self.form(inner);
            }
            Form::List(item) => {
                self.text.push('[');
                self.form(item);
                self.text.push(']');
            }
            Form::Map(key, value) => {
                self.text.push('[');
                self.form(key);
                self.text.push_str("=>");
                self.form(value);
                self.text.push(']');
            }
            Form::Tuple(items) => self.items(items),
            Form::Named(place) => match &self.registry.types[*place] {
                Type::Struct(fields) => self.fields(fields),
                Type::Newtype(_) => self.text.push('?'), // one that holds nothing but itself
                Type::Enum(variants) => self.variants(variants),
            },
        }
    }

    /// What newtypes hold, and in `names` every named type on the way.
    fn held<'f>(&self, mut form: &'f Form, names: &mut Vec<usize>) -> &'f Form
    where
        'a: 'f,
    {
        while let Form::Named(place) = form {
            let is_again = names.contains(place);
            names.push(*place);
            match &self.registry.types[*place] {
                Type::Newtype(inner) if !is_again => form = inner,
                Type::Newtype(_) | Type::Struct(_) | Type::Enum(_) => break,
            }
        }
        form
    }

    fn has_parts(&self, form: &Form) -> bool {
        match form {
            Form::Unknown | Form::Leaf(_) => false,
            Form::Option(_) | Form::List(_) | Form::Map(..) | Form::Tuple(_) => true,
            Form::Named(place) => match &self.registry.types[*place] {
                Type::Struct(fields) => !fields.forms.is_empty(),
                Type::Newtype(_) => false,
                Type::Enum(_) => true,
            },
        }
    }

    /// An array and a tuple of equal parts are the same on the wire, and are written alike.
    fn items(&mut self, items: &[Form]) {
        let held = |form| self.held(form, &mut Vec::new());
        let first = items.first().map(held);
        if items.len() > 1 && items.iter().all(|item| Some(held(item)) == first) {
            self.text.push('[');
            self.form(items.first().unwrap_or(&Form::Unknown));
            self.text.push_str(&format!(";{}]", items.len()));
            return;
        }
        self.listed('(', items.iter().map(|item| (None, item)), ')');
    }

    fn variants(&mut self, variants: &[Variant]) {
        self.text.push('<');
        for (index, variant) in variants.iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { "|" });
            write_name(variant.name, self.text);
            match &variant.fields {
                Some(fields) if fields.forms.is_empty() => {}
                Some(fields) => self.fields(fields),
                None => self.text.push('?'),
            }
        }
        self.text.push('>');
    }

    fn fields(&mut self, fields: &Fields) {
        if fields.names.is_empty() {
            self.listed('(', fields.forms.iter().map(|form| (None, form)), ')');
        } else {
            let names = fields.names.iter().map(|&name| Some(name));
            self.listed('{', names.zip(&fields.forms), '}');
        }
    }

    fn listed<'f>(
        &mut self,
        open: char,
        items: impl Iterator<Item = (Option<&'static str>, &'f Form)>,
        close: char,
    ) {
        self.text.push(open);
        for (index, (name, form)) in items.enumerate() {
            self.text.push_str(if index == 0 { "" } else { "," });
            if let Some(name) = name {
                write_name(name, self.text);
                self.text.push(':');
            }
            self.form(form);
        }
        self.text.push(close);
    }
}

/// Writes a field's or a variant's name; what would read as punctuation, as `\u{3f}`.
pub(super) fn write_name(name: &str, text: &mut String) {
    for c in name.chars() {
        if c.is_control() || c.is_whitespace() || PUNCTUATION.contains(c) {
            text.extend(c.escape_unicode());
        } else {
            text.push(c);
        }
    }
}

/// What ends a name, or means something in the text of a shape.
pub(super) const PUNCTUATION: &str = "?:,|<>(){}[]#=;!\\";
