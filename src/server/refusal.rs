//! A request or command that is refused: what went wrong, and what to do about it.
//!
//! One value, said in two ways: as `application/problem+json` (RFC 9457) over HTTP, as a `reply` with
//! `ok:false` to a command. It doesn't know which of them it will be.

use std::borrow::Cow;

use super::object::Object;
use crate::hub;
use crate::wire::response::Response;

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status (RFC 9110, section 15.5 and 15.6).
    pub status: u16,
    /// The offence in one word, for programs. It stays the same when the sentence gets better.
    pub code: &'static str,
    /// What is wrong and what to do, for people.
    pub message: Cow<'static, str>,
    /// Milliseconds after which trying again makes sense, if it ever does.
    pub retry_ms: Option<u64>,
    /// Fields that the HTTP answer owes its status.
    pub fields: Vec<(&'static str, &'static str)>,
}

impl Refusal {
    /// A refusal for which trying again changes nothing.
    pub fn new(status: u16, code: &'static str, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, code, message: message.into(), retry_ms: None, fields: Vec::new() }
    }

    /// The same, with a time after which to try again.
    #[must_use]
    pub fn with_retry(self, ms: u64) -> Refusal {
        Refusal { retry_ms: Some(ms), ..self }
    }

    /// The same, with a field for its HTTP answer.
    #[must_use]
    pub fn with_field(mut self, name: &'static str, value: &'static str) -> Refusal {
        self.fields.push((name, value));
        self
    }

    /// A value that isn't of the form that its name asks for.
    pub fn bad_value(name: &str, wants: &str) -> Refusal {
        Refusal::new(400, "bad_value", format!("`{name}` must be {wants}."))
    }

    /// The application has ended the client whose request this is.
    pub fn dismissed() -> Refusal {
        Refusal::new(403, "dismissed", "The application has sent this client away.")
    }

    /// A sid that names no client, or none any more.
    pub fn unknown_sid() -> Refusal {
        let sentence = "This client is gone; read again, and send with the sid you are given.";
        Refusal::new(410, "unknown_sid", sentence)
    }

    /// A command that nobody knows.
    pub fn unknown_op(op: &str) -> Refusal {
        let op: String = op.chars().take(32).collect();
        Refusal::new(400, "unknown_op", format!("There is no command `{op}`; the documentation lists them."))
    }

    /// A value that has to be there.
    pub fn missing(name: &str) -> Refusal {
        Refusal::new(400, "missing_value", format!("`{name}` is missing."))
    }

    /// As an HTTP answer.
    pub fn to_response(&self) -> Response {
        let problem = Response::problem(self.status, self.code, &self.message);
        let response =
            self.fields.iter().fold(problem, |response, (name, value)| response.with_header(*name, *value));
        match self.retry_ms {
            Some(ms) => response.with_header("Retry-After", ms.div_ceil(1000).to_string()),
            None => response,
        }
    }

    /// As the `error` of a reply.
    pub fn to_object(&self) -> Object {
        let error = Object::new().string("code", self.code).string("message", &self.message);
        match self.retry_ms {
            Some(ms) => error.number("retry", ms),
            None => error,
        }
    }
}

impl From<hub::Refusal> for Refusal {
    fn from(refusal: hub::Refusal) -> Refusal {
        let (status, code, retry_ms) = match refusal {
            hub::Refusal::BadChannelName => (400, "bad_channel", None),
            hub::Refusal::MessageTooLong => (413, "message_too_long", None),
            hub::Refusal::TooManyChannels => (503, "too_many_channels", Some(60_000)),
            hub::Refusal::TooManySubscriptions => (400, "too_many_subscriptions", None),
            hub::Refusal::TooManyReaders => (503, "too_many_clients", Some(10_000)),
        };
        let message = format!("This is refused: {refusal}.");
        Refusal { retry_ms, ..Refusal::new(status, code, message) }
    }
}
