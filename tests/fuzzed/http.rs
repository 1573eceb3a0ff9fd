//! HTTP: heads, bodies, targets and responses, against each other and against httparse.
//!
//! httparse takes the field lines apart in the program too; here it reads whole heads, request line, line
//! ends and all, which the program does by itself.

use encke::account::Chunk;
use encke::limits::{HEAD_BYTES_DEFAULT, HEADERS_MAX};
use encke::wire::body::{self, Decoder, Progress};
use encke::wire::handshake;
use encke::wire::http::{Framing, Head, HeadScanner, Offence, Version};
use encke::wire::response::{Emit, Length, Response};
use encke::wire::target::{self, Authority, Target};

use super::grammar;
use super::{Choices, agreed};

/// Bytes of content that a body may have here: few, so that the bound is met.
const CONTENT_BYTES_MAX: u64 = 1000;

/// A head is found at the same place however it arrives. The grammar of the RFC, read line by line, says the
/// same of it. What is accepted is accepted by httparse with the same meaning, says the same when it is
/// written again, and has one length of body.
pub fn http_head(input: &[u8]) {
    let found = agreed(input, scan);
    let parsed = Head::parse(input);
    grammar::compare(input, &parsed);
    if found != Ok(Some(input.len())) {
        assert!(parsed.is_err(), "only what the scanner measured is a head");
    }
    let Ok(Some(len)) = found else { return };
    assert!(len <= HEAD_BYTES_DEFAULT);
    let Ok(head) = Head::parse(&input[..len]) else { return };

    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut other = httparse::Request::new(&mut headers);
    let known = with_known_version(&input[..len]);
    assert_eq!(other.parse(&known), Ok(httparse::Status::Complete(len)), "{head:?}");
    let minor = u8::from(head.version == Version::Http11);
    assert_eq!(
        (other.method, other.path, other.version),
        (Some(head.method), Some(head.target), Some(minor))
    );
    check_framing(&head, other.headers);
    check_again(&head, other.headers);
}

/// The same head in HTTP/1.1 if its minor version is a higher one: httparse knows none.
fn with_known_version(head: &[u8]) -> Vec<u8> {
    let mut head = head.to_vec();
    if let Some(at) = head.windows(8).position(|part| part.starts_with(b" HTTP/1."))
        && let Some(minor @ b'2'..=b'9') = head.get_mut(at + 8)
    {
        *minor = b'1';
    }
    head
}

/// What the scanner says to bytes that arrive in these pieces.
fn scan(pieces: &[&[u8]]) -> Result<Option<usize>, Offence> {
    let (mut scanner, mut buffer) = (HeadScanner::new(), Vec::new());
    let mut had_begun = false;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let found = scanner.scan(&buffer);
        assert_eq!(scanner.scan(&buffer), found, "asked twice");
        assert!(scanner.has_begun() || !had_begun, "a request that has begun stays so");
        had_begun = scanner.has_begun();
        if found != Ok(None) {
            return found;
        }
    }
    Ok(None)
}

/// The length of a body is known from one field that says it once, or there is none.
fn check_framing(head: &Head<'_>, headers: &[httparse::Header<'_>]) {
    let values = |name: &str| -> Vec<&[u8]> {
        let same = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        same.map(|header| header.value).collect()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    match head.framing() {
        Ok(Framing::None) => assert!(lengths.is_empty() && codings.is_empty()),
        Ok(Framing::Length(length)) => {
            assert!(codings.is_empty() && lengths.len() == 1);
            assert!(lengths[0].iter().all(u8::is_ascii_digit));
            let text = str::from_utf8(lengths[0]).expect("digits");
            assert_eq!(text.parse(), Ok(length));
        }
        Ok(Framing::Chunked) => {
            assert!(lengths.is_empty() && codings.len() == 1);
            assert!(codings[0].eq_ignore_ascii_case(b"chunked"));
            assert_eq!(head.version, Version::Http11);
        }
        Err(_) => assert!(lengths.len() + codings.len() > 0),
    }
}

/// Written again from its parts a head says the same.
fn check_again(head: &Head<'_>, headers: &[httparse::Header<'_>]) {
    let version = if head.version == Version::Http11 { "1.1" } else { "1.0" };
    let mut again = format!("{} {} HTTP/{version}\r\n", head.method, head.target).into_bytes();
    for header in headers {
        again.extend_from_slice(header.name.as_bytes());
        again.extend_from_slice(b": ");
        again.extend_from_slice(header.value);
        again.extend_from_slice(b"\r\n");
    }
    again.extend_from_slice(b"\r\n");
    // The space behind a colon may be one more byte than was sent.
    if again.len() > HEAD_BYTES_DEFAULT {
        return;
    }
    let other = Head::parse(&again).unwrap_or_else(|offence| panic!("{offence:?} in {head:?} written again"));
    assert_eq!((other.method, other.target, other.version), (head.method, head.target, head.version));
    assert_eq!((other.host(), other.path_and_query()), (head.host(), head.path_and_query()));
    assert_eq!(other.framing(), head.framing());
    assert_eq!(other.keep_alive(), head.keep_alive());
    assert_eq!(other.expects_continue(), head.expects_continue());
    for header in headers {
        assert!(other.headers(header.name).eq(head.headers(header.name)), "{}", header.name);
    }
}

