//! The request target: its form, its path and query, the authority it may name, percent-encoding.
//!
//! It knows neither routes nor channels: a segment is text, what it means is decided elsewhere. Text is
//! split first and decoded after, so an encoded slash or ampersand never becomes a separator.
//!
//! ```text
//! http://example.org:8080/publish/caf%C3%A9?ch=lobby&ch=a%26b
//!        '--authority---' '-----path------' '-----query-----'
//! ```
//!
//! Read first: RFC 9112, section 3.2; RFC 3986, sections 2, 3.2 and 3.3; for queries, the URL Standard's
//! section on application/x-www-form-urlencoded.

use core::net::Ipv6Addr;
use std::borrow::Cow;
use std::fmt;

use super::runs::{all, alphanumerics_and, find};

/// Why percent-encoded text can't be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadEscape {
    /// A `%` without two hexadecimal digits behind it.
    Digits,
    /// The decoded bytes are no UTF-8.
    Utf8,
}

impl fmt::Display for BadEscape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadEscape::Digits => "Write a percent sign as %25; each % needs two hexadecimal digits.",
            BadEscape::Utf8 => "Percent-encode text as UTF-8.",
        })
    }
}

impl std::error::Error for BadEscape {}

/// A path and a query, still encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    path: &'a str,
    query: &'a str,
}

impl<'a> Target<'a> {
    /// Splits at the first `?`. An empty path is `/`. RFC 9110, section 4.2.3.
    pub fn parse(path_and_query: &'a str) -> Target<'a> {
        let (path, query) = split_at_byte(path_and_query, b'?').unwrap_or((path_and_query, ""));
        Target { path: if path.is_empty() { "/" } else { path }, query }
    }

    /// The path as it was sent, for routes whose names need no escapes.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The query as it was sent, without its `?`; empty when there is none.
    pub fn raw_query(&self) -> &'a str {
        self.query
    }

    /// The segments between slashes, decoded as they are asked for. `/` is one empty segment and `/a/` is
    /// `a` and an empty one. Dots have no meaning: nothing here is a file.
    pub fn segments(&self) -> impl Iterator<Item = Result<Cow<'a, str>, BadEscape>> + use<'a> {
        self.path.strip_prefix('/').unwrap_or(self.path).split('/').map(decode)
    }

    /// The parameters in order, repeated ones too, decoded as they are asked for. A parameter without `=`
    /// has an empty value; empty ones (`a=1&&b=2`) are passed over.
    pub fn query(&self) -> impl Iterator<Item = Result<Parameter<'a>, BadEscape>> + use<'a> {
        // Most queries are: then nobody looks at each part of them.
        let is_decoded = all(self.query.as_bytes(), |byte| (byte != b'%') & (byte != b'+'));
        let mut rest = Some(self.query);
        let pairs = std::iter::from_fn(move || {
            let all = rest?;
            let split = split_at_byte(all, b'&');
            rest = split.map(|(_, more)| more);
            Some(split.map_or(all, |(pair, _)| pair))
        });
        pairs.filter(|pair| !pair.is_empty()).map(move |pair| {
            let (key, value) = split_at_byte(pair, b'=').unwrap_or((pair, ""));
            match is_decoded {
                true => Ok((Cow::Borrowed(key), Cow::Borrowed(value))),
                false => Ok((decode_form(key)?, decode_form(value)?)),
            }
        })
    }
}

/// A key and its value, decoded; borrowed when there was nothing to decode.
pub type Parameter<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Decodes a path segment. Strict: what is no escape is no guess either.
pub fn decode(text: &str) -> Result<Cow<'_, str>, BadEscape> {
    let Some(first) = find(text.as_bytes(), b'%') else {
        return Ok(Cow::Borrowed(text));
    };
    let mut bytes = Vec::with_capacity(text.len());
    bytes.extend_from_slice(&text.as_bytes()[..first]);
    let mut rest = text.as_bytes()[first..].iter();
    while let Some(&byte) = rest.next() {
        if byte == b'%' {
            let high = rest.next().and_then(hex).ok_or(BadEscape::Digits)?;
            let low = rest.next().and_then(hex).ok_or(BadEscape::Digits)?;
            bytes.push(high << 4 | low);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| BadEscape::Utf8)
}

