//! By which names the server may be called: a guard against DNS rebinding.
//!
//! It knows no route. A hostile site can have its own name point at this machine once its page is loaded.
//! To the browser the page is then one of this server's own, and only the name in `Host` tells. An address
//! can't be made to point elsewhere, and nobody but this machine says what `localhost` is, so both are always
//! good; other names are those that whoever runs the server has listed.
//!
//! Read first: RFC 9110, sections 7.2 and 17.1; RFC 6761, section 6.3 (localhost).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::refusal::Refusal;

/// Lets a request pass that calls the server by one of its names. With no list every name is one, and so it
/// is with `*` in it. Who says no name at all speaks HTTP/1.0, and is no browser.
///
/// # Errors
/// 421 (RFC 9110, section 15.5.20), with what the operator has to do if the name is right.
pub fn admit(allowed: Option<&[String]>, host: Option<&str>) -> Result<(), Refusal> {
    let (Some(allowed), Some(host)) = (allowed, host) else { return Ok(()) };
    if is_address_or_local(name_of(host)) || allowed.iter().any(|one| one == "*" || is_same(one, host)) {
        return Ok(());
    }
    let sentence =
        "This server is not known by the name in Host; start encke with --host NAME if it is its own.";
    Err(Refusal::new(421, "unknown_host", sentence))
}

/// A name as `--host` takes it: one that could stand in a Host field, without a port. `*` is every one.
pub fn parse(text: &str) -> Option<String> {
    let is_name = crate::wire::target::is_authority(text) && name_of(text) == text;
    (is_name || text == "*").then(|| text.to_owned())
}

/// Names ignore case, and a dot at the end says only that they are whole (RFC 1034, section 3.1).
fn is_same(one: &str, host: &str) -> bool {
    let whole = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    whole(one) == whole(name_of(host))
}

/// What stands before the port. Brackets around an IPv6 address stay.
fn name_of(host: &str) -> &str {
    let last = host.bytes().rposition(|byte| matches!(byte, b':' | b']'));
    last.filter(|at| host.as_bytes()[*at] == b':').map_or(host, |at| &host[..at])
}

/// Whether a Host calls this machine as only its own programs can: `localhost`, or a loopback address.
pub fn is_loopback(host: &str) -> bool {
    let name = name_of(host);
    is_localhost(name) || address_of(name).is_some_and(|address| address.is_loopback())
}

fn is_address_or_local(name: &str) -> bool {
    is_localhost(name) || address_of(name).is_some()
}

fn address_of(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

fn is_localhost(name: &str) -> bool {
    let whole = name.strip_suffix('.').unwrap_or(name).as_bytes();
    let Some((above, last)) = whole.split_last_chunk::<9>() else { return false };
    last.eq_ignore_ascii_case(b"localhost") && matches!(above, [] | [.., b'.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(allowed: &[&str], host: &str) -> u16 {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        admit(Some(&allowed), Some(host)).map_or_else(|refusal| refusal.status, |()| 200)
    }

    #[test]
    fn addresses_and_localhost_are_always_good() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "192.168.1.7:80",
            "[::1]",
            "[::1]:8080",
            "[2001:db8::1]:80",
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "app.localhost:8080",
        ] {
            assert_eq!(status(&[], host), 200, "{host}");
        }
    }

    #[test]
    fn other_names_are_those_on_the_list() {
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example"]
        {
            assert_eq!(status(&[], host), 421, "{host}");
            assert_eq!(status(&["chat.example"], host), 421, "{host}");
            assert_eq!(status(&["*"], host), 200, "{host}");
            assert!(admit(None, Some(host)).is_ok());
        }
        for host in ["chat.example", "CHAT.example.:443", "chat.example:8080"] {
            assert_eq!(status(&["other.example", "chat.example"], host), 200, "{host}");
        }
        // To a browser these are names, and names may point anywhere.
        for host in ["evillocalhost", "127.1", "0x7f000001", "2130706433", "127.0.0.1."] {
            assert_eq!(status(&[], host), 421, "{host}");
        }
        assert!(admit(Some(&[]), None).is_ok(), "HTTP/1.0 needs no Host");
    }

    #[test]
    fn names_for_the_list() {
        assert_eq!(parse("chat.example").as_deref(), Some("chat.example"));
        assert_eq!(parse("*").as_deref(), Some("*"));
        for text in ["", "chat.example:80", "http://chat.example", "chat.example/", "a b"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
