//! JSON as it is read: objects keep their order, and no key comes twice.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::TEXT_BYTES_MAX;

/// Longest text that an error shows of a value, in characters.
const SHOWN_CHARS_MAX: usize = 40;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "JSON's own words")]
pub enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Json {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// It is no JSON, too deep, too long, or has a key twice: in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("more than {TEXT_BYTES_MAX} bytes of JSON"));
        }
        serde_json::from_str(text).map_err(|error| format!("this is no JSON: {error}"))
    }

    /// As an error shows it: what it is, and the value itself if it is short.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => quoted(text),
            Self::List(items) if items.is_empty() => "[]".into(),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Object(pairs) if pairs.is_empty() => "{}".into(),
            Self::Object(_) => "an object".into(),
        }
    }
}

/// `text` in quotes, harmless to a terminal, cut if it is long.
pub(super) fn quoted(text: &str) -> String {
    if text.chars().nth(SHOWN_CHARS_MAX).is_none() {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{start:?}…")
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number without end"))?;
        Ok(Json::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Json, A::Error> {
        let mut object: Vec<(String, Json)> = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            object.push(pair);
        }
        let mut keys = BTreeSet::new();
        match object.iter().find(|(key, _)| !keys.insert(key)) {
            None => Ok(Json::Object(object)),
            Some((twice, _)) => {
                Err(A::Error::custom(format!("the key {} comes twice", quoted(twice))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_keep_their_order_and_their_keys_are_distinct() {
        let json = Json::parse(r#"{"b":1,"a":[true,null,-2,0.5]}"#).unwrap();
        let Json::Object(pairs) = &json else { panic!("{json:?}") };
        assert_eq!(pairs.iter().map(|(key, _)| &**key).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(
            Json::parse(r#"{"cents":1,"cents":2}"#),
            Err("this is no JSON: the key \"cents\" comes twice at line 1 column 21".into())
        );
    }

    #[test]
    fn hostile_texts_are_refused_in_words() {
        let deep = Json::parse(&"[".repeat(100_000)).unwrap_err();
        assert!(deep.starts_with("this is no JSON: recursion limit exceeded"), "{deep}");
        assert!(Json::parse("{\"a\":1} x").unwrap_err().contains("trailing characters"));
        assert!(Json::parse("1e999").unwrap_err().contains("number out of range"));
        assert!(Json::parse("").is_err() && Json::parse("NaN").is_err());
        let long = format!("\"{}\"", "x".repeat(10 << 20));
        let shown = Json::parse(&long).unwrap().shown();
        assert_eq!(shown, format!("\"{}\"…", "x".repeat(40)));
    }
}
