//! Faults as text: `drop=0.2,duplicate=0.2,reorder=0.3,corrupt=0.01,delay=1ms..5ms`, or `none`.
//!
//! Knows the grammar of the command lines' `--faults`, and what to say of a mistake in it.

use std::fmt;
use std::str::FromStr;

use super::{Delay, Faults};
use crate::time::Duration;

/// What is wrong with a text that should name faults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadFaults {
    /// Nothing is named.
    Empty,
    /// A key that no fault has.
    UnknownKey(String),
    /// A key without a value, or `none` among others.
    NoValue(String),
    /// A key that was there before.
    Twice(String),
    /// Not a number from 0 to 1.
    Probability {
        /// The key.
        key: String,
        /// What stands there.
        value: String,
    },
    /// Not a delay.
    Delay(String),
}

impl fmt::Display for BadFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no faults are named: write `none`, or such as `drop=0.2`"),
            Self::UnknownKey(key) => write!(
                f,
                "unknown fault `{key}`: known are drop, duplicate, reorder, corrupt, delay, and `none` alone"
            ),
            Self::NoValue(item) if item == "none" => {
                f.write_str("`none` stands alone: leave it out, or the other faults")
            }
            Self::NoValue(item) => write!(f, "`{item}` needs a value, such as `{item}=0.2`"),
            Self::Twice(key) => write!(f, "`{key}` is given twice"),
            Self::Probability { key, value } => {
                write!(f, "`{key}={value}`: a probability is a number from 0 to 1")
            }
            Self::Delay(value) => write!(
                f,
                "`delay={value}`: a delay is such as `5ms`, `1ms..5ms`, `exp:2ms..50ms` (mean, cap) or `tail:1ms..2s` (least, cap); units are us, ms, s"
            ),
        }
    }
}

impl std::error::Error for BadFaults {}

impl FromStr for Faults {
    type Err = BadFaults;

    fn from_str(text: &str) -> Result<Self, BadFaults> {
        let text = text.trim();
        if text == "none" {
            return Ok(Self::NONE);
        }
        if text.is_empty() {
            return Err(BadFaults::Empty);
        }
        let mut faults = Self::NONE;
        let mut seen: Vec<&str> = Vec::new();
        for item in text.split(',').map(str::trim) {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            let (key, value) = (key.trim(), value.trim());
            faults.set(key, value)?;
            if seen.contains(&key) {
                return Err(BadFaults::Twice(key.to_owned()));
            }
            seen.push(key);
        }
        Ok(faults)
    }
}

impl Faults {
    fn set(&mut self, key: &str, value: &str) -> Result<(), BadFaults> {
        let place = match key {
            "drop" => &mut self.loss,
            "duplicate" => &mut self.duplicate,
            "reorder" => &mut self.reorder,
            "corrupt" => &mut self.corrupt,
            "delay" => {
                self.delay = delay(value).ok_or_else(|| BadFaults::Delay(value.to_owned()))?;
                return Ok(());
            }
            "none" => return Err(BadFaults::NoValue(key.to_owned())),
            _ => return Err(BadFaults::UnknownKey(key.to_owned())),
        };
        if value.is_empty() {
            return Err(BadFaults::NoValue(key.to_owned()));
        }
        let bad = || BadFaults::Probability { key: key.to_owned(), value: value.to_owned() };
        let probability = value.parse().map_err(|_| bad())?;
        *place = Some(probability).filter(|p| (0.0..=1.0).contains(p)).ok_or_else(bad)?;
        Ok(())
    }
}

fn delay(text: &str) -> Option<Delay> {
    let (shape, range) = text.split_once(':').unwrap_or(("", text));
    let Some((low, high)) = range.split_once("..") else {
        return duration(range).filter(|_| shape.is_empty()).map(Delay::Constant);
    };
    let (low, high) = (duration(low)?, duration(high.trim_start_matches('='))?);
    if low > high {
        return None;
    }
    match shape {
        "" => Some(Delay::Uniform { low, high }),
        "exp" => Some(Delay::Exponential { mean: low, cap: high }),
        "tail" => Some(Delay::HeavyTail { least: low, cap: high }),
        _ => None,
    }
}

fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().ok()?;
    match unit {
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        _ => None,
    }
}

/// Prints a duration in its largest whole unit.
struct Short(Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0.as_micros();
        match (us % 1_000_000, us % 1_000) {
            (0, _) => write!(f, "{}s", us / 1_000_000),
            (_, 0) => write!(f, "{}ms", us / 1_000),
            _ => write!(f, "{us}us"),
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Constant(delay) => write!(f, "{}", Short(delay)),
            Self::Uniform { low, high } => write!(f, "{}..{}", Short(low), Short(high)),
            Self::Exponential { mean, cap } => write!(f, "exp:{}..{}", Short(mean), Short(cap)),
            Self::HeavyTail { least, cap } => write!(f, "tail:{}..{}", Short(least), Short(cap)),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        let Self { loss, duplicate, reorder, corrupt, delay } = self;
        let mut comma = "";
        let shares =
            [("drop", loss), ("duplicate", duplicate), ("reorder", reorder), ("corrupt", corrupt)];
        for (key, share) in shares.into_iter().filter(|(_, share)| **share > 0.0) {
            write!(f, "{comma}{key}={share}")?;
            comma = ",";
        }
        if *delay != Delay::NONE {
            write!(f, "{comma}delay={delay}")?;
        }
        Ok(())
    }
}
