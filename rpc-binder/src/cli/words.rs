//! What the words of the command line stand for: durations, places, servers, methods.
//!
//! Does not know which command they belong to.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use rpc_runtime::binder::model::check_name;
use rpc_runtime::ids::ServerId;
use rpc_runtime::time::Duration;

/// A method of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The service's name.
    pub service: String,
    /// The method's name on the wire.
    pub method: String,
}

/// Where registrations last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// In this folder.
    In(PathBuf),
    /// In the cluster of this URL, for all binders before it.
    Etcd(String),
    /// Nowhere: a binder that restarts knows nobody.
    Nowhere,
}

impl Lasting {
    /// Where they last unless somebody says otherwise: where services of the system keep their state if
    /// it is one of them, else among the user's own files.
    ///
    /// # Errors
    ///
    /// The environment names no folder for it.
    pub fn by_default(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        let folder = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let of_user = || folder("HOME").map(|home| home.join(".local/state"));
        let of_user = || folder("XDG_STATE_HOME").or_else(of_user);
        let place = folder("STATE_DIRECTORY").or_else(|| Some(of_user()?.join("rpc-binder")));
        let nowhere = "no HOME is set: say where registrations are to last: --store FOLDER";
        place.map(Self::In).ok_or_else(|| nowhere.to_owned())
    }
}

/// Shortest lease, so that a renewal can be lost and repeated in time.
const LEASE_MIN: Duration = Duration::from_millis(100);
/// Longest lease: a dead server is believed that long.
const LEASE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn parse_lease(text: &str) -> Result<Duration, String> {
    let lease = parse_duration(text)?;
    if (LEASE_MIN..=LEASE_MAX).contains(&lease) {
        Ok(lease)
    } else {
        Err("a lease is between 100ms and 24h".into())
    }
}

pub(super) fn parse_place(text: &str) -> Result<Lasting, String> {
    match text {
        "none" => Ok(Lasting::Nowhere),
        etcd if etcd.starts_with("etcd:") => parse_etcd(etcd),
        folder => Ok(Lasting::In(folder.into())),
    }
}

#[cfg(feature = "etcd")]
fn parse_etcd(text: &str) -> Result<Lasting, String> {
    crate::store::EtcdUrl::parse(text).map(|url| Lasting::Etcd(url.to_string()))
}

#[cfg(not(feature = "etcd"))]
fn parse_etcd(_text: &str) -> Result<Lasting, String> {
    Err("this binder was built without the feature `etcd`".into())
}

pub(super) fn parse_http(text: &str) -> Result<SocketAddr, String> {
    let text = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let local = text.strip_prefix("localhost:").unwrap_or(text);
    if let Ok(port) = local.parse() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse()
        .map_err(|_| "write an address and a port, such as 127.0.0.1:7080, or a port".into())
}

pub(super) fn parse_name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

pub(super) fn parse_server(text: &str) -> Result<ServerId, String> {
    let id = u64::from_str_radix(text, 16).ok().filter(|_| !text.starts_with('+'));
    id.map(ServerId).filter(|id| id.is_some()).ok_or_else(|| {
        format!("{text:?} is no server's id: those of `list` have up to 16 digits, 0-9 and a-f")
    })
}

pub(super) fn parse_target(text: &str) -> Result<Target, String> {
    match text.rsplit_once('.') {
        Some((service, method)) if !method.is_empty() => {
            Ok(Target { service: parse_name(service)?, method: method.to_owned() })
        }
        Some(_) | None => Err(format!("{text:?} names no method: write service.method")),
    }
}

/// Reads a duration: numbers with units (us, ms, s, m, h), such as `500ms`, `2s` or `1m 30s`.
///
/// # Errors
///
/// What is wrong with it, for people.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let example = "a duration is a number with a unit, such as 500ms, 2s or \"1m 30s\"";
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_| example.to_owned())?;
        let micros: u64 = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "" => return Err(format!("{text:?} has no unit: {example}")),
            _ => return Err(format!("unknown unit {unit:?}: {example} (units: us, ms, s, m, h)")),
        };
        let part = number.checked_mul(micros).map(Duration::from_micros);
        total = part
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| format!("{text:?} is too long"))?;
        rest = tail.trim_start();
    }
    if total.is_zero() { Err(format!("{text:?} is no time at all: {example}")) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrations_last_among_the_users_files_unless_told() {
        let with = |set: &[(&str, &str)]| {
            let set: std::collections::BTreeMap<_, _> = set.iter().copied().collect();
            Lasting::by_default(|name| set.get(name).map(OsString::from))
        };
        let home = ("HOME", "/home/ann");
        assert_eq!(with(&[home]), Ok(Lasting::In("/home/ann/.local/state/rpc-binder".into())));
        assert_eq!(
            with(&[home, ("XDG_STATE_HOME", "/var/x")]),
            Ok(Lasting::In("/var/x/rpc-binder".into()))
        );
        assert_eq!(
            with(&[home, ("STATE_DIRECTORY", "/var/lib/binder")]),
            Ok(Lasting::In("/var/lib/binder".into()))
        );
        assert!(with(&[("HOME", "")]).unwrap_err().contains("--store FOLDER"));
    }

    #[test]
    fn durations_are_numbers_with_units() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("2h5us"), Ok(Duration::from_micros(7_200_000_005)));
        for wrong in ["", "0s", "s", "-1s", "1.5s", "2 sec", "99999999999999999999h", "9999999999h"]
        {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
