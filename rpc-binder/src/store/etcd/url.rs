//! `etcd://` URLs: where a cluster is, and under which prefix its binders keep what they keep.

use std::fmt;

/// Most endpoints.
const ENDPOINTS_MAX: usize = 16;
/// Longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 64;
/// The prefix of a URL that names none.
const PREFIX: &str = "rpc-binder";
const FORM: &str = "write etcd://HOST:PORT,HOST:PORT,HOST:PORT/PREFIX";

/// What an `etcd://` URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdUrl {
    /// The cluster's members, `host:port` each.
    pub endpoints: Vec<String>,
    /// What stands before all keys. Binders of the same prefix serve the same registrations.
    pub prefix: String,
}

impl EtcdUrl {
    /// Whether `text` means to be one.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("etcd:")
    }

    /// Takes a URL apart.
    ///
    /// # Errors
    ///
    /// What is wrong with it and what to write, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let flaw = |what: &str| format!("{text:?} names no etcd: {what}; {FORM}");
        let rest =
            text.strip_prefix("etcd://").ok_or_else(|| flaw("it does not begin with etcd://"))?;
        let (places, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { PREFIX } else { prefix };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        if prefix.len() > PREFIX_BYTES_MAX || !prefix.bytes().all(is_plain) {
            let what = format!("a prefix has at most {PREFIX_BYTES_MAX} of a-z A-Z 0-9 . _ - /");
            return Err(flaw(&what));
        }
        let endpoints: Vec<String> =
            places.split(',').map(|place| place.trim().to_owned()).collect();
        if endpoints.len() > ENDPOINTS_MAX {
            return Err(flaw(&format!("there are more than {ENDPOINTS_MAX} endpoints")));
        }
        match endpoints.iter().find(|place| !is_endpoint(place)) {
            Some(place) => Err(flaw(&format!("{place:?} is no HOST:PORT"))),
            None => Ok(Self { endpoints, prefix: prefix.to_owned() }),
        }
    }
}

impl fmt::Display for EtcdUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "etcd://{}/{}", self.endpoints.join(","), self.prefix)
    }
}

fn is_endpoint(place: &str) -> bool {
    let Some((host, port)) = place.rsplit_once(':') else { return false };
    let of_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
    let is_v6 = host.starts_with('[') && host.ends_with(']');
    !host.is_empty()
        && host.bytes().all(of_host)
        && (is_v6 || !host.contains([':', '[', ']']))
        && port.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_endpoints_and_a_prefix() {
        let url = EtcdUrl::parse("etcd://a:2379,10.0.0.2:1, [::1]:2/shop/binder/").unwrap();
        assert_eq!(url.endpoints, ["a:2379", "10.0.0.2:1", "[::1]:2"]);
        assert_eq!(url.prefix, "shop/binder");
        assert_eq!(url.to_string(), "etcd://a:2379,10.0.0.2:1,[::1]:2/shop/binder");
        assert_eq!(EtcdUrl::parse("etcd://a:1").unwrap().prefix, "rpc-binder");
        assert_eq!(EtcdUrl::parse("etcd://a:1/").unwrap().prefix, "rpc-binder");
    }

    #[test]
    fn a_url_that_is_none_says_what_is_wrong_and_what_to_write() {
        let many = vec!["a:1"; 17].join(",");
        for (url, what) in [
            ("etcd:a:1", "it does not begin with etcd://"),
            ("etcd://", "\"\" is no HOST:PORT"),
            ("etcd://a", "\"a\" is no HOST:PORT"),
            ("etcd://a:0", "\"a:0\" is no HOST:PORT"),
            ("etcd://a:1,,b:2", "\"\" is no HOST:PORT"),
            ("etcd://::1:2", "\"::1:2\" is no HOST:PORT"),
            ("etcd://a b:2", "\"a b:2\" is no HOST:PORT"),
            ("etcd://user@a:2", "\"user@a:2\" is no HOST:PORT"),
            ("etcd://a:1/x y", "a prefix has at most 64 of a-z A-Z 0-9 . _ - /"),
            (&format!("etcd://{many}"), "there are more than 16 endpoints"),
        ] {
            let expected = format!("{url:?} names no etcd: {what}; {FORM}");
            assert_eq!(EtcdUrl::parse(url).unwrap_err(), expected);
        }
    }
}
