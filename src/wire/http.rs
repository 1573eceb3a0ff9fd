//! The request side of HTTP/1.0 and HTTP/1.1: what a head says, how long its body is.
//!
//! It knows no connection, no route and no answer. httparse takes the field lines apart; the request line
//! and everything that decides where a request ends is decided here, and decided strictly: whatever two
//! programs in a row could read in two ways is refused.
//!
//! ```text
//! socket bytes -> HeadScanner -> Head -> framing -> body::Decoder
//!                 (ends where?)  (says what?)       (how long?)
//! ```
//!
//! Read first: RFC 9112, sections 2 to 6 and 11; RFC 9110, sections 5, 7 and 10.1.1.

use std::fmt;

use super::runs::{all, find};
use super::scan::Layout;
use super::target::{self, Authority};
use crate::limits::HEADERS_MAX;

pub use super::offence::Offence;
pub use super::runs::{is_text_byte, is_token_byte};
pub use super::scan::{HeadScanner, Scanned};

/// The version of a request. There is no other one here: HTTP/0.9 has no head, HTTP/2 is another format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: closes unless asked not to, knows no transfer coding.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How the length of a body is known. RFC 9112, section 6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// Content-Length: that many bytes.
    Length(u64),
    /// Transfer-Encoding: chunked.
    Chunked,
}

/// A request head, borrowed from the bytes it was read from.
pub struct Head<'b> {
    /// The method as sent; methods are case-sensitive. RFC 9110, section 9.1.
    pub method: &'b str,
    /// The target as sent, in whichever form.
    pub target: &'b str,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    path_and_query: &'b str,
    authority: Option<Authority<'b>>,
    len: usize,
    fields: Vec<httparse::Header<'b>>,
    /// The bits of all names.
    names: u64,
}

impl<'b> Head<'b> {
    /// Scans and parses one complete head.
    pub fn parse(bytes: &'b [u8]) -> Result<Head<'b>, Offence> {
        let mut scanner = HeadScanner::new();
        scanner.scan(bytes)?;
        let scanned = scanner.head(bytes).ok_or(Offence::IncompleteHead)?;
        Head::parse_lines(bytes, scanned.layout())
    }

    /// Parses a head that was scanned.
    pub fn parse_scanned(head: &'b Scanned<'_>) -> Result<Head<'b>, Offence> {
        Head::parse_lines(head.bytes(), head.layout())
    }

    fn parse_lines(bytes: &'b [u8], layout: Layout) -> Result<Head<'b>, Offence> {
        let (method, target, version) = parse_request_line(bytes, layout)?;
        let lines = &bytes[layout.end as usize + b"\r\n".len()..];
        let (authority, path_and_query) = split_target(method, target)?;

        let mut fields = vec![httparse::EMPTY_HEADER; (layout.fields as usize).min(HEADERS_MAX)];
        match httparse::parse_headers(lines, &mut fields) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(Offence::IncompleteHead),
            Err(httparse::Error::TooManyHeaders) => return Err(Offence::TooManyHeaders),
            Err(_) => return Err(field_offence(lines)),
        }
        let names = fields.iter().fold(0, |names, field| names | bit_of(field.name));
        let mut head = Head {
            method,
            target,
            version,
            path_and_query,
            authority: None,
            len: bytes.len(),
            fields,
            names,
        };
        // RFC 9112, section 3.2.2: an authority in the target wins over the Host field, which must be
        // there and valid nevertheless.
        head.authority = authority.or(head.parse_host()?);
        Ok(head)
    }

