//! The WebSocket opening handshake, server's side.
//!
//! It does not know how a request was read ([`Request`] is all it asks of one), nor who may connect: origins
//! and tokens are the server's business.
//!
//! Read first: RFC 6455, section 4.2, and 11.3 for the fields; RFC 9110, section 7.8, on `Upgrade`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::extensions::{self, Deflate};
use super::http::{Head, Version, is_token_byte};
use super::runs;

/// Appended to the client's key before it is hashed, so that no cache or web server answers by accident.
/// RFC 6455, section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Characters of a key, which encodes sixteen bytes, without its padding.
const KEY_DIGITS: usize = 22;

/// Bytes of `Sec-WebSocket-Accept`: the base64 of a SHA-1.
const ACCEPT_BYTES: usize = 28;

/// Of a request head what the handshake looks at.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The request is HTTP/1.1, not 1.0.
    pub http11: bool,
    /// A token of `Upgrade` is `websocket`, in whatever case.
    pub upgrade_has_websocket: bool,
    /// A token of `Connection` is `upgrade`, in whatever case.
    pub connection_has_upgrade: bool,
    /// The value of `Sec-WebSocket-Key`.
    pub key: Option<&'a [u8]>,
    /// There is more than one `Sec-WebSocket-Key`.
    pub key_doubled: bool,
    /// The value of `Sec-WebSocket-Version`.
    pub version: Option<&'a [u8]>,
    /// There is more than one `Sec-WebSocket-Version`.
    pub version_doubled: bool,
}

impl<'a> Request<'a> {
    /// What the handshake looks at of that head.
    pub fn of(head: &Head<'a>) -> Request<'a> {
        let mut keys = head.headers("sec-websocket-key");
        let mut versions = head.headers("sec-websocket-version");
        Request {
            method: head.method.as_bytes(),
            http11: head.version == Version::Http11,
            upgrade_has_websocket: head.has_token("upgrade", "websocket"),
            connection_has_upgrade: head.has_token("connection", "upgrade"),
            key: keys.next(),
            key_doubled: keys.next().is_some(),
            version: versions.next(),
            version_doubled: versions.next().is_some(),
        }
    }
}

/// Why a request does not become a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a GET.
    WrongMethod,
    /// HTTP/1.0.
    OldHttp,
    /// An ordinary request at a WebSocket's address.
    NotAnUpgrade,
    /// A version of the protocol other than 13, or none.
    WrongVersion,
    /// More than one version.
    DoubledVersion,
    /// No key.
    NoKey,
    /// More than one key.
    DoubledKey,
    /// A key that is not the base64 of 16 bytes.
    BadKey,
    /// A list of subprotocols that is none, or names one twice.
    BadProtocols,
    /// A list of extensions that is none.
    BadExtensions,
}

impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Refusal::WrongMethod => 405,
            Refusal::OldHttp | Refusal::NotAnUpgrade | Refusal::WrongVersion => 426,
            Refusal::DoubledVersion | Refusal::NoKey | Refusal::DoubledKey | Refusal::BadKey => 400,
            Refusal::BadProtocols | Refusal::BadExtensions => 400,
        }
    }

    /// The `code` of the problem document.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::WrongMethod => "method_not_allowed",
            Refusal::OldHttp => "http_version",
            Refusal::NotAnUpgrade => "upgrade_required",
            Refusal::WrongVersion | Refusal::DoubledVersion => "websocket_version",
            Refusal::NoKey | Refusal::DoubledKey | Refusal::BadKey => "websocket_key",
            Refusal::BadProtocols => "websocket_protocols",
            Refusal::BadExtensions => "websocket_extensions",
        }
    }

    /// What to do about it.
    pub fn sentence(self) -> &'static str {
        match self {
            Refusal::WrongMethod => "A WebSocket is opened with GET.",
            Refusal::OldHttp => "A WebSocket is opened over HTTP/1.1; a proxy may have made this HTTP/1.0.",
            Refusal::NotAnUpgrade => {
                "This address speaks WebSocket: send Connection: Upgrade and Upgrade: websocket; \
                 a proxy must pass both on."
            }
            Refusal::WrongVersion => "Send Sec-WebSocket-Version: 13.",
            Refusal::DoubledVersion => "Send Sec-WebSocket-Version once.",
            Refusal::NoKey => "Send a Sec-WebSocket-Key.",
            Refusal::DoubledKey => "Send Sec-WebSocket-Key once.",
            Refusal::BadKey => "Sec-WebSocket-Key must be the base64 of 16 random bytes.",
            Refusal::BadProtocols => "Sec-WebSocket-Protocol must be a list of tokens, each of them once.",
            Refusal::BadExtensions => {
                "Sec-WebSocket-Extensions must be a list of extensions: `name; parameter=value, name`."
            }
        }
    }

    /// The fields the answer owes its status.
    pub fn fields(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // RFC 9110, section 15.5.6: a 405 names what is allowed.
            Refusal::WrongMethod => &[("Allow", "GET")],
            // RFC 9110, section 15.5.22: a 426 names the protocol; section 7.8: and so does Connection.
            Refusal::OldHttp | Refusal::NotAnUpgrade => {
                &[("Upgrade", "websocket"), ("Connection", "Upgrade")]
            }
            // RFC 6455, section 4.4: a client of another version learns ours.
            Refusal::WrongVersion => {
                &[("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
            }
            Refusal::DoubledVersion
            | Refusal::NoKey
            | Refusal::DoubledKey
            | Refusal::BadKey
            | Refusal::BadProtocols
            | Refusal::BadExtensions => &[],
        }
    }
}

/// The first of `ours` that the client takes too; with none in common, or none asked for, the connection has
/// none. RFC 6455, section 4.2.2, item 5 (`/subprotocol/`).
///
/// # Errors
/// What the client lists are no tokens, or not "all unique" (section 4.1, item 10).
pub fn subprotocol(head: &Head<'_>, ours: &[&'static str]) -> Result<Option<&'static str>, Refusal> {
    let mut theirs: Vec<&[u8]> = head.tokens("sec-websocket-protocol").collect();
    if theirs.iter().any(|name| !name.iter().copied().all(is_token_byte)) {
        return Err(Refusal::BadProtocols);
    }
    theirs.sort_unstable();
    if theirs.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Refusal::BadProtocols);
    }
    // They are compared as they are: section 11.5 registers names, not spellings.
    Ok(ours.iter().find(|name| theirs.binary_search(&name.as_bytes()).is_ok()).copied())
}

/// Whether messages may be compressed, and how. RFC 6455, section 9.1.
///
/// # Errors
/// What the client lists is no list of extensions.
pub fn deflate(head: &Head<'_>) -> Result<Option<Deflate>, Refusal> {
    extensions::negotiate(head.headers("sec-websocket-extensions")).map_err(|_| Refusal::BadExtensions)
}

/// A handshake that holds: the value of `Sec-WebSocket-Accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept([u8; ACCEPT_BYTES]);

/// Checks a request against RFC 6455, section 4.2.1. Item 2, the host, is every request's duty and checked
/// with the head.
pub fn check(request: &Request<'_>) -> Result<Accept, Refusal> {
    // Item 1: GET, and HTTP/1.1 or higher. RFC 9110, section 7.8, has Upgrade ignored in HTTP/1.0.
    if request.method != b"GET" {
        return Err(Refusal::WrongMethod);
    }
    if !request.http11 {
        return Err(Refusal::OldHttp);
    }
    // Items 3 and 4.
    if !request.upgrade_has_websocket || !request.connection_has_upgrade {
        return Err(Refusal::NotAnUpgrade);
    }
    // Item 6. Before the key: a client of another version may well have another kind of key.
    if request.version != Some(b"13") {
        return Err(Refusal::WrongVersion);
    }
    // Section 11.3.5: the field appears once.
    if request.version_doubled {
        return Err(Refusal::DoubledVersion);
    }
    // Item 5. Section 11.3.1: the field appears once.
    if request.key_doubled {
        return Err(Refusal::DoubledKey);
    }
    let key = request.key.ok_or(Refusal::NoKey)?;
    if !is_key(key) {
        return Err(Refusal::BadKey);
    }
    Ok(Accept(accept_key(key)))
}

