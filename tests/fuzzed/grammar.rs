//! The grammar of a request head, read line by line from the RFC: a second verdict on every head.
//!
//! It shares nothing with the program but its limits, and is slow and plain: it splits at CR LF where the program
//! goes octet by octet, and looks at each line alone. Read first: RFC 9112, sections 2.2, 3, 5 and 6; RFC 9110,
//! sections 5.5 and 5.6.2.

use encke::limits::{EMPTY_LINES_MAX, HEADERS_MAX, METHOD_BYTES_MAX, TARGET_BYTES_MAX};
use encke::wire::http::{Framing, Head, Offence, Version};

/// What a head says, by the grammar alone.
struct Lines<'a> {
    method: &'a [u8],
    target: &'a [u8],
    fields: Vec<(&'a [u8], &'a [u8])>,
}

/// Both verdicts on a whole head. What the program takes keeps to the grammar and says the same; what keeps to the
/// grammar is refused for reasons alone that the grammar has no word for.
pub(super) fn compare(input: &[u8], verdict: &Result<Head<'_>, Offence>) {
    let lines = read(input);
    match (verdict, &lines) {
        (Ok(head), None) => panic!("against the grammar: {head:?}"),
        (Ok(head), Some(lines)) => {
            assert_eq!((head.method.as_bytes(), head.target.as_bytes()), (lines.method, lines.target));
            for (name, value) in &lines.fields {
                let name = str::from_utf8(name).expect("a token is text");
                assert!(head.headers(name).any(|known| known == *value), "{name} is not {value:?}");
            }
            assert_eq!(head.framing().ok(), framing(head.version == Version::Http10, lines), "{head:?}");
        }
        (Err(offence), Some(lines)) => assert!(may_refuse(*offence, lines), "{offence:?} is no reason"),
        (Err(_), None) => {}
    }
}

/// The head in lines; `None` if the grammar has none like it.
fn read(input: &[u8]) -> Option<Lines<'_>> {
    let mut rest = input.strip_suffix(b"\r\n\r\n")?;
    for _ in 0..EMPTY_LINES_MAX {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    }
    let mut lines = Vec::new();
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n");
        let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
        // No CR and no LF but in pairs, and no control octet but the tab.
        if line.iter().any(|octet| (*octet < b' ' && *octet != b'\t') || *octet == 0x7f) {
            return None;
        }
        lines.push(line);
        match after.strip_prefix(b"\r\n") {
            Some(after) => rest = after,
            None => break,
        }
    }
    let (first, fields) = lines.split_first()?;
    let words: Vec<&[u8]> = first.split(|octet| *octet == b' ').collect();
    let [method, target, version] = words[..] else { return None };
    let is_version = matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']);
    if !is_token(method) || target.is_empty() || target.contains(&b'\t') || !is_version {
        return None;
    }
    let fields: Option<Vec<_>> = fields.iter().map(|line| field(line)).collect();
    Some(Lines { method, target, fields: fields? })
}

/// `field-name ":" OWS field-value OWS`.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|octet| *octet == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_space = |octet: &u8| matches!(octet, b' ' | b'\t');
    let from = value.iter().position(|octet| !is_space(octet)).unwrap_or(value.len());
    let to = value.iter().rposition(|octet| !is_space(octet)).map_or(from, |last| last + 1);
    is_token(name).then_some((name, &value[from..to]))
}

fn is_token(text: &[u8]) -> bool {
    let is_mark = |octet: &u8| b"!#$%&'*+-.^_`|~".contains(octet);
    !text.is_empty() && text.iter().all(|octet| octet.is_ascii_alphanumeric() || is_mark(octet))
}

/// RFC 9112, section 6.3, without what is only lawful to forgive.
fn framing(is_old: bool, lines: &Lines<'_>) -> Option<Framing> {
    let all = |wanted: &str| -> Vec<&[u8]> {
        let same = lines.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
        same.map(|(_, value)| *value).collect()
    };
    match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Some(Framing::None),
        ([length], []) => {
            let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            // The grammar takes zeros in front, which the program refuses on purpose.
            let is_plain = length.len() == 1 || !length.starts_with(b"0");
            let number = str::from_utf8(length).ok().filter(|_| is_number && is_plain)?;
            number.parse().ok().map(Framing::Length)
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && !is_old => Some(Framing::Chunked),
        _ => None,
    }
}

/// Reasons beyond the grammar: limits, and what names and versions mean.
fn may_refuse(offence: Offence, lines: &Lines<'_>) -> bool {
    match offence {
        Offence::MethodTooLong => lines.method.len() > METHOD_BYTES_MAX,
        Offence::TargetTooLong => lines.target.len() > TARGET_BYTES_MAX,
        Offence::TooManyHeaders => lines.fields.len() > HEADERS_MAX,
        Offence::HeadTooLong
        | Offence::ConnectUnsupported
        | Offence::InvalidTarget
        | Offence::UnsupportedVersion
        | Offence::MissingHost
        | Offence::DoubledHost
        | Offence::InvalidHost
        | Offence::UnmetExpectation => true,
        _ => false,
    }
}
