//! The query of a reading request: one set of parameters for every transport.
//!
//! It knows no hub: a cursor is only read here, and whether it still means anything is for others.

use std::borrow::Cow;

use super::client::Sid;
use super::refusal::Refusal;
use crate::hub::Cursor;
use crate::limits::{
    CALLBACK_DEFAULT, HEARTBEAT_S_MAX, HEARTBEAT_S_MIN, LAST_MAX, PAD_BYTES_MAX, SUBSCRIPTIONS_MAX,
    WAIT_S_DEFAULT, WAIT_S_MAX,
};
use crate::wire::http::Head;
use crate::wire::script;
use crate::wire::target::Target;

/// Where reading starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// With what comes from now on.
    Now,
    /// After this cursor.
    After(Cursor),
    /// After a cursor that can't be one of ours: whatever it was, something is missing.
    Lost,
    /// With that many latest messages of each channel.
    Last(u32),
}

/// The parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params<'t> {
    /// The channels to read. None given: those the client reads already.
    pub channels: Vec<Cow<'t, str>>,
    /// Where to start.
    pub position: Position,
    /// The client to continue.
    pub sid: Option<Sid>,
    /// There is a `sid`, though it may be empty: a new client that will subscribe later says so.
    pub has_sid: bool,
    /// Seconds that a poll may be held.
    pub wait_s: u64,
    /// Seconds between two heartbeats.
    pub heartbeat_s: u16,
    /// Bytes of padding in front.
    pub pad: usize,
    /// The function to call.
    pub callback: Cow<'t, str>,
}

impl<'t> Params<'t> {
    /// Reads the query, and `Last-Event-ID`, which wins over `since`: a browser that reconnects by itself
    /// repeats the query it first came with. A polyfill does that too, and puts `Last-Event-ID` into the
    /// query, since it can't set the field from every origin; the field wins over that. Parameters that are
    /// not ours are left alone.
    ///
    /// # Errors
    /// A value that is not of its form, with a sentence that says which form that is. Numbers beyond the
    /// server's bounds are no error; the nearest bound is taken.
    pub fn parse(target: &Target<'t>, head: &Head<'_>, heartbeat_s: u64) -> Result<Params<'t>, Refusal> {
        let mut params = Params {
            channels: Vec::new(),
            position: Position::Now,
            sid: None,
            has_sid: false,
            wait_s: WAIT_S_DEFAULT,
            heartbeat_s: heartbeat_s.clamp(HEARTBEAT_S_MIN, HEARTBEAT_S_MAX) as u16,
            pad: 0,
            callback: Cow::Borrowed(CALLBACK_DEFAULT),
        };
        let (mut since, mut resumed) = (None, None);
        for pair in target.query() {
            let (name, value) = pair.map_err(|error| {
                Refusal::new(400, "bad_query", format!("The query is not percent-encoded UTF-8: {error}."))
            })?;
            match &*name {
                "ch" => params.add_channel(value),
                "since" => since = Some(cursor("since", &value)?),
                "last" => {
                    params.position = Position::Last(number("last", &value)?.min(u64::from(LAST_MAX)) as u32);
                }
                "sid" => {
                    params.has_sid = true;
                    if !value.is_empty() {
                        let wrong = || Refusal::bad_value("sid", "one given by `welcome`");
                        params.sid = Some(Sid::parse(&value).ok_or_else(wrong)?);
                    }
                }
                "wait" => params.wait_s = number("wait", &value)?.min(WAIT_S_MAX),
                "hb" => {
                    params.heartbeat_s = number("hb", &value)?.clamp(HEARTBEAT_S_MIN, HEARTBEAT_S_MAX) as u16;
                }
                "pad" => params.pad = number("pad", &value)?.min(PAD_BYTES_MAX as u64) as usize,
                "callback" => {
                    if !script::is_callback(&value) {
                        return Err(Refusal::bad_value("callback", "a JavaScript name like `app.on_event`"));
                    }
                    params.callback = value;
                }
                name if is_last_event_id(name) => resumed = remembered(value.as_bytes()).or(resumed),
                _ => {}
            }
        }
        if let Some(since) = since {
            params.position = Position::After(since);
        }
        let field = head.header("last-event-id").and_then(remembered);
        if let Some(position) = field.or(resumed) {
            params.position = position;
        }
        Ok(params)
    }

    fn add_channel(&mut self, channel: Cow<'t, str>) {
        // Beyond this many the request is refused anyway, and repeats need not be looked for.
        if self.channels.len() > SUBSCRIPTIONS_MAX || !self.channels.contains(&channel) {
            self.channels.push(channel);
        }
    }
}

/// Whether a parameter is `Last-Event-ID`, in whatever spelling: `lastEventId` (Yaffle's polyfill),
/// `evs_last_event_id` (amvtek's), `Last-Event-ID` (Mercure), `last_event_id` and others.
fn is_last_event_id(name: &str) -> bool {
    let name = name.strip_prefix("evs_").unwrap_or(name);
    let letters = name.bytes().filter(|byte| !matches!(byte, b'-' | b'_'));
    letters.map(|byte| byte.to_ascii_lowercase()).eq(LAST_EVENT_ID.bytes())
}

/// `Last-Event-ID` in lower case, without what parts its words.
const LAST_EVENT_ID: &str = "lasteventid";

