//! Versions of interfaces, and what a client may ask for.
//!
//! Knows `major.minor` and requirements on it, such as `1`, `1.2`, `>=1.2, <2` and `*`: the rules of
//! semantic versioning (semver.org) without patch numbers, because a patch says nothing about an
//! interface. Does not know who offers a version.

use std::fmt;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Serialize};

/// An interface's version. Methods are added with the minor number; anything else changes the major.
///
/// Prints as `1.2`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Version {
    /// Interfaces of different majors know nothing of each other.
    pub major: u16,
    /// A higher minor has every method of a lower one.
    pub minor: u16,
}

impl Version {
    /// The version `major.minor`.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let refuse = |flaw| VersionError::new("version", text, flaw);
        check_length(text).map_err(refuse)?;
        match parse_partial(text).map_err(refuse)? {
            Partial { major, minor: Some(minor) } => Ok(Self { major, minor }),
            Partial { minor: None, .. } => Err(refuse(Flaw::NoMinor)),
        }
    }
}

/// Which versions of a service a client can use.
///
/// Comparators separated by commas, all of which must hold. Prints in a form that it parses.
///
/// | written | means |
/// |---|---|
/// | `*` | any |
/// | `1`, `1.x`, `^1` | 1.0 and later, below 2 |
/// | `1.2`, `^1.2` | 1.2 and later, below 2 |
/// | `=1.2` | 1.2 only |
/// | `=1` | the same as `1` |
/// | `>1.2`, `>=1.2`, `<2`, `<=1.4` | as they say; `>1` is 2.0 and later, `<=1` is below 2 |
/// | `>=1.2, <2` | both |
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionRequirement {
    /// Those that there are come first. In place: a binder reads one with every lookup.
    comparators: [Option<Comparator>; COMPARATORS_MAX],
}

/// Longest text of a version or a requirement, in bytes.
pub const REQUIREMENT_BYTES_MAX: usize = 64;
/// Most comparators of one requirement.
pub const COMPARATORS_MAX: usize = 8;

impl VersionRequirement {
    /// Any version: `*`.
    #[must_use]
    pub const fn any() -> Self {
        Self { comparators: [None; COMPARATORS_MAX] }
    }

    /// Every version of a major number: `1.x`.
    #[must_use]
    pub fn major(major: u16) -> Self {
        Self::one(Comparator { op: Op::Compatible, major, minor: None })
    }

    /// `version` and what is compatible with it: `1.2` and later, below 2.
    #[must_use]
    pub fn compatible(version: Version) -> Self {
        let Version { major, minor } = version;
        Self::one(Comparator { op: Op::Compatible, major, minor: Some(minor) })
    }

    fn one(comparator: Comparator) -> Self {
        let mut requirement = Self::any();
        requirement.comparators[0] = Some(comparator);
        requirement
    }

    fn all(&self) -> impl Iterator<Item = &Comparator> {
        self.comparators.iter().map_while(Option::as_ref)
    }

    /// Whether `version` will do.
    #[must_use]
    pub fn matches(&self, version: Version) -> bool {
        self.all().all(|comparator| comparator.matches(version))
    }
}

impl fmt::Display for VersionRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = self.all();
        let Some(first) = all.next() else {
            return f.write_str("*");
        };
        write!(f, "{first}")?;
        all.try_for_each(|comparator| write!(f, ", {comparator}"))
    }
}

impl FromStr for VersionRequirement {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let refuse = |flaw| VersionError::new("version requirement", text, flaw);
        check_length(text).map_err(refuse)?;
        if text.trim() == "*" {
            return Ok(Self::any());
        }
        let mut requirement = Self::any();
        let mut room = requirement.comparators.iter_mut();
        for part in text.split(',') {
            let place = room.next().ok_or_else(|| refuse(Flaw::TooMany))?;
            *place = Some(Comparator::parse(part.trim()).map_err(refuse)?);
        }
        Ok(requirement)
    }
}

/// Travels as its text: a peer's requirement passes the same parser as a person's.
impl Serialize for VersionRequirement {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VersionRequirement {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

/// Reads a requirement where it stands.
struct Text;

impl Visitor<'_> for Text {
    type Value = VersionRequirement;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version requirement")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<VersionRequirement, E> {
        text.parse().map_err(E::custom)
    }
}

