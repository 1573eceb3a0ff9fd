//! Events as scripts: the forever iframe, its htmlfile twin, and JSONP.
//!
//! It does not know what an object says, only that it is canonical JSON ([`super::json`]): no `<` and no line
//! end of JavaScript, so that no message can end its script. A callback's name comes from the query, and
//! passes [`is_callback`] or goes nowhere.
//!
//! Read first: HTML, sections 4.12.1 (script) and 13.2.6.4.8 (a script runs when its end tag is parsed). No
//! specification covers htmlfile: it is an ActiveX document, without a window of its own to show that a page
//! is still loading, in which a page of the same origin opens this iframe.
//!
//! ```text
//! page ----------------> iframe: preamble, then <script>e({...})</script> as messages come
//!   parent.callback <------------- e
//!
//! page -> htmlfile ----> iframe: the same document, byte for byte
//!   parentWindow.callback <------- e
//! ```

use crate::limits::{CALLBACK_BYTES_MAX, PAD_BYTES_MAX};
use crate::wire::json::is_inert;

/// The content security policy of the document. Calls differ with every message and are the same for every
/// reader, so neither a hash nor a nonce can name them; inline script is the one thing this transport needs.
/// Everything else is shut, and messages cannot leave their string, let alone become script. Pages of other
/// origins could not hear a callback that is called in them, and may have no frame to call others from.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; script-src 'unsafe-inline'; frame-ancestors 'self'";

/// Before the callback's name. In the language of 1999, which htmlfile's browsers speak.
///
/// `e` first empties the body of what has been parsed so far, its own script included: a stream of a week
/// must not be a document of a week, also when the callback throws. Then it looks for the callback's home. In
/// an iframe that is the parent window; inside htmlfile the window is reached through the parent's document,
/// and elsewhere `parentWindow` does not exist or is the same window. A parent of another origin throws when
/// touched; the call after it then reports that where a developer will see it.
///
/// In a window of its own it calls nothing. A site that opened it there could have it call a button of the
/// page that it has meanwhile led its own window to: `callback=opener.document.body.lastChild.click`. In a
/// frame of a foreign page the policy above keeps it from running at all.
const DOCUMENT: &[u8] = b"<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>stream</title><script>\n\
function e(o){\
var b=document.body,p=parent;\
while(b.firstChild)b.removeChild(b.firstChild);\
if(top==self)return;\
try{p=p.document.parentWindow||p}catch(x){}\
p.";

const BODY: &[u8] = b"(o)}\n</script></head><body>\n";
const COMMENT: (&[u8], &[u8]) = (b"<!--", b"-->\n");
const CALL: (&[u8], &[u8]) = (b"<script>e(", b")</script>\n");
const END: &[u8] = b"</body></html>\n";
const JSONP: &[u8] = b"/**/";

/// Whether `name` may be called: identifiers of ASCII letters, digits, `_` and `$`, joined by dots, nothing
/// else. What passes is safe in a script, in HTML and in a header.
pub fn is_callback(name: &str) -> bool {
    let is_identifier = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
    };
    name.len() <= CALLBACK_BYTES_MAX && name.split('.').all(is_identifier)
}

/// Writes the document up to where calls may follow, and a comment of `pad` bytes: old browsers show nothing
/// until so much is here (Internet Explorer 256, Safari and Chrome 1,024).
pub fn preamble(out: &mut Vec<u8>, callback: &str, pad: usize) {
    assert!(is_callback(callback), "a callback is checked before it is written");
    out.extend_from_slice(DOCUMENT);
    out.extend_from_slice(callback.as_bytes());
    out.extend_from_slice(BODY);
    if pad > 0 {
        padding(out, pad);
    }
}

/// Writes a comment of `bytes` bytes, and of no fewer than a comment needs.
pub fn padding(out: &mut Vec<u8>, bytes: usize) {
    let (open, shut) = COMMENT;
    let blank = bytes.min(PAD_BYTES_MAX).saturating_sub(open.len() + shut.len());
    out.extend_from_slice(open);
    out.resize(out.len() + blank, b' ');
    out.extend_from_slice(shut);
}

/// Writes one call. The callback's name is not in it: the bytes are the same for every reader.
pub fn call(out: &mut Vec<u8>, json: &[u8]) {
    debug_assert!(is_inert(json), "only canonical JSON goes into a script");
    let (open, shut) = CALL;
    out.extend_from_slice(open);
    out.extend_from_slice(json);
    out.extend_from_slice(shut);
}

/// Writes the document's end.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(END);
}

/// Writes a JSONP body. The comment in front keeps the callback's name from being the first bytes of the
/// response: with them chosen by a stranger, a script can pass for another format (Rosetta Flash,
/// CVE-2014-4671).
pub fn jsonp(out: &mut Vec<u8>, callback: &str, json: &[u8]) {
    assert!(is_callback(callback), "a callback is checked before it is written");
    debug_assert!(is_inert(json), "only canonical JSON goes into a script");
    out.extend_from_slice(JSONP);
    out.extend_from_slice(callback.as_bytes());
    out.push(b'(');
    out.extend_from_slice(json);
    out.extend_from_slice(b");");
}

