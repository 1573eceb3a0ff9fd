//! What goes down to pages: canonical JSON, event streams, scripts, lines and polls. Each is written and read
//! back; each reader also meets garbage, in any pieces.

use encke::limits::{CALLBACK_BYTES_MAX, JSON_DEPTH_MAX};
use encke::wire::json::{self, BadJson};
use encke::wire::ndjson::{self, LineTooLong, Lines};
use encke::wire::sse::{self, Decoder, Incoming, TooBig};
use encke::wire::{poll, script};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Choices, agreed};

/// Bytes of an event or a line here: few, so that the bound is met.
const LINE_BYTES_MAX: usize = 100;

/// The canonical form of JSON is the same value, inert, and its own canonical form. Only half a surrogate and
/// what is too deep have none. Any text is quoted into a string that is that text.
pub fn json(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    let canonical = json::compact(text);
    if let Ok(raw) = serde_json::from_str::<&RawValue>(text) {
        // What a raw value takes may still be no value: half a surrogate, a number beyond 64 bits of float.
        let value = serde_json::from_str::<Value>(raw.get());
        match (&canonical, value) {
            (Ok(canonical), value) => {
                assert!(depth(text) <= JSON_DEPTH_MAX);
                assert!(json::is_inert(canonical));
                let again = str::from_utf8(canonical).expect("UTF-8");
                assert_eq!(serde_json::from_str::<Value>(again).ok(), value.ok());
                assert!(serde_json::from_str::<&RawValue>(again).is_ok());
                assert_eq!(json::compact(again).as_ref(), Ok(canonical));
            }
            (Err(BadJson::LoneSurrogate), value) => assert!(value.is_err(), "a value without a form"),
            (Err(BadJson::TooDeep), _) => assert!(depth(text) > JSON_DEPTH_MAX),
            (Err(BadJson::CutShort), _) => panic!("whole JSON is not cut short"),
        }
    }
    assert_eq!(serde_json::from_slice::<String>(&quoted(text)).as_deref().ok(), Some(text));
}

/// How many arrays and objects are inside one another. Not counted in a value, in which the last of two
/// members of one name hides the first.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0, 0, false, false);
    for letter in json.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_string = !in_string,
            '[' | '{' if !in_string => depth += 1,
            ']' | '}' if !in_string => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    json::quote(&mut out, text);
    assert!(json::is_inert(&out));
    out
}

/// Garbage means the same in any pieces, and no more of it is kept than allowed. An event that is written
/// reaches the page as it is, its lines ended by LF, whatever else they were ended by.
pub fn sse(input: &[u8]) {
    if let Ok(events) = agreed(input, |pieces| decode(pieces, LINE_BYTES_MAX)) {
        for event in events {
            if let Incoming::Event { id, event, data } = event {
                // What is no UTF-8 takes up to three times its bytes as replacement characters.
                assert!(data.len() <= 3 * LINE_BYTES_MAX + 1 && event.len() <= 3 * LINE_BYTES_MAX);
                assert!(
                    !event.is_empty() && !event.contains(['\r', '\n']) && !id.contains(['\r', '\n', '\0'])
                );
            }
        }
    }

    let mut choices = Choices::new(input);
    let id = (choices.below(2) == 0).then(|| choices.text().replace(['\r', '\n', '\0'], " "));
    let event = choices.text().replace(['\r', '\n'], " ");
    let data = String::from_utf8_lossy(choices.rest());
    let mut out = Vec::new();
    sse::emit(&mut out, id.as_deref(), &event, data.as_bytes());
    sse::retry(&mut out, 1500);
    sse::padding(&mut out, 9);
    sse::emit(&mut out, None, "", b"next");
    let id = id.unwrap_or_default();
    let event = if event.is_empty() { "message".to_owned() } else { event };
    let data = data.replace("\r\n", "\n").replace('\r', "\n");
    let next = Incoming::Event { id: id.clone(), event: "message".into(), data: "next".into() };
    let expected = vec![Incoming::Event { id, event, data }, Incoming::Retry(1500), next];
    assert_eq!(agreed(&out, |pieces| decode(pieces, usize::MAX / 2)), Ok(expected));
}

fn decode(pieces: &[&[u8]], event_bytes_max: usize) -> Result<Vec<Incoming>, TooBig> {
    let mut decoder = Decoder::new(event_bytes_max);
    let mut events = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        while let Some(incoming) = decoder.next(&mut input)? {
            events.push(incoming);
        }
        assert!(input.is_empty(), "all is taken");
    }
    Ok(events)
}