/// What a browser remembered. It can't be told that it remembers wrong, and refusing it would end its
/// `EventSource` for good, so garbage means: something is missing, and that is what it will be told.
fn remembered(value: &[u8]) -> Option<Position> {
    if value.is_empty() {
        return None;
    }
    let cursor = std::str::from_utf8(value).ok().and_then(Cursor::parse);
    Some(cursor.map_or(Position::Lost, Position::After))
}

/// A cursor in a value of that name.
///
/// # Errors
/// It is none.
pub fn cursor(name: &str, value: &str) -> Result<Cursor, Refusal> {
    Cursor::parse(value)
        .ok_or_else(|| Refusal::bad_value(name, "a cursor as an `id` gives it, <epoch>-<number>"))
}

/// A whole number in a value of that name.
///
/// # Errors
/// It is none.
pub fn number(name: &str, value: &str) -> Result<u64, Refusal> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err(Refusal::bad_value(name, "a whole number"));
    }
    // Digits that don't fit are a number beyond every bound.
    Ok(value.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str, fields: &str) -> Result<Params<'static>, Refusal> {
        // Leaked, so that what is borrowed from it may be given back.
        let text = format!("GET /sse?{query} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").leak();
        let head = Head::parse(text.as_bytes()).expect("a good head");
        Params::parse(&Target::parse(head.path_and_query()), &head, 25)
    }

    #[test]
    fn all_of_them() {
        let params = parse("ch=a&ch=b%20c&ch=a&last=5&wait=3&hb=10&pad=2048&callback=x.y", "").unwrap();
        assert_eq!(params.channels, ["a", "b c"]);
        assert_eq!(params.position, Position::Last(5));
        assert_eq!((params.wait_s, params.heartbeat_s, params.pad), (3, 10, 2048));
        assert_eq!(params.callback, "x.y");
    }

    #[test]
    fn last_event_id_wins_over_since_and_since_over_last() {
        let cursor = |seq| Position::After(Cursor { epoch: 0x1234_abcd, seq });
        assert_eq!(parse("since=1234abcd-7&last=3", "").unwrap().position, cursor(7));
        let fields = "Last-Event-ID: 1234abcd-9\r\n";
        assert_eq!(parse("since=1234abcd-7", fields).unwrap().position, cursor(9));
    }

    #[test]
    fn last_event_id_in_the_query_is_taken_in_every_spelling() {
        let cursor = |seq| Position::After(Cursor { epoch: 0x1234_abcd, seq });
        for name in [
            "lastEventId",
            "lasteventid",
            "LastEventID",
            "last-event-id",
            "Last-Event-ID",
            "Last-Event-Id",
            "last_event_id",
            "LAST_EVENT_ID",
            "evs_last_event_id",
            "Last%2DEvent%2DID",
        ] {
            // The polyfill repeats what the page asked for at first, so this wins over it.
            let resumed = format!("since=1234abcd-7&last=3&{name}=1234abcd-9");
            assert_eq!(parse(&resumed, "").unwrap().position, cursor(9), "{name}");
            let swapped = format!("{name}=1234abcd-9&since=1234abcd-7");
            assert_eq!(parse(&swapped, "").unwrap().position, cursor(9), "{name}");
            let again = format!("{name}=1234abcd-9&{name}=1234abcd-11&{name}=");
            assert_eq!(parse(&again, "").unwrap().position, cursor(11), "the page's URL had one already");
            assert_eq!(parse(&format!("{name}="), "").unwrap().position, Position::Now, "{name}");
            assert_eq!(parse(&format!("{name}=x"), "").unwrap().position, Position::Lost, "{name}");
        }
        let fields = "Last-Event-ID: 1234abcd-12\r\n";
        assert_eq!(
            parse("lastEventId=1234abcd-9", fields).unwrap().position,
            cursor(12),
            "the field is newer"
        );
        for other in ["last", "lastEvent", "event_id", "lasteventids", "xlasteventid"] {
            let is_resumed = parse(&format!("{other}=7"), "").unwrap().position;
            assert!(!matches!(is_resumed, Position::After(_) | Position::Lost), "{other}");
        }
    }

    #[test]
    fn garbage_in_last_event_id() {
        for garbage in ["x", "\u{ff}\u{fe}", "1234abcd-", "1234abcd-99999999999999999999999", "<script>"] {
            let params = parse("", &format!("Last-Event-ID: {garbage}\r\n")).unwrap();
            assert_eq!(params.position, Position::Lost, "{garbage}");
        }
        assert_eq!(parse("", "Last-Event-ID:\r\n").unwrap().position, Position::Now);
    }

    #[test]
    fn values_of_the_wrong_form_are_refused() {
        for query in
            ["since=x", "last=-1", "wait=soon", "hb=", "sid=short", "callback=alert(1)", "ch=%zz", "pad=1e3"]
        {
            assert_eq!(parse(query, "").unwrap_err().status, 400, "{query}");
        }
    }

    #[test]
    fn numbers_beyond_the_bounds_are_brought_within() {
        let params = parse("hb=0&wait=99999999999999999999999&pad=999999999&last=999999999", "").unwrap();
        assert_eq!((u64::from(params.heartbeat_s), params.wait_s), (HEARTBEAT_S_MIN, WAIT_S_MAX));
        assert_eq!((params.pad, params.position), (PAD_BYTES_MAX, Position::Last(LAST_MAX)));
    }
}
