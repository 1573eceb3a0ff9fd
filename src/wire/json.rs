//! Canonical JSON: one spelling that is safe on every wire.
//!
//! It does not parse JSON, a library has done that before; it rewrites text that is known to be JSON.
//! Canonical means: no white space between tokens, hence no line end anywhere; `<`, U+2028 and U+2029 written
//! as escapes, hence nothing that ends a script block, opens a comment in one, or ends a line in JavaScript;
//! no surrogate without its pair. Order of members and spelling of numbers stay as they were sent.
//!
//! Read first: RFC 8259, sections 7 and 8.2; HTML, section 4.12.1.3 (restrictions for contents of scripts).

use crate::limits::JSON_DEPTH_MAX;

/// Why a text has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadJson {
    /// `\ud800` to `\udfff` without its other half: no reader of UTF-8 could be told what that is.
    LoneSurrogate,
    /// Arrays and objects deeper inside one another than `JSON_DEPTH_MAX`.
    TooDeep,
    /// A string or an escape that never ends: the text was not JSON to begin with.
    CutShort,
}

/// The canonical form of `raw`, which a JSON parser has accepted before. One pass.
pub fn compact(raw: &str) -> Result<Vec<u8>, BadJson> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    let mut depth = 0_usize;
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        match octet {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            return Err(BadJson::TooDeep);
        }
        match octet {
            // RFC 8259, section 2: the only insignificant white space there is.
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b'"' => {
                out.push(b'"');
                rest = compact_string(rest, &mut out)?;
            }
            _ => out.push(octet),
        }
    }
    Ok(out)
}

/// A text without the byte order mark that some editors and libraries put in front of UTF-8. It says nothing
/// that isn't known, no JSON begins with it, and a receiver may pass it over (RFC 8259, section 8.1).
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Writes `text` as a canonical JSON string, quotes and all.
pub fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(plain) = rest.iter().position(|&octet| needs_escape(octet)) {
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        rest = &rest[escape(rest, out)..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Whether `json` keeps the promise that the scripts and event streams rely on: no `<`, no line end of
/// JavaScript. For assertions.
pub fn is_inert(json: &[u8]) -> bool {
    !json.iter().any(|octet| matches!(octet, b'<' | b'\r' | b'\n'))
        && !json.windows(3).any(|three| matches!(three, [0xE2, 0x80, 0xA8 | 0xA9]))
}

/// Copies the inside of a string and its closing quote; returns what follows.
fn compact_string<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], BadJson> {
    loop {
        let plain = rest.iter().position(|&octet| needs_escape(octet)).ok_or(BadJson::CutShort)?;
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        let used = match rest[0] {
            b'"' => {
                out.push(b'"');
                return Ok(&rest[1..]);
            }
            b'\\' => {
                let len = escape_len(rest)?;
                out.extend_from_slice(&rest[..len]);
                len
            }
            _ => escape(rest, out),
        };
        rest = &rest[used..];
    }
}

/// Octets at which a string's plain run stops. 0xE2 begins U+2028 and U+2029, and 4,094 harmless characters.
fn needs_escape(octet: u8) -> bool {
    /// One look instead of five comparisons: this is asked for every octet of every message.
    const STOPS: [bool; 256] = {
        let mut table = [false; 256];
        let mut octet = 0;
        while octet < table.len() {
            table[octet] = matches!(octet as u8, b'"' | b'\\' | b'<' | 0xE2 | 0..=0x1F);
            octet += 1;
        }
        table
    };
    STOPS[usize::from(octet)]
}

/// Writes the character at the front of `rest` so that it may stand in a canonical string; returns how many
/// octets it took.
fn escape(rest: &[u8], out: &mut Vec<u8>) -> usize {
    let spelling: &[u8] = match rest {
        [b'"', ..] => b"\\\"",
        [b'\\', ..] => b"\\\\",
        [b'\n', ..] => b"\\n",
        [b'\r', ..] => b"\\r",
        [b'\t', ..] => b"\\t",
        [b'<', ..] => b"\\u003c",
        [0xE2, 0x80, 0xA8, ..] => b"\\u2028",
        [0xE2, 0x80, 0xA9, ..] => b"\\u2029",
        &[control @ 0..=0x1F, ..] => {
            let digit = b"0123456789abcdef"[usize::from(control & 0xF)];
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (control >> 4), digit]);
            return 1;
        }
        _ => {
            out.push(rest[0]);
            return 1;
        }
    };
    out.extend_from_slice(spelling);
    if rest[0] == 0xE2 { 3 } else { 1 }
}

/// Octets of the escape at the front of `rest`: two, six, or twelve for a surrogate pair.
fn escape_len(rest: &[u8]) -> Result<usize, BadJson> {
    if rest.get(1).ok_or(BadJson::CutShort)? != &b'u' {
        return Ok(2);
    }
    match code_unit(rest)? {
        // RFC 8259, section 8.2: a half alone is what the grammar allows and no two readers treat alike.
        0xDC00..=0xDFFF => Err(BadJson::LoneSurrogate),
        0xD800..=0xDBFF if rest[6..].starts_with(b"\\u") => match code_unit(&rest[6..])? {
            0xDC00..=0xDFFF => Ok(12),
            _ => Err(BadJson::LoneSurrogate),
        },
        0xD800..=0xDBFF => Err(BadJson::LoneSurrogate),
        _ => Ok(6),
    }
}

