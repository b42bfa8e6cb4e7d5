//! What a server says of itself to those who choose among servers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Longest name of a zone, in bytes.
const ZONE_BYTES_MAX: usize = 32;
/// Most labels of one server.
const LABELS_MAX: usize = 16;
/// Longest key or value of a label, in bytes.
const LABEL_BYTES_MAX: usize = 64;
/// The weight of a server that says nothing else.
const WEIGHT_DEFAULT: u32 = 100;
/// The highest weight.
const WEIGHT_MAX: u32 = 10_000;

/// What a server says of itself besides who and where it is: by this clients choose among servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traits {
    /// Where it stands, such as `eu-1a`; clients of the same zone may prefer it. Empty: nowhere.
    pub zone: String,
    /// Its share of the calls beside others, where they go by weight.
    pub weight: u32,
    /// Anything else, for people and scripts.
    pub labels: BTreeMap<String, String>,
}

impl Default for Traits {
    fn default() -> Self {
        Self { zone: String::new(), weight: WEIGHT_DEFAULT, labels: BTreeMap::new() }
    }
}

impl Traits {
    /// Upper bound of its marshalled size, in bytes.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        let labels: usize =
            self.labels.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
        self.zone.len() + labels + 8
    }

    /// Whether a binder takes it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    pub fn check(&self) -> Result<(), String> {
        let check = |what: &str, text: &str, bytes_max: usize| {
            if text.len() > bytes_max {
                return Err(format!(
                    "{what} has at most {bytes_max} bytes, and {} were given",
                    text.len()
                ));
            }
            match text.chars().find(|c| c.is_control()) {
                None => Ok(()),
                Some(c) => Err(format!("{what} has no control characters, and {c:?} was given")),
            }
        };
        check("a zone", &self.zone, ZONE_BYTES_MAX)?;
        if self.weight > WEIGHT_MAX {
            return Err(format!("a weight is at most {WEIGHT_MAX}, and {} was given", self.weight));
        }
        if self.labels.len() > LABELS_MAX {
            return Err(format!(
                "a server has at most {LABELS_MAX} labels, and {} were given",
                self.labels.len()
            ));
        }
        self.labels.iter().try_for_each(|(key, value)| {
            check("a label", key, LABEL_BYTES_MAX)?;
            check("a label", value, LABEL_BYTES_MAX)
        })
    }
}
