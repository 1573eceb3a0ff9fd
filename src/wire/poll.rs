//! The body of a poll: a client's id, the cursor to go on from, the events up to it.
//!
//! It does not know what an event is; each is canonical JSON ([`super::json`]). As a whole the body is
//! canonical too, so that JSONP may call with it as it stands.
//!
//! Read first: RFC 6202, section 2 (HTTP long polling).

use crate::wire::json::{is_inert, quote};

/// Where in a body the sid begins.
pub const SID_AT: usize = b"{\"sid\":\"".len();

/// Writes `{"sid":"…","cursor":"…","events":[…]}`.
pub fn emit<'a>(out: &mut Vec<u8>, sid: &str, cursor: &str, events: impl IntoIterator<Item = &'a [u8]>) {
    out.extend_from_slice(b"{\"sid\":");
    quote(out, sid);
    out.extend_from_slice(b",\"cursor\":");
    quote(out, cursor);
    out.extend_from_slice(b",\"events\":[");
    for (place, event) in events.into_iter().enumerate() {
        debug_assert!(is_inert(event), "an event is canonical JSON");
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(event);
    }
    out.extend_from_slice(b"]}");
}

/// A poll's body, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body<'a> {
    /// The client's id.
    pub sid: &'a str,
    /// Where to go on.
    pub cursor: &'a str,
    /// The events, each as it was sent.
    pub events: Vec<&'a [u8]>,
}

/// Reads a body as [`emit`] writes it, with a `sid` and a `cursor` that need no escapes, as the server's
/// never do. `None` for anything else. For tests, fuzzing and the simulator.
pub fn parse(body: &[u8]) -> Option<Body<'_>> {
    let (sid, rest) = plain_string(body.strip_prefix(b"{\"sid\":\"")?)?;
    let (cursor, rest) = plain_string(rest.strip_prefix(b",\"cursor\":\"")?)?;
    let events = rest.strip_prefix(b",\"events\":[")?.strip_suffix(b"]}")?;
    Some(Body { sid, cursor, events: split(events)? })
}

/// A string up to its closing quote, and what follows.
fn plain_string(text: &[u8]) -> Option<(&str, &[u8])> {
    let end = text.iter().position(|&octet| octet == b'"')?;
    let plain = std::str::from_utf8(&text[..end]).ok()?;
    (!plain.contains('\\')).then_some((plain, &text[end + 1..]))
}

/// The elements of an array, without its brackets: parted by the commas that are in no string and no
/// brackets.
fn split(elements: &[u8]) -> Option<Vec<&[u8]>> {
    if elements.is_empty() {
        return Some(Vec::new());
    }
    let mut all = Vec::new();
    let (mut start, mut depth, mut in_string, mut escaped) = (0, 0_usize, false, false);
    for (at, &octet) in elements.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                all.push(&elements[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    all.push(&elements[start..]);
    (depth == 0 && !in_string && all.iter().all(|element| !element.is_empty())).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emitted(events: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        emit(&mut out, "c0ffee", "7f3a-42", events.iter().map(|event| event.as_bytes()));
        out
    }

    #[test]
    fn an_empty_body() {
        assert_eq!(emitted(&[]), br#"{"sid":"c0ffee","cursor":"7f3a-42","events":[]}"#);
    }

    #[test]
    fn parse_is_the_twin_of_emit() {
        let events = [r#"{"a":[1,2,{"b":","}]}"#, r#"{"q":"\"],}{[\\"}"#, "[]", "1", r#""😀""#];
        for count in 0..=events.len() {
            let out = emitted(&events[..count]);
            let body = parse(&out).expect("whole");
            assert_eq!((body.sid, body.cursor), ("c0ffee", "7f3a-42"));
            let expected: Vec<&[u8]> = events[..count].iter().map(|event| event.as_bytes()).collect();
            assert_eq!(body.events, expected);
            let value: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
            assert_eq!(value["events"].as_array().map(Vec::len), Some(count));
            for cut in 0..out.len() {
                assert_eq!(parse(&out[..cut]), None, "cut at {cut}");
            }
        }
    }

    #[test]
    fn what_emit_never_writes_is_not_read() {
        for body in
            ["{}", r#"{"sid":"a","cursor":"b","events":[,]}"#, r#"{"sid":"a","cursor":"b","events":[}]}"#]
        {
            assert_eq!(parse(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn ids_are_quoted() {
        let mut out = Vec::new();
        emit(&mut out, "a\"<", "1", []);
        assert!(out.starts_with(br#"{"sid":"a\"\u003c","cursor""#));
    }
}