/// Decodes a key or a value of a query or a form, where `+` is a space.
pub fn decode_form(text: &str) -> Result<Cow<'_, str>, BadEscape> {
    if find(text.as_bytes(), b'+').is_some() {
        let spaced = text.replace('+', " ");
        return Ok(Cow::Owned(decode(&spaced)?.into_owned()));
    }
    decode(text)
}

/// Encodes text for one path segment or one query value. Only what RFC 3986, section 2.3 calls unreserved
/// stays as it is, so the same bytes are right in both places.
pub fn encode(text: &str) -> Cow<'_, str> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if text.bytes().all(is_unreserved) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if is_unreserved(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(DIGITS[usize::from(byte >> 4)]));
            encoded.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    Cow::Owned(encoded)
}

/// Splits an absolute-form target into its authority and what follows it. `None` for any other form and
/// for schemes that are not HTTP's. RFC 9112, section 3.2.2.
pub fn split_absolute(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    Some(rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())))
}

/// `uri-host [ ":" port ]`, as the Host field carries it. RFC 9110, section 7.2. All of it is ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    text: &'a [u8],
    name: &'a [u8],
}

impl<'a> Authority<'a> {
    /// Reads one. An empty host is refused (RFC 9110, section 4.2.1), and so are user names, IPvFuture
    /// addresses, of which there are none, and commas: what the grammar allows in a name is to some programs
    /// a list of two hosts.
    pub fn parse(text: &'a [u8]) -> Option<Authority<'a>> {
        let name_len = match text.first()? {
            b'[' => find(text, b']')? + 1,
            _ => find(text, b':').unwrap_or(text.len()),
        };
        let (name, port) = text.split_at(name_len);
        let is_name = match name {
            [b'[', address @ .., b']'] => is_ipv6(address),
            _ => is_reg_name(name),
        };
        let is_whole = port.is_empty() || port.strip_prefix(b":").is_some_and(is_port);
        (is_name && is_whole).then_some(Authority { text, name })
    }

    /// As it was sent.
    pub fn as_str(&self) -> &'a str {
        str::from_utf8(self.text).unwrap_or_default()
    }

    /// Without the port. Brackets around an IPv6 address stay.
    pub fn name(&self) -> &'a [u8] {
        self.name
    }
}

/// A zone ("%eth0") means something on the sender's machine alone; `Ipv6Addr` parses none.
fn is_ipv6(address: &[u8]) -> bool {
    str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// RFC 3986, section 3.2.3 lets a port be empty; more than 16 bits name nothing.
fn is_port(digits: &[u8]) -> bool {
    let number = digits.iter().try_fold(0_u16, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit as u16)
    });
    number.is_some()
}

/// RFC 3986, section 3.2.2. IPv4 addresses are in this set too.
fn is_reg_name(name: &[u8]) -> bool {
    /// All that needs no decoding.
    const PLAIN: [bool; 256] = alphanumerics_and(b"-._~!$&'()*+;=");
    let is_plain = |byte| PLAIN[usize::from(byte)];
    let is_encoded = || {
        let is_ascii = all(name, |byte| is_plain(byte) | (byte == b'%'));
        is_ascii && str::from_utf8(name).is_ok_and(|name| decode(name).is_ok())
    };
    !name.is_empty() && (all(name, is_plain) || is_encoded())
}