/// Objects that are called are read back, between comments and behind a preamble; a callback is what a plain
/// reading of its grammar takes, and nothing else is written.
pub fn script(input: &[u8]) {
    let _ = script::parse(input);
    if let Some((callback, json)) = script::parse_jsonp(input) {
        assert!(is_callback(callback));
        let again = [b"/**/", callback.as_bytes(), b"(", json, b");"].concat();
        assert_eq!(again, input);
    }
    let mut choices = Choices::new(input);
    let callback = &*choices.text();
    assert_eq!(script::is_callback(callback), is_callback(callback), "{callback:?}");
    let callback = if is_callback(callback) { callback } else { "encke" };
    let pad = choices.below(100);
    let text = String::from_utf8_lossy(choices.rest());
    // JSON where it is some, else a string.
    let object = match serde_json::from_str::<&RawValue>(&text) {
        Ok(raw) => json::compact(raw.get()).unwrap_or_else(|_| quoted(&text)),
        Err(_) => quoted(&text),
    };

    let mut out = Vec::new();
    script::preamble(&mut out, callback, pad);
    script::call(&mut out, &object);
    script::padding(&mut out, pad);
    script::call(&mut out, b"1");
    script::end(&mut out);
    assert_eq!(script::parse(&out), Some(vec![&object[..], b"1"]));

    out.clear();
    script::jsonp(&mut out, callback, &object);
    assert_eq!(script::parse_jsonp(&out), Some((callback, &object[..])));
}

/// The whitelist once more, octet by octet.
pub(super) fn is_callback(name: &str) -> bool {
    let mut starts = true;
    for octet in name.bytes() {
        match (octet, starts) {
            (b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$', _) | (b'0'..=b'9', false) => starts = false,
            (b'.', false) => starts = true,
            _ => return false,
        }
    }
    !starts && name.len() <= CALLBACK_BYTES_MAX
}

/// Lines are the same in any pieces, and the ones that a plain split finds; what is written is read back.
pub fn ndjson(input: &[u8]) {
    let lines = agreed(input, split);
    let naive: Vec<&[u8]> =
        input.split(|&octet| octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    match lines {
        Ok(lines) => {
            let full = naive.iter().filter(|line| line.iter().any(|octet| !b" \t\r".contains(octet)));
            assert!(full.eq(&lines));
            let mut out = Vec::new();
            for line in lines.iter().filter(|line| !line.contains(&b'\r')) {
                ndjson::padding(&mut out, line.len());
                ndjson::emit(&mut out, line);
            }
            let kept = lines.into_iter().filter(|line| !line.contains(&b'\r')).collect();
            assert_eq!(split(&[&out[..]]), Ok(kept));
        }
        Err(LineTooLong) => assert!(naive.iter().any(|line| line.len() > LINE_BYTES_MAX)),
    }
}

fn split(pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, LineTooLong> {
    let mut lines = Lines::new(LINE_BYTES_MAX);
    let mut all = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        while let Some(line) = lines.next(&mut input)? {
            all.push(line);
        }
        assert!(input.is_empty(), "all is taken");
    }
    all.extend(lines.finish()?);
    assert!(all.iter().all(|line| line.len() <= LINE_BYTES_MAX));
    Ok(all)
}

/// The body of a poll is JSON that says what was put in, and is taken apart into the same events. Taken for a
/// body, garbage says nothing that a JSON parser would not find in it.
pub fn poll(input: &[u8]) {
    if let (Some(body), Ok(value)) = (poll::parse(input), serde_json::from_slice::<Value>(input)) {
        assert_eq!((body.sid, body.cursor), (text(&value["sid"]), text(&value["cursor"])));
        let events: Vec<Value> = body
            .events
            .iter()
            .map(|event| serde_json::from_slice(event).expect("an event is JSON"))
            .collect();
        assert_eq!(Value::Array(events), value["events"]);
    }

    let mut choices = Choices::new(input);
    let (sid, cursor) = (choices.text(), choices.text());
    let mut events = Vec::new();
    while !choices.is_empty() {
        let text = choices.text();
        let raw = serde_json::from_str::<&RawValue>(&text).ok().and_then(|raw| json::compact(raw.get()).ok());
        events.push(raw.unwrap_or_else(|| quoted(&text)));
    }
    let mut out = Vec::new();
    poll::emit(&mut out, &sid, &cursor, events.iter().map(Vec::as_slice));
    assert!(json::is_inert(&out));
    if let Some(body) = poll::parse(&out) {
        assert_eq!((body.sid, body.cursor), (&*sid, &*cursor));
        assert_eq!(body.events, events);
    } else {
        assert!(
            [quoted(&sid), quoted(&cursor)].concat().contains(&b'\\'),
            "only escapes are not taken apart"
        );
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}
