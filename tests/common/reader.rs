//! A client that reads events: the same for every transport, as the page that uses it sees it.

use std::collections::VecDeque;

use serde_json::Value;

use super::Running;
use super::client::{Client, Response, TEXT, frame};

/// A transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    WebSocket,
    Sse,
    Stream,
    Iframe,
    Poll,
    Jsonp,
}

impl Way {
    pub const ALL: [Way; 6] = [Way::WebSocket, Way::Sse, Way::Stream, Way::Iframe, Way::Poll, Way::Jsonp];

    pub fn path(self) -> &'static str {
        match self {
            Way::WebSocket => "/ws",
            Way::Sse => "/sse",
            Way::Stream => "/stream",
            Way::Iframe => "/iframe",
            Way::Poll => "/poll",
            Way::Jsonp => "/jsonp",
        }
    }

    pub fn is_poll(self) -> bool {
        matches!(self, Way::Poll | Way::Jsonp)
    }
}

/// Somebody who reads.
#[derive(Debug)]
pub struct Reader {
    pub way: Way,
    pub client: Client,
    /// The head that it began with.
    pub head: Response,
    /// The first event of a stream; the first answer to a poll.
    pub welcome: Value,
    pub sid: String,
    /// With which to come back: what a browser or our own client remembers at this moment.
    pub cursor: String,
    /// The last `retry:` of an event stream.
    pub retry: Option<u64>,
    channels: String,
    waiting: VecDeque<Value>,
    /// A poll is out and not answered yet.
    asked: bool,
}

impl Reader {
    #[track_caller]
    pub fn open(server: &Running, way: Way, query: &str) -> Reader {
        Reader::open_with(server, way, query, "")
    }

    #[track_caller]
    pub fn open_with(server: &Running, way: Way, query: &str, fields: &str) -> Reader {
        Reader::over(server.connect(), way, query, fields)
    }

    #[track_caller]
    pub fn over(mut client: Client, way: Way, query: &str, fields: &str) -> Reader {
        // The first poll asks for no more than where to begin; the next ones wait.
        let wait = if way.is_poll() { "&wait=0" } else { "" };
        let target = format!("{}?{query}{wait}", way.path());
        let head = match way {
            Way::WebSocket => client.upgrade(&target, fields),
            Way::Poll | Way::Jsonp => client.ask("GET", &target, fields, b""),
            _ => {
                client.request("GET", &target, fields, b"");
                client.head()
            }
        };
        let begun = if way == Way::WebSocket { 101 } else { 200 };
        assert_eq!(head.status, begun, "{head:?} {:?}", String::from_utf8_lossy(&head.body));
        let channels: String =
            query.split('&').filter(|pair| pair.starts_with("ch=")).map(|pair| format!("&{pair}")).collect();
        let mut reader = Reader {
            way,
            client,
            head,
            welcome: Value::Null,
            sid: String::new(),
            cursor: String::new(),
            retry: None,
            channels,
            waiting: VecDeque::new(),
            asked: false,
        };
        reader.begin();
        reader
    }

    #[track_caller]
    fn begin(&mut self) {
        if self.way == Way::Iframe {
            self.client.until("</head><body>\n");
        }
        if self.way.is_poll() {
            let response = self.head.clone();
            self.welcome = self.take_poll(&response);
            return;
        }
        self.welcome = self.event();
        assert_eq!(self.welcome["type"], "welcome", "{:?}", self.welcome);
        self.sid = self.welcome["sid"].as_str().expect("a sid").to_owned();
    }

    /// The next event, of whatever type.
    #[track_caller]
    pub fn event(&mut self) -> Value {
        let event = match self.way {
            Way::WebSocket => self.ws_event(),
            Way::Sse => self.sse_event(),
            Way::Stream => loop {
                let line = self.client.until("\n");
                if !line.trim().is_empty() {
                    break parsed(&line);
                }
            },
            Way::Iframe => self.iframe_event(),
            Way::Poll | Way::Jsonp => return self.polled_event(),
        };
        // A browser remembers the `id:` of an event stream and nothing else.
        let place = event.get("id").or_else(|| event.get("cursor")).filter(|_| self.way != Way::Sse);
        if let Some(place) = place.and_then(Value::as_str) {
            self.cursor = place.to_owned();
        }
        event
    }

    /// The next event, which must be a message; its data.
    #[track_caller]
    pub fn message(&mut self) -> Value {
        self.event_of("message")["data"].take()
    }

    /// The next event, which must be of that type.
    #[track_caller]
    pub fn event_of(&mut self, kind: &str) -> Value {
        let event = self.event();
        assert_eq!(event["type"], kind, "{event}");
        event
    }

