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
use crate::wire::target::Authority;

/// Lets a request pass that calls the server by one of its names. With no list every name is one, and so it
/// is with `*` in it. Who says no name at all speaks HTTP/1.0, and is no browser.
///
/// # Errors
/// 421 (RFC 9110, section 15.5.20), with what the operator has to do if the name is right.
pub fn admit(allowed: Option<&[String]>, host: Option<Authority<'_>>) -> Result<(), Refusal> {
    let (Some(allowed), Some(host)) = (allowed, host) else { return Ok(()) };
    let name = host.name();
    if is_address_or_local(name) || allowed.iter().any(|one| is_meant(one, name)) {
        return Ok(());
    }
    let sentence =
        "This server is not known by the name in Host; start encke with --host NAME if it is its own.";
    Err(Refusal::new(421, "unknown_host", sentence))
}

/// A name as `--host` takes it: one that browsers send in a Host field, without a port. `*` is every one,
/// `*.` in front every one below the rest.
pub fn parse(text: &str) -> Option<String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let host = Authority::parse(name.as_bytes()).filter(|host| host.name() == name.as_bytes());
    let sent = host.and_then(|host| as_sent(host.name()));
    let is_name = sent.is_some_and(|sent| name == text || !is_address(&sent));
    (is_name || text == "*").then(|| text.to_owned())
}

/// A host in the spelling that browsers send: in lower case, an address in its shortest form. None for one
/// that they never send: to them a last label of digits begins an address, and what is no letter, digit,
/// hyphen or underscore is not in a name.
pub fn as_sent(host: &[u8]) -> Option<String> {
    if let Some(address) = address_of(host) {
        return Some(match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        });
    }
    let name = str::from_utf8(host).ok()?.to_ascii_lowercase();
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let whole = name.strip_suffix('.').unwrap_or(&name);
    let is_number =
        whole.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    (!is_number && whole.split('.').all(is_label)).then_some(name)
}

/// Whether a host is an address.
pub fn is_address(host: &str) -> bool {
    address_of(host.as_bytes()).is_some()
}

fn is_meant(one: &str, name: &[u8]) -> bool {
    let Some(rest) = one.strip_prefix('*') else { return is_same(one.as_bytes(), name) };
    let (rest, name) = (without_dot(rest.as_bytes()), without_dot(name));
    let (above, below) = name.split_at(name.len().saturating_sub(rest.len()));
    rest.is_empty() || (!above.is_empty() && below.eq_ignore_ascii_case(rest))
}

/// Names ignore case, and a dot at the end says only that they are whole (RFC 1034, section 3.1).
fn is_same(one: &[u8], other: &[u8]) -> bool {
    without_dot(one).eq_ignore_ascii_case(without_dot(other))
}

fn without_dot(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
}

/// Whether a Host calls this machine as only its own programs can: `localhost`, or a loopback address.
pub fn is_loopback(host: Authority<'_>) -> bool {
    let name = host.name();
    is_localhost(name) || address_of(name).is_some_and(|address| address.is_loopback())
}

/// Whether a name of the list is one that only this machine's own programs can mean.
pub fn is_own(name: &str) -> bool {
    Authority::parse(name.as_bytes()).is_some_and(is_loopback)
}

fn is_address_or_local(name: &[u8]) -> bool {
    is_localhost(name) || address_of(name).is_some()
}

fn address_of(name: &[u8]) -> Option<IpAddr> {
    match name {
        [b'[', address @ .., b']'] => str::from_utf8(address).ok()?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        [.., b'0'..=b'9'] => str::from_utf8(name).ok()?.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        _ => None,
    }
}

fn is_localhost(name: &[u8]) -> bool {
    let Some((above, last)) = without_dot(name).split_last_chunk::<9>() else { return false };
    // Nearly all write it like this, which takes two comparisons to see.
    let is_it = last == b"localhost" || last.eq_ignore_ascii_case(b"localhost");
    is_it && matches!(above, [] | [.., b'.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(host: &str) -> Option<Authority<'_>> {
        Some(Authority::parse(host.as_bytes()).expect("a good host"))
    }

    fn status(allowed: &[&str], host: &str) -> u16 {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        admit(Some(&allowed), named(host)).map_or_else(|refusal| refusal.status, |()| 200)
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
            assert!(admit(None, named(host)).is_ok());
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
        assert_eq!(parse("*.chat.example").as_deref(), Some("*.chat.example"));
        assert_eq!(parse("[::1]").as_deref(), Some("[::1]"));
        for text in [
            "",
            "chat.example:80",
            "http://chat.example",
            "chat.example/",
            "a b",
            "*chat.example",
            "a.*.example",
            "*.*.example",
            "*.192.0.2.1",
            "127.1",
            "b\u{fc}cher.example",
            "a%2eb",
            "a..b",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_below_a_name() {
        for host in ["a.chat.example", "A.B.Chat.Example.", "a.chat.example:443"] {
            assert_eq!(status(&["*.chat.example"], host), 200, "{host}");
        }
        for host in ["chat.example", "achat.example", "a.chat.example.evil.example", "x.example"] {
            assert_eq!(status(&["*.chat.example"], host), 421, "{host}");
        }
    }
}