    /// RFC 9112, section 3.2: one valid Host, which only HTTP/1.0 may leave out.
    fn parse_host(&self) -> Result<Option<Authority<'b>>, Offence> {
        let mut hosts = self.headers("host");
        let Some(host) = hosts.next() else {
            return match self.version {
                Version::Http10 => Ok(None),
                Version::Http11 => Err(Offence::MissingHost),
            };
        };
        if hosts.next().is_some() {
            return Err(Offence::DoubledHost);
        }
        Authority::parse(host).map(Some).ok_or(Offence::InvalidHost)
    }

    /// How long it was as it came, with the empty line that ends it.
    pub fn bytes(&self) -> usize {
        self.len
    }

    /// The host and port the request is for: from an absolute target, else from Host. `None` only in
    /// HTTP/1.0.
    pub fn host(&self) -> Option<&'b str> {
        self.authority.map(|authority| authority.as_str())
    }

    /// The same, taken apart.
    pub fn authority(&self) -> Option<Authority<'b>> {
        self.authority
    }

    /// The target without scheme and authority: begins with `/`, or is `*`. An absolute target without a
    /// path gives an empty path, which `Target` reads as `/`.
    pub fn path_and_query(&self) -> &'b str {
        self.path_and_query
    }

    /// The value of the first field of that name, without the space around it.
    #[inline]
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        if self.lacks(name) { None } else { self.first_named(name) }
    }

    fn first_named(&self, name: &str) -> Option<&'b [u8]> {
        self.headers(name).next()
    }

    /// Whether there is certainly no field of that name: nearly every one that is asked for is not there.
    #[inline]
    fn lacks(&self, name: &str) -> bool {
        self.names & bit_of(name) == 0
    }

    /// The names of all fields, in order, as they were written.
    pub fn field_names(&self) -> impl Iterator<Item = &'b str> {
        self.fields.iter().map(|field| field.name)
    }

    /// The values of all fields of that name, in order. Names ignore case. RFC 9110, section 5.1.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let fields = if self.lacks(name) { &[] } else { &self.fields[..] };
        let named = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value)
    }

    /// Whether a list of tokens, over all its lines, has this one; case is ignored. RFC 9110, section 5.6.1.
    #[inline]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        !self.lacks(name) && self.lists_token(name, token)
    }

    fn lists_token(&self, name: &str, token: &str) -> bool {
        let is_it = |member: &[u8]| member.eq_ignore_ascii_case(token.as_bytes());
        // Most lists have one member.
        let has_it = |value| is_it(value) || (find(value, b',').is_some() && members(value).any(is_it));
        self.headers(name).any(has_it)
    }

    /// Whether the peer wants the connection to go on after this request. RFC 9112, section 9.3.
    pub fn keep_alive(&self) -> bool {
        !self.has_token("connection", "close")
            && (self.version == Version::Http11 || self.has_token("connection", "keep-alive"))
    }

    /// Whether the peer waits for a 100 before it sends its body. RFC 9110, section 10.1.1: HTTP/1.0
    /// can't mean it, and whatever else is expected is not met. It is worth a 100 only if there is a body.
    pub fn expects_continue(&self) -> Result<bool, Offence> {
        if self.lacks("expect") {
            return Ok(false);
        }
        let mut expected = false;
        for member in self.tokens("expect") {
            if !member.eq_ignore_ascii_case(b"100-continue") {
                return Err(Offence::UnmetExpectation);
            }
            expected = true;
        }
        Ok(expected && self.version == Version::Http11)
    }

    /// How the length of the body is known. RFC 9112, section 6.3, without its leniencies.
    pub fn framing(&self) -> Result<Framing, Offence> {
        if self.lacks("transfer-encoding") && self.lacks("content-length") {
            return Ok(Framing::None);
        }
        let mut codings = self.headers("transfer-encoding");
        let mut lengths = self.headers("content-length");
        match (codings.next(), lengths.next()) {
            (None, None) => Ok(Framing::None),
            // Section 6.3, item 3: it ought to be handled as an error. It is.
            (Some(_), Some(_)) => Err(Offence::BothLengths),
            // Section 6.1: a transfer coding in HTTP/1.0 is faulty framing.
            (Some(_), None) if self.version == Version::Http10 => Err(Offence::TransferCodingInHttp10),
            (Some(coding), None) => {
                // One line, one coding: `chunked` twice or among others is what two programs disagree on.
                if codings.next().is_none() && coding.eq_ignore_ascii_case(b"chunked") {
                    return Ok(Framing::Chunked);
                }
                Err(self.coding_offence())
            }
            // Section 6.3, item 5 would allow equal values; no honest client repeats itself here.
            (None, Some(length)) if lengths.next().is_some() || length.contains(&b',') => {
                Err(Offence::DoubledLength)
            }
            (None, Some(length)) => parse_length(length).map(Framing::Length),
        }
    }

    /// What is wrong with transfer codings that are not `chunked` alone.
    ///
    /// RFC 9112, section 6.3, item 4: unless `chunked` comes last, nobody knows where the body ends. Section
    /// 6.1: it is applied once, and a coding that is not understood, here any other, is answered with 501.
    fn coding_offence(&self) -> Offence {
        let codings =
            || self.tokens("transfer-encoding").map(|coding| coding.eq_ignore_ascii_case(b"chunked"));
        let is_last = codings().last() == Some(true);
        if is_last && codings().filter(|is_chunked| *is_chunked).count() == 1 && codings().count() > 1 {
            return Offence::UnsupportedTransferCoding;
        }
        Offence::InvalidTransferCoding
    }

    /// The members of a list field, over all its lines; empty members don't count. RFC 9110, section 5.6.1.2.
    pub fn tokens(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.headers(name).flat_map(members)
    }
}