/// One bound of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Comparator {
    op: Op,
    major: u16,
    minor: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Op {
    Compatible,
    Exactly,
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// Longest first, so that `>=` is not read as `>`.
const OPERATORS: [(&str, Op); 6] = [
    (">=", Op::AtLeast),
    ("<=", Op::AtMost),
    (">", Op::Above),
    ("<", Op::Below),
    ("=", Op::Exactly),
    ("^", Op::Compatible),
];

impl Comparator {
    fn parse(text: &str) -> Result<Self, Flaw> {
        let (op, rest) = OPERATORS
            .into_iter()
            .find_map(|(sign, op)| text.strip_prefix(sign).map(|rest| (op, rest.trim_start())))
            .unwrap_or((Op::Compatible, text));
        let wild = rest.strip_suffix(".x").or_else(|| rest.strip_suffix(".*"));
        match wild {
            Some(major) => Ok(Self { op, major: parse_number(major)?, minor: None }),
            None => {
                let Partial { major, minor } = parse_partial(rest)?;
                Ok(Self { op, major, minor })
            }
        }
    }

    fn matches(self, version: Version) -> bool {
        let Version { major, minor } = version;
        let same_major = major == self.major;
        let floor = (self.major, self.minor.unwrap_or(0));
        match (self.op, self.minor) {
            (Op::Compatible, _) => same_major && minor >= floor.1,
            (Op::Exactly, None) => same_major,
            (Op::Exactly, Some(wanted)) => same_major && minor == wanted,
            (Op::Above, None) => major > self.major,
            (Op::Above, Some(_)) => (major, minor) > floor,
            (Op::AtLeast, _) => (major, minor) >= floor,
            (Op::Below, _) => (major, minor) < floor,
            (Op::AtMost, None) => major <= self.major,
            (Op::AtMost, Some(_)) => (major, minor) <= floor,
        }
    }
}

impl fmt::Display for Comparator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.op {
            Op::Compatible => "",
            Op::Exactly => "=",
            Op::Above => ">",
            Op::AtLeast => ">=",
            Op::Below => "<",
            Op::AtMost => "<=",
        };
        match (self.op, self.minor) {
            (Op::Compatible, None | Some(0)) => write!(f, "{}.x", self.major),
            (_, None) => write!(f, "{sign}{}", self.major),
            (_, Some(minor)) => write!(f, "{sign}{}.{minor}", self.major),
        }
    }
}

/// `major` or `major.minor`.
struct Partial {
    major: u16,
    minor: Option<u16>,
}

fn parse_partial(text: &str) -> Result<Partial, Flaw> {
    let mut parts = text.split('.');
    let major = parse_number(parts.next().unwrap_or_default())?;
    let minor = parts.next().map(parse_number).transpose()?;
    if parts.next().is_some() {
        return Err(Flaw::Patch);
    }
    Ok(Partial { major, minor })
}

fn parse_number(text: &str) -> Result<u16, Flaw> {
    if text.is_empty() {
        return Err(Flaw::Empty);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Flaw::NotANumber(text.into()));
    }
    text.parse().map_err(|_| Flaw::TooLarge(text.into()))
}

fn check_length(text: &str) -> Result<(), Flaw> {
    if text.len() > REQUIREMENT_BYTES_MAX { Err(Flaw::TooLong) } else { Ok(()) }
}

/// A text that is not a version, or not a requirement: what it is, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionError {
    wanted: &'static str,
    text: Box<str>,
    flaw: Flaw,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Flaw {
    Empty,
    NotANumber(Box<str>),
    TooLarge(Box<str>),
    Patch,
    NoMinor,
    TooLong,
    TooMany,
}

impl VersionError {
    fn new(wanted: &'static str, text: &str, flaw: Flaw) -> Self {
        let shown = text.chars().take(REQUIREMENT_BYTES_MAX).collect::<String>();
        Self { wanted, text: shown.into(), flaw }
    }
}

impl fmt::Display for VersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, text, flaw } = self;
        write!(f, "{text:?} is not a {wanted}: ")?;
        match flaw {
            Flaw::Empty => f.write_str("a number is missing"),
            Flaw::NotANumber(part) => write!(f, "{part:?} is not a number"),
            Flaw::TooLarge(part) => write!(f, "{part} is larger than {}", u16::MAX),
            Flaw::Patch => f.write_str(
                "a version is \"major.minor\" (a patch number says nothing about an interface)",
            ),
            Flaw::NoMinor => f.write_str("a version is \"major.minor\", such as \"1.0\""),
            Flaw::TooLong => write!(f, "it is longer than {REQUIREMENT_BYTES_MAX} bytes"),
            Flaw::TooMany => write!(f, "it has more than {COMPARATORS_MAX} comparators"),
        }
    }
}

