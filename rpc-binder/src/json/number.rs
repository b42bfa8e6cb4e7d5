//! Numbers: postcard's integers of variable length, and how JSON writes what it cannot hold.

use std::fmt::Write as _;

use rpc_runtime::shape::schema::Leaf;

use super::flaw::Flaw;
use super::value::Json;

/// Integers up to here are exact in every reader of JSON.
const EXACT_MAX: u128 = 1 << 53;

/// What a leaf's integers are: how many bits, and whether they are below zero at times.
pub(super) const fn integer(leaf: Leaf) -> Option<(u32, bool)> {
    match leaf {
        Leaf::U8 => Some((8, false)),
        Leaf::U16 => Some((16, false)),
        Leaf::U32 => Some((32, false)),
        Leaf::U64 => Some((64, false)),
        Leaf::U128 => Some((128, false)),
        Leaf::I8 => Some((8, true)),
        Leaf::I16 => Some((16, true)),
        Leaf::I32 => Some((32, true)),
        Leaf::I64 => Some((64, true)),
        Leaf::I128 => Some((128, true)),
        Leaf::Unit
        | Leaf::Bool
        | Leaf::Char
        | Leaf::Str
        | Leaf::F32
        | Leaf::F64
        | Leaf::LargeArray => None,
    }
}

/// Reads an integer and writes it as postcard does: a byte alone, more as a varint, signs in zigzag.
pub(super) fn encode_integer(
    leaf: Leaf,
    (bits, is_signed): (u32, bool),
    json: &Json,
    bytes: &mut Vec<u8>,
) -> Result<(), Flaw> {
    let text = match json {
        Json::Number(number) => number.to_string(),
        Json::Text(text) => text.clone(),
        Json::Null | Json::Bool(_) | Json::List(_) | Json::Object(_) => {
            return Err(Flaw::expected(leaf.word(), json));
        }
    };
    let outside = || {
        let is_integer = text.strip_prefix('-').unwrap_or(&text);
        let is_integer = !is_integer.is_empty() && is_integer.bytes().all(|b| b.is_ascii_digit());
        if is_integer {
            let (least, most) = range(bits, is_signed);
            return Flaw::expected(format!("{} ({least} to {most})", leaf.word()), json);
        }
        Flaw::expected(leaf.word(), json)
    };
    if text.starts_with('+') {
        return Err(outside());
    }
    if is_signed {
        let value: i128 = text.parse().map_err(|_| outside())?;
        let spare = 128 - bits;
        if value << spare >> spare != value {
            return Err(outside());
        }
        if bits == 8 {
            bytes.push(value.to_le_bytes()[0]);
        } else {
            put_varint((value << 1 ^ value >> 127).cast_unsigned(), bytes);
        }
    } else {
        let value: u128 = text.parse().map_err(|_| outside())?;
        if bits < 128 && value >> bits != 0 {
            return Err(outside());
        }
        if bits == 8 {
            bytes.push(value.to_le_bytes()[0]);
        } else {
            put_varint(value, bytes);
        }
    }
    Ok(())
}

fn range(bits: u32, is_signed: bool) -> (i128, u128) {
    if is_signed {
        (i128::MIN >> (128 - bits), u128::MAX >> (128 - bits + 1))
    } else {
        (0, u128::MAX >> (128 - bits))
    }
}

pub(super) fn put_varint(mut value: u128, bytes: &mut Vec<u8>) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// Takes a varint of at most `bits` bits off `bytes`.
pub(super) fn take_varint(bytes: &mut &[u8], bits: u32) -> Option<u128> {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let low = u128::from(byte & 0x7f);
        if shift >= bits
            || (low << shift) >> shift != low
            || (bits < 128 && low << shift >> bits != 0)
        {
            return None;
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
        shift += 7;
    }
}

/// Takes an integer off `bytes` and writes it as JSON.
pub(super) fn decode_integer(
    (bits, is_signed): (u32, bool),
    bytes: &mut &[u8],
    text: &mut String,
) -> Option<()> {
    let raw = if bits == 8 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        u128::from(byte)
    } else {
        take_varint(bytes, bits)?
    };
    let (is_exact, digits) = if is_signed {
        let value = if bits == 8 {
            i128::from(raw.to_le_bytes()[0].cast_signed())
        } else {
            (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())
        };
        (value.unsigned_abs() <= EXACT_MAX, value.to_string())
    } else {
        (raw <= EXACT_MAX, raw.to_string())
    };
    let quote = if is_exact { "" } else { "\"" };
    let _infallible = write!(text, "{quote}{digits}{quote}");
    Some(())
}

/// A number with a fraction; what JSON cannot write is read from text.
pub(super) fn float(leaf: Leaf, json: &Json) -> Result<f64, Flaw> {
    let number = match json {
        Json::Number(number) => number.as_f64(),
        Json::Text(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        Json::Null | Json::Bool(_) | Json::List(_) | Json::Object(_) => None,
    };
    number.ok_or_else(|| Flaw::expected(leaf.word(), json))
}

/// Writes a number with a fraction; `finite` is its shortest text.
pub(super) fn write_float(value: f64, finite: &str, text: &mut String) {
    text.push_str(match value {
        _ if value.is_nan() => "\"NaN\"",
        f64::INFINITY => "\"Infinity\"",
        f64::NEG_INFINITY => "\"-Infinity\"",
        _ => finite,
    });
}