    /// Polls for what comes next, unless a poll is out. Other transports wait as they are.
    #[track_caller]
    pub fn ask(&mut self) {
        if self.way.is_poll() && !std::mem::replace(&mut self.asked, true) {
            let Reader { sid, cursor, channels, .. } = &self;
            let target = format!("{}?sid={sid}&since={cursor}{channels}&wait=5", self.way.path());
            self.client.request("GET", &target, "", b"");
        }
    }

    #[track_caller]
    fn polled_event(&mut self) -> Value {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return event;
            }
            self.ask();
            let response = self.client.response();
            self.asked = false;
            assert_eq!(response.status, 200, "{response:?}");
            self.take_poll(&response);
        }
    }

    /// The answer to a poll: a script on `/jsonp`, plain on `/poll`.
    #[track_caller]
    pub fn take_poll(&mut self, response: &Response) -> Value {
        let text = response.text();
        let body = match self.way {
            Way::Jsonp => {
                let call = text.strip_prefix("/**/").and_then(|call| call.strip_suffix(");"));
                call.and_then(|call| call.split_once('(')).unwrap_or_else(|| panic!("no call: {text}")).1
            }
            _ => &text,
        };
        let body = parsed(body);
        self.sid = body["sid"].as_str().expect("a sid").to_owned();
        self.cursor = body["cursor"].as_str().expect("a cursor").to_owned();
        self.waiting.extend(body["events"].as_array().expect("events").iter().cloned());
        body
    }

    #[track_caller]
    fn ws_event(&mut self) -> Value {
        let (first, payload) = self.client.frame();
        assert_eq!(first, TEXT, "a text frame: {payload:?}");
        parsed(&String::from_utf8(payload).expect("UTF-8"))
    }

    /// Reads fields as HTML, section 9.2.6 has it.
    #[track_caller]
    fn sse_event(&mut self) -> Value {
        loop {
            let block = self.client.until("\n\n");
            let (mut id, mut kind, mut data) = (None, None, None);
            for line in block.lines().filter(|line| !line.is_empty() && !line.starts_with(':')) {
                match line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}")) {
                    ("id", value) => id = Some(value),
                    ("event", value) => kind = Some(value),
                    ("data", value) => {
                        assert!(data.is_none(), "an object is one line: {block}");
                        data = Some(parsed(value));
                    }
                    ("retry", value) => self.retry = Some(value.parse().expect("a number")),
                    _ => panic!("unknown field: {line:?}"),
                }
            }
            let Some(data) = data else { continue };
            assert_eq!(data["type"].as_str(), kind, "{block}");
            if let Some(id) = id {
                self.cursor = id.to_owned();
            }
            // A welcome that gaps follow has the id of something lost, until the last of them has been told.
            let is_lost = data["type"] == "welcome" && id == Some("00000000-0");
            if data["type"] != "gap" && !is_lost {
                let named = data.get("id").or_else(|| data.get("cursor"));
                assert_eq!(named.and_then(Value::as_str), id, "{block}");
            }
            return data;
        }
    }

    #[track_caller]
    fn iframe_event(&mut self) -> Value {
        loop {
            let line = self.client.until("\n");
            if line.starts_with("<!--") {
                continue;
            }
            let call = line.strip_prefix("<script>e(").and_then(|call| call.strip_suffix(")</script>\n"));
            return parsed(call.unwrap_or_else(|| panic!("no call: {line:?}")));
        }
    }

    /// Sends a command over a WebSocket and gives back the reply, passing over what comes before it.
    #[track_caller]
    pub fn command(&mut self, command: &Value) -> Value {
        self.client.send(frame(TEXT, command.to_string()));
        loop {
            let event = self.event();
            if event["type"] == "reply" {
                return event;
            }
            self.waiting.push_back(event);
        }
    }

    /// The next event, those that came before a reply first.
    #[track_caller]
    pub fn unread_event(&mut self) -> Value {
        self.waiting.pop_front().unwrap_or_else(|| self.event())
    }

    /// What came before the last reply and was passed over.
    pub fn passed_over(&mut self) -> Vec<Value> {
        self.waiting.drain(..).collect()
    }

    /// How the stream ends when the server says so.
    #[track_caller]
    pub fn expect_end(&mut self, why: &str) {
        match self.way {
            Way::WebSocket => {
                let code = if why == "shutdown" { 1012 } else { 1001 };
                assert_eq!(self.client.closed(), (code, why.to_owned()));
            }
            Way::Iframe => self.client.expect("</body></html>\n"),
            _ => {}
        }
        if !self.way.is_poll() || why == "shutdown" {
            self.client.expect_end();
        }
    }
}

#[track_caller]
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
}
