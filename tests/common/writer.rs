//! Somebody who sends commands, over the WebSocket that is read or by posts beside a stream.

use serde_json::{Value, json};

use super::{Reader, Running, Way, refused};

/// Somebody who writes: over the WebSocket that is read, or by posts beside a stream.
pub struct Writer<'a> {
    pub server: &'a Running,
    pub reader: Reader,
}

impl Writer<'_> {
    #[track_caller]
    pub fn command(&mut self, command: &Value) -> Value {
        match self.reader.way {
            Way::WebSocket => self.reader.command(command),
            _ => self.server.command(&self.reader.sid, command),
        }
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a story reads better without the ampersand")]
    pub fn ok(&mut self, command: Value) -> Value {
        let reply = self.command(&command);
        assert_eq!((&reply["type"], &reply["ok"]), (&json!("reply"), &json!(true)), "{reply}");
        reply
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a story reads better without the ampersand")]
    pub fn refused(&mut self, command: Value) -> String {
        refused(&self.command(&command)).to_owned()
    }

    /// The next event, whether it came before a reply or is still to come.
    #[track_caller]
    pub fn event(&mut self) -> Value {
        self.reader.unread_event()
    }

    /// The next event for which `is_it` holds, passing over those before it.
    #[track_caller]
    pub fn wait_for(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.event();
            if is_it(&event) {
                return event;
            }
        }
    }

    /// The data of the next message of a channel, passing over what is not one.
    #[track_caller]
    pub fn told(&mut self, channel: &str) -> Value {
        self.wait_for(|event| event["type"] == "message" && event["ch"] == channel)["data"].take()
    }

    #[track_caller]
    pub fn login(&mut self, nick: &str) -> String {
        let reply = self.ok(json!({"op": "login", "nick": nick}));
        assert_eq!(reply["user"], nick);
        reply["secret"].as_str().expect("a secret").to_owned()
    }

    #[track_caller]
    pub fn expect_presence(&mut self, event: &str, user: &str, count: u64) {
        let told = self.event();
        assert_eq!(told["type"], "presence", "{told}");
        assert_eq!(
            (&told["event"], &told["user"], &told["count"]),
            (&json!(event), &json!(user), &json!(count))
        );
    }
}

pub fn writer<'a>(server: &'a Running, way: Way, query: &str) -> Writer<'a> {
    Writer { server, reader: Reader::open(server, way, query) }
}

/// The two ways up: frames, and posts beside a stream.
pub const WAYS: [Way; 2] = [Way::WebSocket, Way::Sse];