/// The members of one line of a list field.
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// The bit that stands for a name, chosen by its length and its first letter, whose case is ignored: of the
/// names that a browser sends, few share one with another that is asked for.
#[inline]
fn bit_of(name: &str) -> u64 {
    let first = name.bytes().next().map_or(0, |byte| u32::from(byte | 0x20));
    1_u64.rotate_left(31 * name.len() as u32 + first)
}

/// Shows neither query nor fields: secrets travel in both, and what has a Debug ends up in a log.
impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = target::Target::parse(self.path_and_query).path();
        write!(f, "{} {path} {:?}, {} fields", self.method, self.version, self.fields.len())
    }
}

/// `method SP request-target SP HTTP-version`, no more and no other spaces. RFC 9112, section 3.
fn parse_request_line(bytes: &[u8], layout: Layout) -> Result<(&str, &str, Version), Offence> {
    let from = layout.method as usize;
    let text = str::from_utf8(&bytes[from..layout.end as usize]).map_err(|_| Offence::InvalidTarget)?;
    if layout.version == 0 {
        return Err(Offence::InvalidRequestLine);
    }
    let (target, version) = (layout.target as usize - from, layout.version as usize - from);
    let (method, target) = (&text[..target - 1], &text[target..version - 1]);
    // Section 3.2: no form has a fragment, and none has a byte that a URI must encode.
    let is_target =
        !target.is_empty() && all(target.as_bytes(), |byte| byte.is_ascii_graphic() & (byte != b'#'));
    match &text.as_bytes()[version..] {
        b"HTTP/1.0" if is_target => Ok((method, target, Version::Http10)),
        // RFC 9110, section 2.5: a higher minor version is read as the highest one known here.
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] if is_target => {
            Ok((method, target, Version::Http11))
        }
        version if find(version, b' ').is_some() => Err(Offence::InvalidRequestLine),
        _ if !is_target => Err(Offence::InvalidTarget),
        // Section 2.3: the name is case-sensitive, both numbers are one digit.
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(Offence::UnsupportedVersion),
        _ => Err(Offence::InvalidRequestLine),
    }
}

/// The authority, if the target names one, and the path and query. RFC 9112, section 3.2.
fn split_target<'b>(method: &str, target: &'b str) -> Result<(Option<Authority<'b>>, &'b str), Offence> {
    if method == "CONNECT" {
        return Err(Offence::ConnectUnsupported);
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((None, target));
    }
    let (authority, rest) = target::split_absolute(target).ok_or(Offence::InvalidTarget)?;
    let authority = Authority::parse(authority.as_bytes()).ok_or(Offence::InvalidTarget)?;
    Ok((Some(authority), rest))
}

/// Names what httparse refused: the first field whose name is no token decides.
fn field_offence(fields: &[u8]) -> Offence {
    for line in fields.split(|&byte| byte == b'\n') {
        let name = line.split(|&byte| byte == b':').next().unwrap_or(line);
        if name.len() < line.len() && name.trim_ascii_end().len() < name.len() {
            // RFC 9112, section 5.1.
            return Offence::SpaceBeforeColon;
        }
        if name.is_empty() || !name.iter().all(|&byte| is_token_byte(byte)) {
            break;
        }
    }
    Offence::InvalidHeader
}

