//! Responses: status line, header fields and body, for everything that answers plain HTTP.
//!
//! It knows no request beyond its version, no route and no clock. Four fields are its own, for they decide
//! where a response ends: Content-Length, Transfer-Encoding, Connection and Date. Nothing an application
//! puts into a name or a value can add a line or split the response in two. No browser may guess what a body
//! is (WHATWG Fetch, section 3.6): every response says so.
//!
//! Read first: RFC 9112, sections 4, 6 and 9; RFC 9110, sections 5.6.7, 6.6.1, 8.6 and 15; RFC 9457.

use std::borrow::Cow;

use super::body;
use super::http::{Offence, Version, is_token_byte};
use super::runs::all;
use crate::account::Chunk;
use crate::limits::BODY_COPIED_BYTES_MAX;

/// The interim answer to `Expect: 100-continue`. RFC 9110, section 15.2.1.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The fields that frame a response; `emit` writes them, applications don't.
const OWN_FIELDS: [&str; 4] = ["content-length", "transfer-encoding", "connection", "date"];

/// A response before it is bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    /// Apart from the others: most responses have this field and no other.
    content_type: Option<Cow<'static, str>>,
    headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    body: Chunk,
}

/// How the receiver finds the end of the body. RFC 9112, section 6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// The body is all there: Content-Length.
    Known,
    /// It goes on; the end of the connection is its end.
    Close,
    /// It goes on in chunks, made by `body::emit_chunk`, and ends with `body::LAST_CHUNK`. For HTTP/1.1
    /// alone.
    Chunked,
}

impl Length {
    /// For a stream to a peer of that version: HTTP/1.0 knows no chunks.
    pub fn stream(version: Version) -> Length {
        match version {
            Version::Http10 => Length::Close,
            Version::Http11 => Length::Chunked,
        }
    }
}

/// What a response must know of its moment and of the request it answers.
#[derive(Clone, Copy, Debug)]
pub struct Emit<'a> {
    /// Now, as `httpdate` writes it.
    pub date: &'a str,
    /// The version of the request.
    pub version: Version,
    /// Whether the connection goes on afterwards.
    pub keep_alive: bool,
    /// Whether it answers HEAD: all fields, no body.
    pub head_only: bool,
    /// How the end of the body is found.
    pub length: Length,
}

impl Response {
    /// An empty response. The status has three digits.
    pub fn new(status: u16) -> Response {
        assert!((100..1000).contains(&status), "status {status}");
        Response { status, content_type: None, headers: Vec::new(), body: Chunk::Static(b"") }
    }

    /// Plain text in UTF-8.
    pub fn text(status: u16, text: impl Into<Chunk>) -> Response {
        Response::new(status).with_known_type("text/plain; charset=utf-8", text.into())
    }

    /// JSON, already encoded.
    pub fn json(status: u16, json: impl Into<Chunk>) -> Response {
        Response::new(status).with_known_type("application/json", json.into())
    }

    /// A problem document: `code` for programs, `detail` for people. RFC 9457, section 3.1; without a
    /// `type` the title is the status phrase (section 4.2.1).
    pub fn problem(status: u16, code: &str, detail: &str) -> Response {
        let mut json = format!("{{\"status\":{status},\"code\":");
        push_json(&mut json, code);
        json.push_str(",\"title\":");
        push_json(&mut json, reason(status));
        json.push_str(",\"detail\":");
        push_json(&mut json, detail);
        json.push('}');
        Response::new(status).with_known_type("application/problem+json", json.into())
    }