/// The objects of the complete calls in a document or a piece of one, as [`call`] wrote them. `None` when
/// something else stands among them. The preamble, if there is one, is passed over.
pub fn parse(document: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = document;
    if rest.starts_with(DOCUMENT) {
        rest = after(rest, BODY)?.1;
    }
    let mut objects = Vec::new();
    while !rest.is_empty() && rest != END {
        if let Some(comment) = rest.strip_prefix(COMMENT.0) {
            rest = after(comment, COMMENT.1)?.1;
        } else {
            let (object, tail) = after(rest.strip_prefix(CALL.0)?, CALL.1)?;
            objects.push(object);
            rest = tail;
        }
    }
    Some(objects)
}

/// The callback and the object of a JSONP body, as [`jsonp`] wrote it.
pub fn parse_jsonp(body: &[u8]) -> Option<(&str, &[u8])> {
    let call = body.strip_prefix(JSONP)?.strip_suffix(b");")?;
    let open = call.iter().position(|&octet| octet == b'(')?;
    let callback = std::str::from_utf8(&call[..open]).ok()?;
    is_callback(callback).then_some((callback, &call[open + 1..]))
}

/// What stands before the first `mark`, and what after it.
fn after<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(mark.len()).position(|window| window == mark)?;
    Some((&text[..at], &text[at + mark.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::compact;

    #[test]
    fn callbacks_are_dotted_identifiers_and_nothing_else() {
        for name in ["f", "_", "$", "jQuery1_2", "app.comet.on$", "a.b.c"] {
            assert!(is_callback(name), "{name}");
        }
        let long = "x".repeat(CALLBACK_BYTES_MAX + 1);
        assert!(is_callback(&long[1..]));
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "1a",
            "a.1",
            "a-b",
            "a b",
            "a\n",
            "a(",
            "a;b",
            "a[0]",
            "<b>",
            "é",
            "a\u{2028}",
            "alert(1)//",
            "\0",
            &long,
        ] {
            assert!(!is_callback(name), "{name:?}");
        }
    }

    #[test]
    fn a_document_is_read_back() {
        let mut out = Vec::new();
        preamble(&mut out, "app.on", 256);
        assert!(out.starts_with(b"<!DOCTYPE html>"));
        let before = out.len();
        let objects = [r#"{"a":"</script><script>alert(1)"}"#, r#"{"a":")</script>\n<!--"}"#, "[1,2]"]
            .map(|raw| compact(raw).expect("JSON"));
        for object in &objects {
            call(&mut out, object);
        }
        assert!(out[before..].starts_with(br#"<script>e({"a":"\u003c/script>"#));
        padding(&mut out, 64);
        let calls = out[before..].to_vec();
        end(&mut out);
        let expected: Vec<&[u8]> = objects.iter().map(Vec::as_slice).collect();
        assert_eq!(parse(&out), Some(expected.clone()));
        assert_eq!(parse(&calls), Some(expected), "a piece of it");
        assert_eq!(parse(b"<b>"), None);
        assert_eq!(parse(b"<script>e({}"), None);
    }

    #[test]
    fn the_preamble_calls_the_callback_by_its_name() {
        let mut out = Vec::new();
        preamble(&mut out, "app.on", 0);
        let text = String::from_utf8(out).expect("ASCII");
        assert!(text.contains("p.app.on(o)}"));
        assert!(text.contains("<meta charset=\"utf-8\">"));
        assert_eq!(text.matches('{').count(), text.matches('}').count());
        assert_eq!(text.matches('(').count(), text.matches(')').count());
        assert!(text.ends_with("</head><body>\n"));
    }

    #[test]
    fn padding_is_as_long_as_asked_and_bounded() {
        for (asked, got) in [(0, 8), (8, 8), (1024, 1024), (usize::MAX, PAD_BYTES_MAX)] {
            let mut out = Vec::new();
            padding(&mut out, asked);
            assert_eq!(out.len(), got);
        }
    }

    #[test]
    #[should_panic(expected = "checked before")]
    fn an_unchecked_callback_is_our_own_fault() {
        preamble(&mut Vec::new(), "alert(1)", 0);
    }

    #[test]
    fn jsonp_is_read_back() {
        let mut out = Vec::new();
        jsonp(&mut out, "cb.one", br#"{"events":["(",")"]}"#);
        assert_eq!(out, br#"/**/cb.one({"events":["(",")"]});"#);
        assert_eq!(parse_jsonp(&out), Some(("cb.one", &br#"{"events":["(",")"]}"#[..])));
        assert_eq!(parse_jsonp(b"/**/a b({});"), None);
        assert_eq!(parse_jsonp(b"cb({});"), None);
    }
}