/// The proof that the server read the key: base64 of the SHA-1 of key and GUID. RFC 6455, section 4.2.2.
pub fn accept_key(key: &[u8]) -> [u8; ACCEPT_BYTES] {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; ACCEPT_BYTES];
    let written = STANDARD.encode_slice(hash, &mut accept);
    debug_assert_eq!(written, Ok(ACCEPT_BYTES), "twenty octets are 28 of base64");
    accept
}

/// Writes the head that turns the connection into a WebSocket. RFC 6455, section 4.2.2.
///
/// `protocol` is the one chosen from the server's own list, hence static: a client's bytes never come back in
/// a field.
pub fn emit(accept: Accept, protocol: Option<&'static str>, deflate: Option<Deflate>, out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    );
    out.extend_from_slice(b"Sec-WebSocket-Accept: ");
    out.extend_from_slice(&accept.0);
    if let Some(protocol) = protocol {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(protocol.as_bytes());
    }
    if let Some(deflate) = deflate {
        out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
        deflate.emit(out);
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// Whether `key` is the base64 of sixteen bytes (RFC 4648, section 4). The last of its 22 characters stands
/// for two bits of them and four that are zero (section 3.5), which leaves four characters.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() | (byte == b'+') | (byte == b'/');
    match key {
        [digits @ .., b'A' | b'Q' | b'g' | b'w', b'=', b'='] => {
            digits.len() == KEY_DIGITS - 1 && runs::all(digits, is_digit)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Request<'_> = Request {
        method: b"GET",
        http11: true,
        upgrade_has_websocket: true,
        connection_has_upgrade: true,
        key: Some(b"dGhlIHNhbXBsZSBub25jZQ=="),
        key_doubled: false,
        version: Some(b"13"),
        version_doubled: false,
    };

    #[test]
    fn rfc6455_1_3_vector() {
        assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn an_accepted_request_gets_its_head() {
        let accept = check(&GOOD).expect("accepted");
        let mut out = Vec::new();
        emit(accept, None, None, &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        );
        out.clear();
        emit(accept, Some("chat"), None, &mut out);
        assert!(out.ends_with(b"xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"));
        out.clear();
        emit(accept, None, Some(Deflate::default()), &mut out);
        assert!(out.ends_with(
            b"xOo=\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
              client_no_context_takeover\r\n\r\n"
        ));
    }

    #[test]
    fn every_refusal_has_its_cause() {
        let refused = |request: Request<'_>| check(&request).expect_err("refused");
        assert_eq!(refused(Request { method: b"POST", ..GOOD }), Refusal::WrongMethod);
        assert_eq!(refused(Request { method: b"get", ..GOOD }), Refusal::WrongMethod);
        assert_eq!(refused(Request { http11: false, ..GOOD }), Refusal::OldHttp);
        assert_eq!(refused(Request { upgrade_has_websocket: false, ..GOOD }), Refusal::NotAnUpgrade);
        assert_eq!(refused(Request { connection_has_upgrade: false, ..GOOD }), Refusal::NotAnUpgrade);
        assert_eq!(refused(Request { version: None, ..GOOD }), Refusal::WrongVersion);
        assert_eq!(refused(Request { version: Some(b"8"), ..GOOD }), Refusal::WrongVersion);
        assert_eq!(refused(Request { version: Some(b"13, 8"), ..GOOD }), Refusal::WrongVersion);
        assert_eq!(refused(Request { version_doubled: true, ..GOOD }), Refusal::DoubledVersion);
        assert_eq!(refused(Request { key_doubled: true, ..GOOD }), Refusal::DoubledKey);
        assert_eq!(refused(Request { key: None, ..GOOD }), Refusal::NoKey);
    }

    #[test]
    fn a_key_is_the_base64_of_sixteen_bytes() {
        let keys: [&[u8]; 7] = [
            b"",
            b"dGhlIHNhbXBsZSBub25jZQ",
            b"dGhlIHNhbXBsZSBub25jZQ= ",
            b"dGhlIHNhbXBsZSBub25jZTEy",
            b"dGhlIHNhbXBsZSBub25jZQ==dGhl",
            b"dGhlIHNhbXBsZSBub25j*Q==",
            b"dGhlIHNhbXBsZSBub25jZR==",
        ];
        for key in keys {
            assert_eq!(check(&Request { key: Some(key), ..GOOD }), Err(Refusal::BadKey), "{key:?}");
        }
    }

    /// Whatever byte stands wherever in it, the library that encodes has the last word.
    #[test]
    fn a_key_is_what_decodes() {
        for place in 0..=24 {
            for byte in 0..=u8::MAX {
                let mut key = b"dGhlIHNhbXBsZSBub25jZQ==".to_vec();
                key.splice(place..key.len().min(place + 1), [byte]);
                let is_nonce = STANDARD.decode(&key).is_ok_and(|nonce| nonce.len() == 16);
                assert_eq!(is_key(&key), is_nonce, "{}", key.escape_ascii());
            }
        }
    }

    fn chosen(fields: &str, ours: &[&'static str]) -> Result<Option<&'static str>, Refusal> {
        let text = format!("GET /ws HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        subprotocol(&Head::parse(text.as_bytes()).expect("a good head"), ours)
    }

    #[test]
    fn the_first_of_ours_that_is_theirs_too() {
        let ours = ["two", "one"];
        for (fields, expected) in [
            ("", None),
            ("Sec-WebSocket-Protocol:\r\n", None),
            ("Sec-WebSocket-Protocol: three\r\n", None),
            ("Sec-WebSocket-Protocol: ONE\r\n", None),
            ("Sec-WebSocket-Protocol: one\r\n", Some("one")),
            ("Sec-WebSocket-Protocol: one, two\r\n", Some("two")),
            ("Sec-WebSocket-Protocol: three,,two\t,\r\n", Some("two")),
            ("Sec-WebSocket-Protocol: three\r\nSec-WebSocket-Protocol: one\r\n", Some("one")),
        ] {
            assert_eq!(chosen(fields, &ours), Ok(expected), "{fields}");
            assert_eq!(chosen(fields, &[]), Ok(None), "{fields}");
        }
    }

    #[test]
    fn subprotocols_are_tokens_each_of_them_once() {
        for list in
            ["one, one", "one\r\nSec-WebSocket-Protocol: one", "a b", "a/b", "\"one\"", "one;x", "\u{e9}"]
        {
            let fields = format!("Sec-WebSocket-Protocol: {list}\r\n");
            assert_eq!(chosen(&fields, &["one"]), Err(Refusal::BadProtocols), "{list}");
        }
    }

    #[test]
    fn refusals_say_what_their_status_owes() {
        assert_eq!((Refusal::NotAnUpgrade.status(), Refusal::WrongVersion.status()), (426, 426));
        assert!(Refusal::NotAnUpgrade.fields().contains(&("Upgrade", "websocket")));
        assert!(Refusal::WrongVersion.fields().contains(&("Sec-WebSocket-Version", "13")));
        assert_eq!(Refusal::BadKey.status(), 400);
        assert_eq!(Refusal::WrongMethod.fields(), [("Allow", "GET")]);
    }
}