/// RFC 9110, section 8.6: `1*DIGIT`. Not `str::parse`, to which `+5` is a number. Zeros in front, which the
/// grammar allows, are octal to some programs and sent by no honest one.
fn parse_length(digits: &[u8]) -> Result<u64, Offence> {
    if digits.is_empty() || (digits.len() > 1 && digits[0] == b'0') {
        return Err(Offence::InvalidLength);
    }
    digits.iter().try_fold(0_u64, |length, &digit| {
        if !digit.is_ascii_digit() {
            return Err(Offence::InvalidLength);
        }
        let shifted = length.checked_mul(10).ok_or(Offence::InvalidLength)?;
        shifted.checked_add(u64::from(digit - b'0')).ok_or(Offence::InvalidLength)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{HEAD_BYTES_DEFAULT, METHOD_BYTES_MAX, TARGET_BYTES_MAX};

    fn head(text: &str) -> Head<'_> {
        Head::parse(text.as_bytes()).unwrap_or_else(|offence| panic!("{offence:?} in {text:?}"))
    }

    fn offence(bytes: &[u8]) -> Offence {
        match Head::parse(bytes) {
            Ok(head) => panic!("accepted {head:?}"),
            Err(offence) => offence,
        }
    }

    /// The offence of a request line, in a head that is otherwise right.
    fn line_offence(line: &str) -> Offence {
        offence(format!("{line}\r\nHost: a\r\n\r\n").as_bytes())
    }

    /// What framing says to these field lines.
    fn framing(version: &str, fields: &str) -> Result<Framing, Offence> {
        let text = format!("POST / {version}\r\nHost: a\r\n{fields}\r\n\r\n");
        Head::parse(text.as_bytes())?.framing()
    }

    fn xorshift(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    const BROWSER: &str = "GET /sse?ch=lobby HTTP/1.1\r\nHost: localhost:8080\r\n\
        Accept: text/event-stream\r\nCookie: a=b; c=d\r\nConnection: keep-alive\r\n\r\n";

    #[test]
    fn scan_finds_the_end_and_leaves_the_rest() {
        let with_body = format!("{BROWSER}hello");
        assert_eq!(HeadScanner::new().scan(with_body.as_bytes()), Ok(Some(BROWSER.len())));
        assert_eq!(HeadScanner::new().scan(b""), Ok(None));
        assert_eq!(HeadScanner::new().scan(b"GET / HTTP/1.1\r\n\r"), Ok(None));
    }

    #[test]
    fn scan_repeats_its_answer() {
        let mut scanner = HeadScanner::new();
        assert_eq!(scanner.scan(BROWSER.as_bytes()), Ok(Some(BROWSER.len())));
        assert_eq!(scanner.scan(BROWSER.as_bytes()), Ok(Some(BROWSER.len())));
        let mut scanner = HeadScanner::new();
        assert_eq!(scanner.scan(b"GET /\n"), Err(Offence::BareLineFeed));
        assert_eq!(scanner.scan(b"GET /\n"), Err(Offence::BareLineFeed));
    }

    /// The work is linear because no byte is read twice: those already judged are overwritten with ones
    /// that would be refused, before each next byte comes.
    #[test]
    fn scan_reads_every_byte_once() {
        let whole = BROWSER.as_bytes();
        let mut scanner = HeadScanner::new();
        let mut buf = Vec::new();
        for (at, &byte) in whole.iter().enumerate() {
            buf.fill(0);
            buf.push(byte);
            let expected = (at + 1 == whole.len()).then_some(whole.len());
            assert_eq!(scanner.scan(&buf), Ok(expected), "at byte {at}");
        }
    }

    #[test]
    fn scan_in_pieces_equals_scan_of_the_whole() {
        const ALPHABET: &[u8] = b"\r\n\r\n\r\n  \t:aG/\0\x7f\xff";
        let mut seed = 0x9e37_79b9_7f4a_7c15;
        for _ in 0..20_000 {
            let mut bytes = BROWSER.as_bytes().to_vec();
            for _ in 0..xorshift(&mut seed) % 4 {
                let at = xorshift(&mut seed) as usize % bytes.len();
                bytes[at] = ALPHABET[xorshift(&mut seed) as usize % ALPHABET.len()];
            }
            let whole = HeadScanner::new().scan(&bytes);
            let mut scanner = HeadScanner::new();
            let pieces = (0..=bytes.len()).map(|end| scanner.scan(&bytes[..end]));
            let first = pieces.into_iter().find(|answer| *answer != Ok(None)).unwrap_or(Ok(None));
            assert_eq!(first, whole, "{:?}", bytes.escape_ascii().to_string());
        }
    }

    #[test]
    fn scan_refuses_at_the_offending_byte() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\n"[..], Offence::BareLineFeed),
            (b"\n", Offence::BareLineFeed),
            (b"GET / HTTP/1.1\r\nA: b\n", Offence::BareLineFeed),
            (b"GET / HTTP/1.1\r\nA: b\r\n\n", Offence::BareLineFeed),
            (b"\rG", Offence::BareCarriageReturn),
            (b"GET / HTTP/1.1\r\r", Offence::BareCarriageReturn),
            (b"GET / HTTP/1.1\r\nA: b\rc", Offence::BareCarriageReturn),
            (b"GET / HTTP/1.1\r\n\rc", Offence::BareCarriageReturn),
            (b"GET / HTTP/1.1\r\nA: b\r\n ", Offence::ObsoleteFolding),
            (b"GET / HTTP/1.1\r\nA: b\r\n\t", Offence::ObsoleteFolding),
            (b"GET / HTTP/1.1\r\n ", Offence::ObsoleteFolding),
            (b"GET / HTTP/1.1\r\nA: \0", Offence::ControlByte),
            (b"GET / HTTP/1.1\r\nA: \x7f", Offence::ControlByte),
            (b"GET /\x0b", Offence::ControlByte),
            (b"\x16", Offence::ControlByte),
            (b" ", Offence::InvalidMethod),
            (b"G{", Offence::InvalidMethod),
            (b"\x80", Offence::InvalidMethod),
            (b"\r\n\r\n\r", Offence::EmptyLines),
        ] {
            let text = bytes.escape_ascii();
            assert_eq!(HeadScanner::new().scan(&bytes[..bytes.len() - 1]), Ok(None), "{text}");
            assert_eq!(HeadScanner::new().scan(bytes), Err(expected), "{text}");
        }
    }

    #[test]
    fn scan_bounds_method_target_and_head() {
        let method = |len| format!("{} / HTTP/1.1\r\n\r\n", "M".repeat(len));
        assert!(HeadScanner::new().scan(method(METHOD_BYTES_MAX).as_bytes()).is_ok());
        let answer = HeadScanner::new().scan(method(METHOD_BYTES_MAX + 1).as_bytes());
        assert_eq!(answer, Err(Offence::MethodTooLong));

        let target = |len| format!("\r\nGET {} HTTP/1.1\r\n\r\n", "/".repeat(len));
        assert!(matches!(HeadScanner::new().scan(target(TARGET_BYTES_MAX).as_bytes()), Ok(Some(_))));
        let answer = HeadScanner::new().scan(target(TARGET_BYTES_MAX + 1).as_bytes());
        assert_eq!(answer, Err(Offence::TargetTooLong));

        let empty = "GET / HTTP/1.1\r\nA: \r\n\r\n".len();
        let full = |len| format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(len - empty));
        let fits = full(HEAD_BYTES_DEFAULT);
        assert_eq!(HeadScanner::new().scan(fits.as_bytes()), Ok(Some(HEAD_BYTES_DEFAULT)));
        let over = full(HEAD_BYTES_DEFAULT + 1);
        assert_eq!(HeadScanner::new().scan(over.as_bytes()), Err(Offence::HeadTooLong));
        // Known as soon as it can't fit any more.
        let answer = HeadScanner::new().scan(&over.as_bytes()[..HEAD_BYTES_DEFAULT]);
        assert_eq!(answer, Err(Offence::HeadTooLong));
        assert_eq!(HeadScanner::new().scan(&over.as_bytes()[..HEAD_BYTES_DEFAULT - 1]), Ok(None));
    }

    #[test]
    fn scan_passes_over_empty_lines_first() {
        let text = "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(HeadScanner::new().scan(text.as_bytes()), Ok(Some(text.len())));
        assert_eq!(head(text).method, "GET");
        let mut scanner = HeadScanner::new();
        assert_eq!(scanner.scan(b"\r\n\r"), Ok(None));
        assert!(!scanner.has_begun());
        assert_eq!(scanner.scan(b"\r\n\r\nG"), Ok(None));
        assert!(scanner.has_begun());
    }

    #[test]
    fn head_says_what_was_sent() {
        let head = head(BROWSER);
        assert_eq!((head.method, head.target), ("GET", "/sse?ch=lobby"));
        assert_eq!(head.version, Version::Http11);
        assert_eq!(head.host(), Some("localhost:8080"));
        assert_eq!(head.path_and_query(), "/sse?ch=lobby");
        assert_eq!(head.header("ACCEPT"), Some(&b"text/event-stream"[..]));
        assert_eq!(head.header("absent"), None);
        assert_eq!(head.framing(), Ok(Framing::None));
        assert!(head.keep_alive());
    }

    #[test]
    fn head_keeps_repeated_fields_and_trims_values() {
        let head = head("GET / HTTP/1.1\r\nHost: a\r\nX: \t one\t \r\nx:two\r\nX:\r\nY: ü\r\n\r\n");
        assert_eq!(head.headers("x").collect::<Vec<_>>(), [&b"one"[..], b"two", b""]);
        assert_eq!(head.header("y"), Some("ü".as_bytes()));
    }

    #[test]
    fn head_in_a_log_keeps_secrets() {
        let text = "GET /ws?token=secret HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n";
        assert_eq!(format!("{:?}", head(text)), "GET /ws Http11, 2 fields");
    }

    #[test]
    fn request_lines_refused() {
        for line in [
            "GET /",
            "GET",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / x HTTP/1.1",
            "GET / HTTP/1.1 x",
            "GET / http/1.1",
            "GET / HTTP/11",
            "GET / HTTP/1.1.1",
            "GET / HTTP/1.",
            "GET / HTTP/01.1",
            "GET / HTTP",
            "GET / HTTP/1,1",
            "GET / HTP/1.1",
            "GET / HTTPS/1.1",
            "GET / ",
        ] {
            assert_eq!(line_offence(line), Offence::InvalidRequestLine, "{line}");
        }
        for line in ["GET / HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/9.9"] {
            assert_eq!(line_offence(line), Offence::UnsupportedVersion, "{line}");
        }
        // The preface of HTTP/2 with prior knowledge. RFC 9113, section 3.4.
        assert_eq!(offence(b"PRI * HTTP/2.0\r\n\r\n"), Offence::UnsupportedVersion);
    }

    #[test]
    fn targets_accepted() {
        for (line, path, host) in [
            ("GET / HTTP/1.1", "/", "a"),
            ("GET //x/../y?{|}\"<> HTTP/1.1", "//x/../y?{|}\"<>", "a"),
            ("OPTIONS * HTTP/1.1", "*", "a"),
            ("GET http://b:80/c?d HTTP/1.1", "/c?d", "b:80"),
            ("GET HTTP://[::1]?d HTTP/1.1", "?d", "[::1]"),
            ("GET http://b HTTP/1.1", "", "b"),
        ] {
            let text = format!("{line}\r\nHost: a\r\n\r\n");
            let head = head(&text);
            assert_eq!((head.path_and_query(), head.host()), (path, Some(host)), "{line}");
        }
    }

    #[test]
    fn targets_refused() {
        for target in [
            "*",
            "a",
            "a:80",
            "?a",
            "/a#b",
            "/ü",
            "/a\tb",
            "http://",
            "http:///a",
            "http://u@b/",
            "ws://b/",
            "file:///etc/passwd",
            "http://b:x/",
            "http:/b",
            "http://b\\c/",
            "//\u{7f}",
        ] {
            let found = line_offence(&format!("GET {target} HTTP/1.1"));
            let expected =
                if target.contains('\u{7f}') { Offence::ControlByte } else { Offence::InvalidTarget };
            assert_eq!(found, expected, "{target}");
        }
        assert_eq!(line_offence("CONNECT a:80 HTTP/1.1"), Offence::ConnectUnsupported);
        assert_eq!(offence(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"), Offence::InvalidTarget);
    }

    #[test]
    fn fields_refused() {
        for (field, expected) in [
            ("Host : a", Offence::SpaceBeforeColon),
            ("X\t: a", Offence::SpaceBeforeColon),
            ("X:y\r\nTransfer-Encoding : chunked", Offence::SpaceBeforeColon),
            (" : a", Offence::ObsoleteFolding),
            (": a", Offence::InvalidHeader),
            ("X", Offence::InvalidHeader),
            ("X y", Offence::InvalidHeader),
            ("X y: z", Offence::InvalidHeader),
            ("X(: z", Offence::InvalidHeader),
            ("X\": z", Offence::InvalidHeader),
            ("Ü: z", Offence::InvalidHeader),
            ("X: \u{1}", Offence::ControlByte),
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
            assert_eq!(offence(text.as_bytes()), expected, "{field:?}");
        }
    }

    #[test]
    fn field_count_is_bounded() {
        let fields = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert_eq!(head(&fields(HEADERS_MAX)).headers("a").count(), HEADERS_MAX);
        assert_eq!(offence(fields(HEADERS_MAX + 1).as_bytes()), Offence::TooManyHeaders);
    }

    #[test]
    fn heads_must_be_whole_and_alone() {
        assert_eq!(offence(b""), Offence::IncompleteHead);
        assert_eq!(offence(b"GET / HTTP/1.0\r\n"), Offence::IncompleteHead);
        assert_eq!(offence(b"GET / HTTP/1.0\r\n\r\nx"), Offence::IncompleteHead);
        assert_eq!(offence(b"\r\n\r\n"), Offence::IncompleteHead);
    }

    #[test]
    fn host_is_required_once_and_valid() {
        for (text, expected) in [
            ("GET / HTTP/1.1\r\n\r\n", Offence::MissingHost),
            ("GET http://a/ HTTP/1.1\r\n\r\n", Offence::MissingHost),
            ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", Offence::DoubledHost),
            ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Offence::DoubledHost),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Offence::InvalidHost),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Offence::InvalidHost),
            ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Offence::InvalidHost),
            ("GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", Offence::InvalidHost),
            ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Offence::InvalidHost),
            ("GET / HTTP/1.1\r\nHost: ü\r\n\r\n", Offence::InvalidHost),
            ("GET http://a/ HTTP/1.1\r\nHost: /\r\n\r\n", Offence::InvalidHost),
            ("GET / HTTP/1.0\r\nHost: [::1\r\n\r\n", Offence::InvalidHost),
        ] {
            assert_eq!(offence(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(head("GET / HTTP/1.0\r\n\r\n").host(), None);
        assert_eq!(head("GET / HTTP/1.0\r\nHost: [::1]:80\r\n\r\n").host(), Some("[::1]:80"));
    }

    #[test]
    fn lists_ignore_case_and_span_lines() {
        let head = head(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive,\t Upgrade ,,\r\nConnection: x\r\n\r\n",
        );
        assert!(head.has_token("connection", "upgrade"));
        assert!(head.has_token("Connection", "X"));
        assert!(!head.has_token("Connection", "up"));
        assert!(!head.has_token("Connection", ""));
        assert!(!head.has_token("Upgrade", "websocket"));
    }

    #[test]
    fn keep_alive_by_version_and_wish() {
        for (version, field, expected) in [
            ("1.1", "X: y", true),
            ("1.1", "Connection: close", false),
            ("1.1", "Connection: keep-alive, Close", false),
            ("1.0", "X: y", false),
            ("1.0", "Connection: Keep-Alive", true),
            ("1.0", "Connection: keep-alive\r\nConnection: close", false),
        ] {
            let text = format!("GET / HTTP/{version}\r\nHost: a\r\n{field}\r\n\r\n");
            assert_eq!(head(&text).keep_alive(), expected, "{version} {field}");
        }
    }

    #[test]
    fn expectations() {
        for (version, field, expected) in [
            ("1.1", "X: y", Ok(false)),
            ("1.1", "Expect: 100-Continue", Ok(true)),
            ("1.0", "Expect: 100-continue", Ok(false)),
            ("1.1", "Expect: 200-ok", Err(Offence::UnmetExpectation)),
            ("1.1", "Expect: 100-continue, x", Err(Offence::UnmetExpectation)),
        ] {
            let text = format!("POST / HTTP/{version}\r\nHost: a\r\n{field}\r\n\r\n");
            assert_eq!(head(&text).expects_continue(), expected, "{version} {field}");
        }
    }

    #[test]
    fn framing_accepts_one_length() {
        for (fields, expected) in [
            ("X: y", Framing::None),
            ("Content-Length: 0", Framing::Length(0)),
            ("content-length:  5\t", Framing::Length(5)),
            ("Content-Length: 18446744073709551615", Framing::Length(u64::MAX)),
            ("Transfer-Encoding: chunked", Framing::Chunked),
            ("transfer-encoding: \tCHUNKED ", Framing::Chunked),
        ] {
            assert_eq!(framing("HTTP/1.1", fields), Ok(expected), "{fields}");
        }
        assert_eq!(framing("HTTP/1.0", "Content-Length: 5"), Ok(Framing::Length(5)));
    }

    #[test]
    fn request_smuggling() {
        for (fields, expected) in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", Offence::BothLengths),
            ("Transfer-Encoding: identity\r\nContent-Length: 5", Offence::BothLengths),
            ("Content-Length: 5\r\nContent-Length: 5", Offence::DoubledLength),
            ("Content-Length: 5\r\ncontent-length: 6", Offence::DoubledLength),
            ("Content-Length: 5,5", Offence::DoubledLength),
            ("Content-Length: 5, 6", Offence::DoubledLength),
            ("Content-Length: ,5", Offence::DoubledLength),
            ("Content-Length:", Offence::InvalidLength),
            ("Content-Length: +5", Offence::InvalidLength),
            ("Content-Length: 05", Offence::InvalidLength),
            ("Content-Length: 00", Offence::InvalidLength),
            ("Content-Length: -5", Offence::InvalidLength),
            ("Content-Length: 5 5", Offence::InvalidLength),
            ("Content-Length: 0x5", Offence::InvalidLength),
            ("Content-Length: 5.0", Offence::InvalidLength),
            ("Content-Length: 5e1", Offence::InvalidLength),
            ("Content-Length: 1_000", Offence::InvalidLength),
            ("Content-Length: \"5\"", Offence::InvalidLength),
            ("Content-Length: ５", Offence::InvalidLength),
            ("Content-Length: 18446744073709551616", Offence::InvalidLength),
            ("Content-Length: 99999999999999999999999", Offence::InvalidLength),
            ("Content-Length : 5", Offence::SpaceBeforeColon),
            ("Transfer-Encoding:", Offence::InvalidTransferCoding),
            ("Transfer-Encoding: xchunked", Offence::InvalidTransferCoding),
            ("Transfer-Encoding: chunkedx", Offence::InvalidTransferCoding),
            ("Transfer-Encoding: chunked, chunked", Offence::InvalidTransferCoding),
            ("Transfer-Encoding: chunked, gzip, chunked", Offence::InvalidTransferCoding),
            ("Transfer-Encoding: gzip, chunked", Offence::UnsupportedTransferCoding),
            ("Transfer-Encoding: chunked, identity", Offence::InvalidTransferCoding),
            ("Transfer-Encoding: identity", Offence::InvalidTransferCoding),
            ("Transfer-Encoding: ,chunked", Offence::InvalidTransferCoding),
            ("Transfer-Encoding: chunked;q=1", Offence::InvalidTransferCoding),
            ("Transfer-Encoding: \"chunked\"", Offence::InvalidTransferCoding),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Offence::InvalidTransferCoding),
            ("Transfer-Encoding: chunked\r\nTransfer-encoding: cow", Offence::InvalidTransferCoding),
            ("Transfer-Encoding : chunked", Offence::SpaceBeforeColon),
            ("Transfer-Encoding:\x0bchunked", Offence::ControlByte),
            ("Transfer-Encoding: chunked\0", Offence::ControlByte),
            ("X: y\r\n Transfer-Encoding: chunked", Offence::ObsoleteFolding),
            ("Transfer-Encoding:\r\n chunked", Offence::ObsoleteFolding),
            ("X: y\nTransfer-Encoding: chunked", Offence::BareLineFeed),
            ("X: y\rTransfer-Encoding: chunked", Offence::BareCarriageReturn),
        ] {
            assert_eq!(framing("HTTP/1.1", fields), Err(expected), "{fields:?}");
        }
        let answer = framing("HTTP/1.0", "Transfer-Encoding: chunked");
        assert_eq!(answer, Err(Offence::TransferCodingInHttp10));
    }

    #[test]
    fn parse_survives_any_bytes() {
        let mut seed = 42;
        for _ in 0..20_000 {
            let mut bytes = BROWSER.as_bytes().to_vec();
            for _ in 0..=xorshift(&mut seed) % 5 {
                let at = xorshift(&mut seed) as usize % bytes.len();
                bytes[at] = xorshift(&mut seed) as u8;
            }
            if let Ok(head) = Head::parse(&bytes) {
                assert!(head.host().is_some_and(|host| Authority::parse(host.as_bytes()).is_some()));
                assert!(head.target.bytes().all(|byte| byte.is_ascii_graphic()));
                let _ = (head.framing(), head.expects_continue(), head.keep_alive());
            }
        }
    }
}