/// The value of the `\uXXXX` at the front of `escape`.
fn code_unit(escape: &[u8]) -> Result<u32, BadJson> {
    let digits = escape.get(2..6).ok_or(BadJson::CutShort)?;
    digits.iter().try_fold(0, |unit, &digit| {
        let digit = char::from(digit).to_digit(16).ok_or(BadJson::CutShort)?;
        Ok(unit << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_has_a_bound() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(compact(&nested(JSON_DEPTH_MAX)).is_ok());
        assert_eq!(compact(&nested(JSON_DEPTH_MAX + 1)), Err(BadJson::TooDeep));
        assert!(compact(&format!("[{}]", vec!["[]"; 500].join(","))).is_ok(), "wide is not deep");
        assert!(compact(&format!("\"{}\"", "[".repeat(500))).is_ok(), "text is not deep");
    }

    fn compacted(raw: &str) -> String {
        let canonical = compact(raw).expect("canonical");
        assert!(is_inert(&canonical), "{raw}");
        let before: serde_json::Value = serde_json::from_str(raw).expect("JSON");
        let after: serde_json::Value = serde_json::from_slice(&canonical).expect("still JSON");
        assert_eq!(before, after, "the value is the same");
        assert_eq!(
            compact(std::str::from_utf8(&canonical).expect("UTF-8")).as_ref(),
            Ok(&canonical),
            "twice is once"
        );
        String::from_utf8(canonical).expect("UTF-8")
    }

    fn quoted(text: &str) -> String {
        let mut out = Vec::new();
        quote(&mut out, text);
        assert!(is_inert(&out), "{text}");
        assert_eq!(serde_json::from_slice::<String>(&out).expect("JSON"), text);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn white_space_goes_and_all_else_stays() {
        assert_eq!(
            compacted(" { \"b\" : [ 1.50 , -0e+10 ,\r\n\t true ] , \"a\" : null } "),
            r#"{"b":[1.50,-0e+10,true],"a":null}"#
        );
        assert_eq!(compacted(r#"" a  b ""#), r#"" a  b ""#);
        assert_eq!(compacted("123456789012345678901234567890"), "123456789012345678901234567890");
    }

    #[test]
    fn nothing_ends_or_opens_a_script_block() {
        assert_eq!(
            compacted(r#"{"</script>":"<!--<script>"}"#),
            r#"{"\u003c/script>":"\u003c!--\u003cscript>"}"#
        );
        assert_eq!(compacted("\"a\u{2028}b\u{2029}c\u{2027}€\""), "\"a\\u2028b\\u2029c\u{2027}€\"");
        assert_eq!(quoted("</script><!--\u{2028}\u{2029}"), r#""\u003c/script>\u003c!--\u2028\u2029""#);
    }

    #[test]
    fn quotes_and_backslashes_keep_their_places() {
        assert_eq!(
            compacted(r#"{"a\"b" : "\\" , "c\\\"" : "\/\b\u003C"}"#),
            r#"{"a\"b":"\\","c\\\"":"\/\b\u003C"}"#
        );
        assert_eq!(quoted(r#"say "hi" \o/"#), r#""say \"hi\" \\o/""#);
        assert_eq!(quoted("\0\t\n\r\u{1b}\u{7f}"), "\"\\u0000\\t\\n\\r\\u001b\u{7f}\"");
    }

    #[test]
    fn emoji_as_octets_and_as_a_pair() {
        assert_eq!(compacted("\"☄️ 😀\""), "\"☄️ 😀\"");
        assert_eq!(compacted(r#""\ud83d\ude00""#), r#""\ud83d\ude00""#);
        assert_eq!(compacted(r#""\uD83D\uDE00\u00e9""#), r#""\uD83D\uDE00\u00e9""#);
        assert_eq!(quoted("☄️ 😀"), "\"☄️ 😀\"");
    }

    #[test]
    fn a_surrogate_alone_is_refused() {
        let raws = [
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83d\ud83d""#,
            r#""\ud83dx\ude00""#,
            r#""\ud83d\n""#,
            r#"{"\udfff":1}"#,
        ];
        for raw in raws {
            assert_eq!(compact(raw), Err(BadJson::LoneSurrogate), "{raw}");
        }
        assert_eq!(compacted(r#""\\ud83d""#), r#""\\ud83d""#, "a backslash and five letters");
    }

    #[test]
    fn what_is_not_json_is_no_panic() {
        for raw in ["\"", "\"\\", "\"\\u", "\"\\u12", "\"\\ud83d", "\"\\ud83d\\u1", "\"\\uzzzz\"", "\"abc"] {
            assert!(compact(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn random_texts_survive() {
        let mut seed = 0x2545_F491_4F6C_DD1D_u64;
        let letters = [
            '"', '\\', '<', '/', '\u{2028}', '\u{2029}', '\u{2030}', 'u', 'd', '8', '\n', '\u{1}', '😀', ' ',
        ];
        for _ in 0..2000 {
            let mut text = String::new();
            for _ in 0..12 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                text.push(letters[(seed % letters.len() as u64) as usize]);
            }
            let ours = quoted(&text);
            assert_eq!(compacted(&ours), ours);
            compacted(&serde_json::to_string(&[&text]).expect("JSON"));
        }
    }
}
