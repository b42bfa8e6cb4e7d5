//! `binder://` URLs: a client configured by one string.
//!
//! `binder://127.0.0.1:7000/bank?version=1` means: ask the binder at `udp://127.0.0.1:7000` for the
//! service `bank` in a version that `1` admits. Another transport to the binder is named as
//! `binder+SCHEME://`, for instance `binder+sim://names/bank`. Does not know how binders are asked.

use super::model::check_name;
use super::version::VersionRequirement;

/// What a `binder://` URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinderUrl {
    /// The binder's own URL.
    pub binder: String,
    /// The service's name.
    pub name: String,
    /// The versions that will do; `None` leaves it to the client's interface.
    pub version: Option<VersionRequirement>,
}

impl BinderUrl {
    /// Whether `url` means to be one.
    #[must_use]
    pub fn is_meant(url: &str) -> bool {
        url.starts_with("binder://") || url.starts_with("binder+")
    }

    /// Takes a URL apart.
    ///
    /// # Errors
    ///
    /// What is wrong with it and what to write, for people.
    pub fn parse(url: &str) -> Result<Self, String> {
        const FORM: &str = "write binder://HOST:PORT/NAME or binder://HOST:PORT/NAME?version=1";
        let flaw = |what: &str| format!("{url:?} is no URL of a service: {what}; {FORM}");
        let (scheme, rest) = url.split_once("://").ok_or_else(|| flaw("it has no scheme"))?;
        let scheme = match scheme.strip_prefix("binder") {
            Some("") => "udp",
            Some(other) if other.len() > 1 && other.starts_with('+') => &other[1..],
            _ => return Err(flaw("its scheme is not binder")),
        };
        let (place, rest) = rest.split_once('/').ok_or_else(|| flaw("it names no service"))?;
        if place.is_empty() {
            return Err(flaw("it names no binder"));
        }
        let (name, query) = match rest.split_once('?') {
            Some((name, query)) => (name, Some(query)),
            None => (rest, None),
        };
        check_name(name).map_err(|what| flaw(&what))?;
        let version = query.map(parse_query).transpose().map_err(|what| flaw(&what))?;
        Ok(Self { binder: format!("{scheme}://{place}"), name: name.to_owned(), version })
    }
}

fn parse_query(query: &str) -> Result<VersionRequirement, String> {
    match query.split_once('=') {
        Some(("version", text)) if !text.contains('&') => {
            decode(text)?.parse().map_err(|error| format!("{error}"))
        }
        _ => Err(format!("{query:?} is not version=REQUIREMENT")),
    }
}

/// Undoes `%20` and its like, which a shell or a configuration file may need for `>=1.2, <2`.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(*high).zip(digit(*low)).map(|(high, low)| high * 16 + low);
                let value = value.and_then(|value| u8::try_from(value).ok());
                bytes.push(value.ok_or("a % is not followed by two hexadecimal digits")?);
                tail
            }
            (b'%', _) => return Err("a % is not followed by two hexadecimal digits".into()),
            _ => {
                bytes.push(first);
                tail
            }
        };
    }
    String::from_utf8(bytes).map_err(|_| "its version is not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> (String, String, String) {
        let BinderUrl { binder, name, version } = BinderUrl::parse(url).unwrap();
        (binder, name, version.map_or("none".into(), |version| version.to_string()))
    }

    #[test]
    fn a_url_names_a_binder_a_service_and_versions() {
        let expected = |binder: &str, name: &str, version: &str| {
            (binder.to_owned(), name.to_owned(), version.to_owned())
        };
        assert_eq!(
            parsed("binder://127.0.0.1:7000/bank"),
            expected("udp://127.0.0.1:7000", "bank", "none")
        );
        assert_eq!(
            parsed("binder://[::1]:7000/bank?version=1"),
            expected("udp://[::1]:7000", "bank", "1.x")
        );
        assert_eq!(
            parsed("binder+sim://names/rpc.bank?version=%3e%3D1.2,%20<2"),
            expected("sim://names", "rpc.bank", ">=1.2, <2")
        );
    }

    #[test]
    fn a_url_that_is_none_says_what_is_wrong_and_what_to_write() {
        for (url, what) in [
            ("bank", "it has no scheme"),
            ("binders://h:1/bank", "its scheme is not binder"),
            ("binder+://h:1/bank", "its scheme is not binder"),
            ("binder://h:1", "it names no service"),
            ("binder:///bank", "it names no binder"),
            ("binder://h:1/", "a service needs a name"),
            ("binder://h:1/Bank", "\"Bank\" cannot name a service: 'B' is none of a-z 0-9 . _ -"),
            ("binder://h:1/bank?v=1", "\"v=1\" is not version=REQUIREMENT"),
            ("binder://h:1/bank?version=1&x=2", "\"version=1&x=2\" is not version=REQUIREMENT"),
            (
                "binder://h:1/bank?version=one",
                "\"one\" is not a version requirement: \"one\" is not a number",
            ),
            ("binder://h:1/bank?version=%3", "a % is not followed by two hexadecimal digits"),
            ("binder://h:1/bank?version=%zz", "a % is not followed by two hexadecimal digits"),
            ("binder://h:1/bank?version=%ff", "its version is not UTF-8"),
        ] {
            assert_eq!(
                BinderUrl::parse(url).unwrap_err(),
                format!(
                    "{url:?} is no URL of a service: {what}; write binder://HOST:PORT/NAME or \
                     binder://HOST:PORT/NAME?version=1"
                )
            );
        }
    }

    #[test]
    fn other_urls_are_left_to_others() {
        assert!(BinderUrl::is_meant("binder://h:1/bank"));
        assert!(BinderUrl::is_meant("binder+sim://h/bank"));
        assert!(!BinderUrl::is_meant("udp://h:1"));
    }
}