/// A chunked body gives the same content however it arrives, never more than it may, and what is accepted is
/// what a reader without a state machine finds. What is written in chunks is read back.
pub fn chunked(input: &[u8]) {
    if let Ok((content, progress)) = agreed(input, decode) {
        assert!(content.len() as u64 <= CONTENT_BYTES_MAX);
        if progress.done {
            assert_eq!(naive(&input[..progress.consumed]), Some(content));
        } else {
            assert_eq!(progress.consumed, input.len());
        }
    }
    let mut emitted = Vec::new();
    let content = &input[..input.len().min(CONTENT_BYTES_MAX as usize)];
    let pieces = usize::from(*input.first().unwrap_or(&0)) + 1;
    for piece in content.chunks(pieces) {
        body::emit_chunk(&mut emitted, piece);
    }
    emitted.extend_from_slice(body::LAST_CHUNK);
    let progress = Progress { consumed: emitted.len(), done: true };
    assert_eq!(decode(&[&emitted[..]]), Ok((content.to_vec(), progress)));
}

fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, Progress), Offence> {
    let mut decoder = Decoder::new(Framing::Chunked, CONTENT_BYTES_MAX)?;
    let (mut content, mut all) = (Vec::new(), Progress { consumed: 0, done: false });
    for piece in pieces {
        let progress = decoder.decode(piece, &mut content)?;
        assert!(progress.consumed == piece.len() || progress.done, "all is taken up to the end");
        assert_eq!(progress.done, decoder.is_done());
        all = Progress { consumed: all.consumed + progress.consumed, done: progress.done };
    }
    Ok((content, all))
}

/// The content of a whole chunked body, line by line.
fn naive(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let line = take_line(&mut body)?;
        // An extension may hold octets that are no text, and spaces may stand before it.
        let digits = line.split(|&octet| octet == b';').next()?.trim_ascii_end();
        let size = usize::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        content.extend_from_slice(body.get(..size)?);
        body = body[size..].strip_prefix(b"\r\n")?;
    }
    while !take_line(&mut body)?.is_empty() {}
    body.is_empty().then_some(content)
}

fn take_line<'a>(text: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = text.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &text[..end];
    *text = &text[end + 2..];
    Some(line)
}

/// Percent-encoding is undone by decoding; a query written again from its parameters has the same ones; parts
/// of a target are all of it.
pub fn target(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    assert_eq!(target::decode(&target::encode(text)).as_deref(), Ok(text));
    assert_eq!(target::decode_form(&target::encode(text)).as_deref(), Ok(text));
    assert!(
        target::encode(text).bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#&=+\"<>".contains(&byte))
    );
    if let Ok(decoded) = target::decode(text) {
        assert!(decoded.len() <= text.len());
        assert_eq!(target::decode(&target::encode(&decoded)).as_deref(), Ok(&*decoded));
    }

    let parsed = Target::parse(text);
    if !text.is_empty() && !text.starts_with('?') {
        assert!(text.starts_with(parsed.path()) && text.ends_with(parsed.raw_query()));
        let mark = usize::from(text.contains('?'));
        assert_eq!(parsed.path().len() + mark + parsed.raw_query().len(), text.len());
    }
    assert!(parsed.segments().count() >= 1);
    if let Ok(pairs) = parsed.query().collect::<Result<Vec<_>, _>>() {
        let again: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("{}={}", target::encode(key), target::encode(value)))
            .collect();
        let again = format!("/?{}", again.join("&"));
        assert_eq!(Target::parse(&again).query().collect::<Result<Vec<_>, _>>(), Ok(pairs));
    }
    if let Some((authority, rest)) = target::split_absolute(text) {
        assert!(text.ends_with(&format!("{authority}{rest}")));
        assert!(!authority.contains(['/', '?']) && (rest.is_empty() || rest.starts_with(['/', '?'])));
    }
    if Authority::parse(text.as_bytes()).is_some() {
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\\"<>".contains(&byte)), "{text}");
    }
}

