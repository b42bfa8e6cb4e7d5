//! For whom the page answers: whoever asks for it by an address, as `localhost`, or by a name that it
//! was given.
//!
//! A foreign site can have a browser send requests here under a name of its own that leads here (DNS
//! rebinding), and would then read the answers. It cannot make an address its own name.

use std::net::IpAddr;

/// Whether `host` (of a `Host` header or a URL: a name or an address, perhaps with a port) means us.
pub(super) fn is_ours(host: &str, names: &[String]) -> bool {
    let Some(name) = without_port(host) else { return false };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

fn without_port(host: &str) -> Option<&str> {
    let end = host.rfind(']').unwrap_or(0);
    let Some((name, port)) = host.rsplit_once(':').filter(|(name, _)| name.len() > end) else {
        return Some(host);
    };
    port.parse::<u16>().ok().map(|_| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_given_names_are_ours_and_others_are_not() {
        let names = ["binder.internal".to_owned()];
        for ours in [
            "127.0.0.1:7080",
            "10.0.0.7",
            "[::1]:7080",
            "[::1]",
            "localhost",
            "LOCALHOST:80",
            "Binder.internal:7080",
        ] {
            assert!(is_ours(ours, &names), "{ours}");
        }
        for theirs in [
            "",
            ":7080",
            "evil.example",
            "evil.example:7080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:evil",
            "[::1",
            "[::1]evil",
            "a@127.0.0.1",
            "localhost:99999",
            "binder.internal.",
        ] {
            assert!(!is_ours(theirs, &names), "{theirs}");
        }
    }
}