/// Splits at an ASCII character. Keys and values are so short that a plain loop has found it before a search
/// by words has begun.
fn split_at_byte(text: &str, at: u8) -> Option<(&str, &str)> {
    let place = text.bytes().position(|byte| byte == at)?;
    Some((&text[..place], &text[place + 1..]))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn hex(digit: &u8) -> Option<u8> {
    // A hexadecimal digit is below 16: the cast loses nothing.
    char::from(*digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_authority(text: &str) -> bool {
        Authority::parse(text.as_bytes()).is_some()
    }

    fn pairs(target: &str) -> Vec<(String, String)> {
        let pairs: Result<Vec<_>, _> = Target::parse(target).query().collect();
        let pairs = pairs.expect("a valid query");
        pairs.into_iter().map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
    }

    fn segments(target: &str) -> Vec<String> {
        let segments: Result<Vec<_>, _> = Target::parse(target).segments().collect();
        segments.expect("a valid path").into_iter().map(Cow::into_owned).collect()
    }

    #[test]
    fn path_and_query_split_at_the_first_question_mark() {
        let target = Target::parse("/a/b?c=d?e");
        assert_eq!((target.path(), target.raw_query()), ("/a/b", "c=d?e"));
        assert_eq!(Target::parse("/a").raw_query(), "");
        assert_eq!(Target::parse("?x=1").path(), "/");
    }

    #[test]
    fn segments_split_before_they_decode() {
        assert_eq!(segments("/publish/caf%C3%A9"), ["publish", "café"]);
        assert_eq!(segments("/a%2Fb/c+d"), ["a/b", "c+d"]);
        assert_eq!(segments("/"), [""]);
        assert_eq!(segments("/a/"), ["a", ""]);
        assert_eq!(segments("/../a"), ["..", "a"]);
    }

    #[test]
    fn query_keeps_order_and_repeats() {
        let expected = [("ch", "lobby"), ("ch", "a&b"), ("since", ""), ("x", "1=2"), ("s", "a b+c")];
        let found = pairs("/sse?ch=lobby&ch=a%26b&since&&x=1=2&s=a+b%2Bc&");
        assert_eq!(found.iter().map(|(k, v)| (&**k, &**v)).collect::<Vec<_>>(), expected);
        assert!(pairs("/sse").is_empty());
        assert!(pairs("/sse?").is_empty());
    }

    #[test]
    fn decode_refuses_what_is_no_escape() {
        for text in ["%", "%4", "a%", "%zz", "%+1", "%-1", "%%41", "% 1", "%u0041"] {
            assert_eq!(decode(text), Err(BadEscape::Digits), "{text}");
        }
        for text in ["%FF", "%C3", "%C0%AF", "%ED%A0%80"] {
            assert_eq!(decode(text), Err(BadEscape::Utf8), "{text}");
        }
        assert_eq!(Target::parse("/?a=%zz").query().next(), Some(Err(BadEscape::Digits)));
        assert_eq!(decode_form("+%2"), Err(BadEscape::Digits));
    }

    #[test]
    fn decode_borrows_when_there_is_nothing_to_do() {
        assert!(matches!(decode("lobby"), Ok(Cow::Borrowed("lobby"))));
        assert!(matches!(encode("lobby"), Cow::Borrowed("lobby")));
    }

    #[test]
    fn encode_and_decode_are_twins() {
        let every: String = (0..0x250).filter_map(char::from_u32).chain("€😀 /?#&=+%".chars()).collect();
        assert_eq!(decode(&encode(&every)).as_deref(), Ok(&*every));
        assert_eq!(decode_form(&encode(&every)).as_deref(), Ok(&*every));
        assert_eq!(encode("a b/ü"), "a%20b%2F%C3%BC");
    }

    #[test]
    fn absolute_form_splits_behind_the_authority() {
        assert_eq!(split_absolute("http://a:80/b?c"), Some(("a:80", "/b?c")));
        assert_eq!(split_absolute("HTTPS://a?c"), Some(("a", "?c")));
        assert_eq!(split_absolute("http://a"), Some(("a", "")));
        assert_eq!(split_absolute("ftp://a/"), None);
        assert_eq!(split_absolute("/http"), None);
    }

    #[test]
    fn authorities_valid() {
        for text in
            ["a", "example.org", "a_b:8080", "127.0.0.1:80", "a:", "[::1]", "[::1]:80", "[fe80::1]:", "a%20b"]
        {
            assert!(is_authority(text), "{text}");
        }
        assert!(is_authority("[::ffff:127.0.0.1]:65535"));
    }

    #[test]
    fn authorities_invalid() {
        for text in [
            "",
            ":80",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:+80",
            "a:-1",
            "u@a",
            "a/b",
            "a b",
            "a?b",
            "a#b",
            "a,b",
            "a\\b",
            "[::1",
            "::1",
            "[]",
            "[::1]80",
            "[::1]:x",
            "[fe80::1%eth0]",
            "[v1.x]",
            "[127.0.0.1]",
            "a%2",
            "a\"b",
            "<a>",
            "a%ff",
        ] {
            assert!(!is_authority(text), "{text}");
        }
    }
}