/// Whatever an application puts into names and values, a response has the fields that it was given and no
/// more, and the body behind them.
pub fn response(input: &[u8]) {
    let mut choices = Choices::new(input);
    let status = choices.pick(&[200, 101, 204, 304, 404, 599]);
    let (version, keep_alive) = (choices.pick(&[Version::Http10, Version::Http11]), choices.below(2) == 0);
    let head_only = choices.below(4) == 3;
    let length = match choices.below(3) {
        0 => Length::Known,
        1 => Length::Close,
        _ => Length::stream(version),
    };
    let mut response = Response::new(status);
    let fields = choices.below(5);
    for _ in 0..fields {
        response = response.with_header(choices.text().into_owned(), choices.text().into_owned());
    }
    if choices.below(3) == 0 {
        response = Response::problem(status, &choices.text(), &choices.text());
        let problem: serde_json::Value = serde_json::from_slice(response.body()).expect("a problem is JSON");
        assert_eq!(problem["status"], status);
    } else {
        response = response.with_body(choices.text().into_owned(), choices.rest().to_vec());
    }
    let date = "Thu, 01 Jan 1970 00:00:00 GMT";
    let mut out = Vec::new();
    let emit = Emit { date, version, keep_alive, head_only, length };
    response.emit(&emit, &mut out);
    // A body that is not copied comes behind the same head.
    let mut apart = Vec::new();
    let body = response.clone().emit_apart(&emit, &mut apart);
    apart.extend_from_slice(body.as_ref().map_or(&[], Chunk::as_slice));
    assert_eq!(apart, out);

    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut other = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(len)) = other.parse(&out) else { panic!("no response: {out:?}") };
    assert_eq!(other.code, Some(status));
    let count = |name: &str| other.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).count();
    let has_body = !matches!(status, 101 | 204 | 304);
    assert_eq!(count("content-length"), usize::from(has_body && length == Length::Known));
    assert_eq!(count("transfer-encoding"), usize::from(has_body && length == Length::Chunked));
    assert_eq!(count("date"), usize::from(status >= 200));
    assert!(count("connection") <= 1 && count("content-type") == 1);
    // Fields of ours: at most five. None of the given ones became two.
    assert!(other.headers.len() <= fields + 5);
    if !has_body || head_only {
        assert_eq!(out.len(), len);
    } else if length == Length::Chunked {
        let chunked = [&out[len..], body::LAST_CHUNK].concat();
        assert_eq!(naive(&chunked).as_deref(), Some(response.body()));
    } else {
        assert_eq!(&out[len..], response.body());
    }
}

/// A head that is taken for an upgrade carries all that RFC 6455 asks for, and the answer to it is the one
/// that another implementation expects.
pub fn handshake(input: &[u8]) {
    let Ok(Some(len)) = scan(&[input]) else { return };
    let Ok(head) = Head::parse(&input[..len]) else { return };
    let request = handshake::Request::of(&head);
    let accept = match handshake::check(&request) {
        Ok(accept) => accept,
        Err(refusal) => {
            assert!((400..500).contains(&refusal.status()));
            return;
        }
    };
    let mut out = Vec::new();
    handshake::emit(accept, None, None, &mut out);
    let mut headers = [httparse::EMPTY_HEADER; 8];
    let mut answer = httparse::Response::new(&mut headers);
    assert_eq!(answer.parse(&out), Ok(httparse::Status::Complete(out.len())));
    assert_eq!(answer.code, Some(101));
    let field =
        |name: &str| answer.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value);
    let key = request.key.expect("accepted with a key");
    let expected = tungstenite::handshake::derive_accept_key(key);
    assert_eq!(field("sec-websocket-accept"), Some(expected.as_bytes()));
    assert!(field("upgrade").is_some_and(|value| value.eq_ignore_ascii_case(b"websocket")));
    assert!(field("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"upgrade")));
}