impl std::error::Error for VersionError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(text: &str) -> VersionRequirement {
        text.parse().unwrap()
    }

    fn matching(text: &str) -> String {
        let offered = [(0, 9), (1, 0), (1, 1), (1, 2), (1, 9), (2, 0), (2, 3), (3, 0)];
        let fits =
            |&(major, minor): &(u16, u16)| requirement(text).matches(Version::new(major, minor));
        let found = offered.iter().filter(|offer| fits(offer));
        found.map(|(major, minor)| format!("{major}.{minor}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_bare_version_admits_what_is_compatible_with_it() {
        assert_eq!(matching("1"), "1.0 1.1 1.2 1.9");
        assert_eq!(matching("1.x"), "1.0 1.1 1.2 1.9");
        assert_eq!(matching("1.*"), "1.0 1.1 1.2 1.9");
        assert_eq!(matching("^1"), "1.0 1.1 1.2 1.9");
        assert_eq!(matching("1.2"), "1.2 1.9");
        assert_eq!(matching("^1.2"), "1.2 1.9");
        assert_eq!(matching("0"), "0.9");
    }

    #[test]
    fn a_comparator_admits_what_it_says() {
        assert_eq!(matching("=1.2"), "1.2");
        assert_eq!(matching("=1"), "1.0 1.1 1.2 1.9");
        assert_eq!(matching(">1.2"), "1.9 2.0 2.3 3.0");
        assert_eq!(matching(">1"), "2.0 2.3 3.0");
        assert_eq!(matching(">=1.2"), "1.2 1.9 2.0 2.3 3.0");
        assert_eq!(matching("<2"), "0.9 1.0 1.1 1.2 1.9");
        assert_eq!(matching("<=1.1"), "0.9 1.0 1.1");
        assert_eq!(matching("<=1"), "0.9 1.0 1.1 1.2 1.9");
    }

    #[test]
    fn all_comparators_must_hold_and_a_star_admits_everything() {
        assert_eq!(matching(">=1.2, <2"), "1.2 1.9");
        assert_eq!(matching(" >= 1.2 ,<  2 "), "1.2 1.9");
        assert_eq!(matching(">=2, <1"), "");
        assert_eq!(matching("*"), "0.9 1.0 1.1 1.2 1.9 2.0 2.3 3.0");
        assert_eq!(
            matching(&[">=1"; COMPARATORS_MAX - 1].join(",")),
            "1.0 1.1 1.2 1.9 2.0 2.3 3.0"
        );
        assert_eq!(matching(&(">=1,".repeat(COMPARATORS_MAX - 1) + "<1.2")), "1.0 1.1");
    }

    #[test]
    fn a_requirement_prints_in_a_form_that_it_parses() {
        for (written, printed) in [
            ("1", "1.x"),
            ("1.0", "1.x"),
            ("1.2", "1.2"),
            ("^3.4", "3.4"),
            (" >=1.2 , <2", ">=1.2, <2"),
            ("=1", "=1"),
            ("*", "*"),
        ] {
            let parsed = requirement(written);
            assert_eq!(parsed.to_string(), printed);
            for version in [(0, 1), (1, 0), (1, 2), (1, 3), (2, 0), (3, 4), (4, 0)] {
                let version = Version::new(version.0, version.1);
                assert_eq!(requirement(printed).matches(version), parsed.matches(version));
            }
        }
        assert_eq!(VersionRequirement::major(1).to_string(), "1.x");
        assert_eq!(VersionRequirement::compatible(Version::new(1, 2)), requirement("1.2"));
    }

    #[test]
    fn a_text_that_is_no_requirement_is_refused_with_what_is_wrong() {
        let long = "1".repeat(65);
        let many = ["1"; 9].join(",");
        for (text, why) in [
            ("", "\"\" is not a version requirement: a number is missing"),
            ("1,", "\"1,\" is not a version requirement: a number is missing"),
            ("1.", "\"1.\" is not a version requirement: a number is missing"),
            (">=", "\">=\" is not a version requirement: a number is missing"),
            ("one", "\"one\" is not a version requirement: \"one\" is not a number"),
            ("-1", "\"-1\" is not a version requirement: \"-1\" is not a number"),
            ("~1.2", "\"~1.2\" is not a version requirement: \"~1\" is not a number"),
            ("+1", "\"+1\" is not a version requirement: \"+1\" is not a number"),
            ("70000", "\"70000\" is not a version requirement: 70000 is larger than 65535"),
            (
                "1.2.3",
                "\"1.2.3\" is not a version requirement: a version is \"major.minor\" \
                 (a patch number says nothing about an interface)",
            ),
            (
                &many,
                &format!("{many:?} is not a version requirement: it has more than 8 comparators"),
            ),
            (
                &long,
                &format!(
                    "{:?} is not a version requirement: it is longer than 64 bytes",
                    "1".repeat(64)
                ),
            ),
        ] {
            let error = text.parse::<VersionRequirement>().unwrap_err();
            assert_eq!(error.to_string(), why);
        }
    }

    #[test]
    fn a_version_has_two_numbers() {
        assert_eq!("1.2".parse::<Version>().unwrap(), Version::new(1, 2));
        let error = "1".parse::<Version>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"1\" is not a version: a version is \"major.minor\", such as \"1.0\""
        );
        assert!("1.x".parse::<Version>().is_err());
    }

    #[test]
    fn a_requirement_travels_as_text_and_is_checked_on_arrival() {
        let bytes = postcard::to_allocvec(&requirement(">=1.2, <2")).unwrap();
        assert_eq!(
            postcard::from_bytes::<VersionRequirement>(&bytes),
            Ok(requirement(">=1.2, <2"))
        );
        let bytes = postcard::to_allocvec("no requirement").unwrap();
        assert!(postcard::from_bytes::<VersionRequirement>(&bytes).is_err());
    }
}