    /// Adds a field, or sets the Content-Type. Control bytes in a value become spaces, bytes in a name that
    /// are no token bytes become `_`; a field without a name, or one that frames the response, is dropped.
    pub fn with_header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Response {
        let (name, value) = (harmless_name(name.into()), harmless_value(value.into()));
        if name.eq_ignore_ascii_case("content-type") {
            self.content_type = Some(value);
        } else if !name.is_empty() && !OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(&name)) {
            self.headers.push((name, value));
        }
        self
    }

    /// Names a request field that the response depends on, beside those that it names already (RFC 9110,
    /// section 12.5.5).
    pub fn with_vary(mut self, field: &'static str) -> Response {
        match self.headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("vary")) {
            Some((_, list)) => *list = format!("{list}, {field}").into(),
            None => self.headers.push((Cow::Borrowed("Vary"), Cow::Borrowed(field))),
        }
        self
    }

    /// Sets the body and its Content-Type. A body that is shared, or part of the program, is sent as it is:
    /// it takes no memory for those who are sent it.
    pub fn with_body(
        mut self,
        content_type: impl Into<Cow<'static, str>>,
        body: impl Into<Chunk>,
    ) -> Response {
        self.content_type = Some(harmless_value(content_type.into()));
        self.body = body.into();
        self
    }

    /// The same with a type of our own, which nobody need look at.
    #[inline]
    fn with_known_type(self, content_type: &'static str, body: Chunk) -> Response {
        Response { content_type: Some(Cow::Borrowed(content_type)), body, ..self }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        self.body.as_slice()
    }

    /// The value of the first field of that name, as it will be sent.
    pub fn header(&self, name: &str) -> Option<&str> {
        if name.eq_ignore_ascii_case("content-type") {
            return self.content_type.as_deref();
        }
        let mut headers = self.headers.iter();
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Appends the response. With a length that is not known the body is the beginning of a stream: its
    /// first bytes, or its first chunk.
    pub fn emit(&self, emit: &Emit<'_>, out: &mut Vec<u8>) {
        self.emit_head(emit, out);
        self.emit_body(emit, out);
    }

    /// The same but for a body of a known length that is too long to be copied: that is given back, to go out
    /// behind what was appended.
    #[must_use]
    pub fn emit_apart(self, emit: &Emit<'_>, out: &mut Vec<u8>) -> Option<Chunk> {
        self.emit_head(emit, out);
        let is_apart = emit.length == Length::Known && self.body().len() > BODY_COPIED_BYTES_MAX;
        if is_apart && !emit.head_only && self.has_body() {
            return Some(self.body);
        }
        self.emit_body(emit, out);
        None
    }

    fn emit_body(&self, emit: &Emit<'_>, out: &mut Vec<u8>) {
        match emit.length {
            _ if emit.head_only || !self.has_body() => {}
            Length::Chunked => body::emit_chunk(out, self.body()),
            Length::Known | Length::Close => out.extend_from_slice(self.body()),
        }
    }

    /// Appends all but the body.
    fn emit_head(&self, emit: &Emit<'_>, out: &mut Vec<u8>) {
        debug_assert!(emit.length != Length::Chunked || emit.version == Version::Http11);
        // RFC 9110, section 6.2: the version is the server's own, not the
        // request's.
        let digit = |place: u16| b'0' + (self.status / place % 10) as u8;
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
        out.extend_from_slice(reason(self.status).as_bytes());
        if self.status >= 200 {
            out.extend_from_slice(b"\r\nDate: ");
            out.extend_from_slice(emit.date.as_bytes());
            out.extend_from_slice(b"\r\nX-Content-Type-Options: nosniff");
        }
        out.extend_from_slice(b"\r\n");
        self.emit_connection(emit, out);
        if let Some(content_type) = &self.content_type {
            out.extend_from_slice(b"Content-Type: ");
            out.extend_from_slice(content_type.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        for (name, value) in &self.headers {
            emit_field(out, name, value);
        }
        if !self.has_body() {
            out.extend_from_slice(b"\r\n");
            return;
        }
        match emit.length {
            Length::Known => {
                out.extend_from_slice(b"Content-Length: ");
                push_number(out, self.body().len());
                out.extend_from_slice(b"\r\n");
            }
            Length::Chunked => emit_field(out, "Transfer-Encoding", "chunked"),
            Length::Close => {}
        }
        out.extend_from_slice(b"\r\n");
    }

    /// RFC 9112, section 9.3: HTTP/1.1 goes on unless it says close, HTTP/1.0 the other way round.
    /// RFC 9110, section 7.8: Upgrade is named in Connection.
    fn emit_connection(&self, emit: &Emit<'_>, out: &mut Vec<u8>) {
        // The answer to a HEAD ends with its fields (RFC 9112, section 6.3), whatever a GET would have got.
        let has_body = self.has_body() && !emit.head_only;
        let ends = !emit.keep_alive || (emit.length == Length::Close && has_body);
        let persistence = match emit.version {
            // A 101 ends HTTP on this connection; what follows has its own way to close.
            _ if self.status < 200 => "",
            _ if ends => "close",
            Version::Http10 => "keep-alive",
            Version::Http11 => "",
        };
        match (self.header("upgrade").is_some(), persistence) {
            (false, "") => {}
            (false, option) => emit_field(out, "Connection", option),
            (true, "") => emit_field(out, "Connection", "Upgrade"),
            (true, option) => emit_field(out, "Connection", &format!("Upgrade, {option}")),
        }
    }

    /// RFC 9110, section 8.6 and RFC 9112, section 6.3: these have no body, and say nothing of its length.
    fn has_body(&self) -> bool {
        self.status >= 200 && self.status != 204 && self.status != 304
    }
}

impl From<Offence> for Response {
    /// The answer to a request that is refused. The connection is closed behind it.
    fn from(offence: Offence) -> Response {
        Response::problem(offence.status(), offence.code(), offence.sentence())
    }
}

/// The phrase of a status. RFC 9110, section 15; RFC 6585 for 428 to 431. Empty when there is none, as
/// RFC 9112, section 4 allows.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

/// A moment as Date carries it, `Sun, 06 Nov 1994 08:49:37 GMT`. RFC 9110, section 5.6.7.
///
/// Takes milliseconds since 1970; the last moment it can write ends the year 9999, later ones are that one.
pub fn httpdate(ms_since_1970: u64) -> String {
    const SECONDS_MAX: u64 = 253_402_300_799;
    // 1 January 1970 was a Thursday.
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = (ms_since_1970 / 1000).min(SECONDS_MAX);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        WEEKDAYS[(days % 7) as usize],
        MONTHS[month],
        second / 3600,
        second / 60 % 60,
        second % 60,
    )
}

/// Year, month from 0 and day from 1 of a day since 1970.
///
/// Years are counted from 1 March, so that the leap day comes last and months follow a line: 153 days each
/// five of them. 400 years have 146,097 days. (Howard Hinnant, "chrono-compatible low-level date
/// algorithms".)
fn civil(days_since_1970: u64) -> (u64, usize, u64) {
    // From 1 March of the year 0 to 1 January 1970.
    let days = days_since_1970 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    // January and February belong to the next year.
    let year = era * 400 + year + u64::from(month < 2);
    (year, month as usize, day_of_month)
}

/// A number in decimal, without the machinery of `fmt`: nearly every response has one.
fn push_number(out: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        // Below ten: the cast loses nothing.
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

fn emit_field(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// RFC 9110, section 5.5: a recipient may make CR, LF and NUL spaces; the sender does it first.
fn harmless_value(value: Cow<'static, str>) -> Cow<'static, str> {
    if all(value.as_bytes(), |byte| (b' '..0x7f).contains(&byte)) || !value.contains(char::is_control) {
        return value;
    }
    Cow::Owned(value.replace(char::is_control, " "))
}

/// `_`, which no framing field has in its name: none can be bent into one of them.
fn harmless_name(name: Cow<'static, str>) -> Cow<'static, str> {
    if all(name.as_bytes(), is_token_byte) {
        return name;
    }
    let is_token = |c: char| u8::try_from(c).is_ok_and(is_token_byte);
    Cow::Owned(name.replace(|c| !is_token(c), "_"))
}

/// Appends a JSON string. RFC 8259, section 7; `<` is escaped too, so that no reader finds a tag in it.
fn push_json(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '<' | '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{2028}' | '\u{2029}' => {
                json.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => json.push(c),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Image;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    const EMIT: Emit<'_> = Emit {
        date: DATE,
        version: Version::Http11,
        keep_alive: true,
        head_only: false,
        length: Length::Known,
    };

    fn emitted(response: &Response, emit: &Emit<'_>) -> String {
        let mut out = Vec::new();
        response.emit(emit, &mut out);
        String::from_utf8(out).expect("UTF-8 in these tests")
    }

    #[test]
    fn known_length() {
        let response = Response::text(200, "hello").with_header("Cache-Control", "no-store");
        assert_eq!(
            emitted(&response, &EMIT),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Cache-Control: no-store\r\n\
             Content-Length: 5\r\n\r\nhello"
        );
    }

    #[test]
    fn head_has_the_length_but_no_body() {
        let text = emitted(&Response::text(200, "hello"), &Emit { head_only: true, ..EMIT });
        assert!(text.contains("\r\nContent-Length: 5\r\n"));
        assert!(text.ends_with("\r\n\r\n"));
    }

    #[test]
    fn a_long_body_is_not_copied() {
        let picture = Image::from(vec![7; BODY_COPIED_BYTES_MAX + 1]);
        let response = Response::new(200).with_body("image/png", picture.clone());
        let mut whole = Vec::new();
        response.emit(&EMIT, &mut whole);
        let mut head = Vec::new();
        let Some(Chunk::Shared(body)) = response.clone().emit_apart(&EMIT, &mut head) else {
            panic!("it was copied")
        };
        assert_eq!(body.as_ptr(), picture.as_ptr());
        assert_eq!([&head[..], &body].concat(), whole);
        let mut out = Vec::new();
        assert_eq!(response.clone().emit_apart(&Emit { head_only: true, ..EMIT }, &mut out), None);
        assert_eq!(out, head, "HEAD has all but the body");
        assert_eq!(Response::text(200, "short").emit_apart(&EMIT, &mut out), None);
        assert!(out.ends_with(b"short"));
    }

    #[test]
    fn some_statuses_have_neither() {
        for status in [101, 204, 304] {
            let text = emitted(&Response::text(status, "hello"), &EMIT);
            assert!(!text.contains("Content-Length") && text.ends_with("\r\n\r\n"), "{text}");
        }
        assert!(emitted(&Response::new(200), &EMIT).contains("\r\nContent-Length: 0\r\n"));
    }

    #[test]
    fn connection_by_version_and_wish() {
        for (version, keep_alive, expected) in [
            (Version::Http11, true, None),
            (Version::Http11, false, Some("\r\nConnection: close\r\n")),
            (Version::Http10, true, Some("\r\nConnection: keep-alive\r\n")),
            (Version::Http10, false, Some("\r\nConnection: close\r\n")),
        ] {
            let text = emitted(&Response::new(200), &Emit { version, keep_alive, ..EMIT });
            match expected {
                Some(line) => assert!(text.contains(line), "{text}"),
                None => assert!(!text.contains("Connection"), "{text}"),
            }
        }
    }

    #[test]
    fn upgrade_is_named_in_connection() {
        let response = Response::new(426).with_header("Upgrade", "websocket");
        let text = emitted(&response, &Emit { keep_alive: false, ..EMIT });
        assert!(text.contains("\r\nConnection: Upgrade, close\r\n"), "{text}");
        let response = Response::new(101).with_header("Upgrade", "websocket");
        assert_eq!(
            emitted(&response, &Emit { keep_alive: false, ..EMIT }),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
    }

    #[test]
    fn streams_end_by_close_or_in_chunks() {
        let response = Response::new(200).with_body("text/event-stream", ": hi\n\n");
        let text = emitted(&response, &Emit { length: Length::Close, ..EMIT });
        assert!(text.contains("\r\nConnection: close\r\n"));
        assert!(!text.contains("Content-Length") && !text.contains("Transfer-Encoding"));
        assert!(text.ends_with("\r\n\r\n: hi\n\n"));

        let text = emitted(&response, &Emit { length: Length::Chunked, ..EMIT });
        assert!(text.contains("\r\nTransfer-Encoding: chunked\r\n"));
        assert!(!text.contains("Content-Length") && !text.contains("Connection"));
        assert!(text.ends_with("\r\n\r\n6\r\n: hi\n\n\r\n"));
        assert_eq!(Length::stream(Version::Http10), Length::Close);
        assert_eq!(Length::stream(Version::Http11), Length::Chunked);
    }

    #[test]
    fn cr_lf_in_a_header() {
        let response = Response::new(200)
            .with_header("X\r\nSet-Cookie: a", "b\r\n\r\n<html>\0\u{85}\u{7f}c")
            .with_body("text/plain\r\nX: y", "");
        let text = emitted(&response, &EMIT);
        assert!(text.contains("\r\nX__Set-Cookie__a: b    <html>   c\r\n"), "{text}");
        assert!(text.contains("\r\nContent-Type: text/plain  X: y\r\n"), "{text}");
        assert_eq!(text.matches("\r\n\r\n").count(), 1);
        assert_eq!(text.matches("\r\n").count(), 7);
    }

    #[test]
    fn framing_is_not_the_application_s() {
        let response = Response::new(200)
            .with_header("content-length", "5")
            .with_header("Transfer-Encoding", "chunked")
            .with_header("Connection", "keep-alive")
            .with_header("Date", "never")
            .with_header("Transfer Encoding", "chunked")
            .with_header("", "x");
        assert_eq!(response, Response::new(200).with_header("Transfer_Encoding", "chunked"));
    }

    #[test]
    fn with_body_replaces_its_type() {
        let response = Response::text(200, "a").with_body("application/json", "1");
        assert_eq!(response, Response::json(200, "1"));
        assert_eq!(response.header("content-TYPE"), Some("application/json"));
    }

    #[test]
    fn problem_says_it_in_json() {
        let response = Response::problem(404, "no_channel", "Say \"which\" \\ <b>\n\u{2028}é");
        assert_eq!(response.header("Content-Type"), Some("application/problem+json"));
        let expected = "{\"status\":404,\"code\":\"no_channel\",\"title\":\"Not Found\",\
            \"detail\":\"Say \\\"which\\\" \\\\ \\u003cb>\\u000a\\u2028é\"}";
        assert_eq!(str::from_utf8(response.body()), Ok(expected));
    }

    #[test]
    fn every_offence_has_an_answer() {
        for &offence in Offence::ALL {
            let response = Response::from(offence);
            assert_eq!(response.status(), offence.status());
            assert_ne!(reason(response.status()), "", "{offence:?}");
        }
    }

    #[test]
    fn dates_known() {
        for (seconds, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            // The example of RFC 9110, section 5.6.7.
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (68_169_600, "Tue, 29 Feb 1972 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_704_067_199, "Sun, 31 Dec 2023 23:59:59 GMT"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(httpdate(seconds * 1000 + 999), expected);
        }
        assert_eq!(httpdate(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    /// Walks a calendar that counts on its fingers beside the one that calculates.
    #[test]
    fn dates_of_four_hundred_years() {
        let (mut year, mut month, mut day) = (1970, 0, 1);
        for days in 0..=146_097 {
            assert_eq!(civil(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            day += 1;
            if day > lengths[month] {
                (day, month) = (1, month + 1);
            }
            if month == 12 {
                (month, year) = (0, year + 1);
            }
        }
    }
}
