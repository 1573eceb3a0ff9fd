//! The side for back ends: publishing without being a client, looking into channels, counters.
//!
//! It knows no client, and what a request may do is judged in `rights`. The application is asked about what
//! is published without the key alone. Read first: the section on back ends in the wire surface; RFC 6750,
//! section 2.1 (Bearer).

use std::borrow::Cow;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::app::{App, Request};
use super::command::{Command, canonical};
use super::hall::Hall;
use super::object::{Object, join};
use super::params;
use super::refusal::Refusal;
use super::rights::Right;
use super::routes::Route;
use super::transport::Transport;
use crate::hub::{self, ChannelInfo, Data, Once};
use crate::limits::{
    BATCH_LINES_MAX, CHECKED_BYTE_COST, COMMAND_BYTES_MAX, PARSED_BYTE_COST, PEOPLE_LISTED_MAX,
};
use crate::reactor::Links;
use crate::wire::json;
use crate::wire::response::Response;
use crate::work;

impl Hall {
    /// Answers a request for one of the routes for back ends.
    pub(super) fn back_end(
        &mut self,
        links: &Links,
        app: &mut dyn App,
        route: &Route,
        request: &Request<'_>,
    ) -> Result<Response, Refusal> {
        match (route, request.method()) {
            (Route::Publish(channel), _) => self.publish_one(links, app, channel, request),
            (Route::PublishMany, _) => self.publish_many(links, app, request),
            (Route::Channel(channel), "DELETE") => {
                self.describe(channel)?;
                self.hub.clear(channel);
                Ok(Response::new(204))
            }
            (Route::Channel(channel), _) => Ok(json(self.describe(channel)?)),
            (Route::History(channel), _) => {
                let limit =
                    request.parameter("limit").map(|limit| params::number("limit", &limit)).transpose()?;
                Ok(json(self.history(channel, request.parameter("before").as_deref(), limit)?))
            }
            (Route::Channels, _) => {
                // Who has mail is for those who may look into inboxes.
                let is_back_end = self.shown_key(request) == Some(true);
                let is_shown = |info: &ChannelInfo<'_>| is_back_end || !info.name.starts_with('@');
                let mut infos: Vec<_> = self.hub.channels().filter(is_shown).collect();
                infos.sort_unstable_by_key(|info| info.name);
                let channels: Vec<Object> = infos.iter().map(|info| self.listed(info)).collect();
                Ok(json(Object::new().array("channels", channels.iter().map(Object::as_bytes))))
            }
            (Route::Metrics, _) => {
                Ok(Response::new(200)
                    .with_body("text/plain; version=0.0.4", self.metrics(links).into_bytes()))
            }
            _ => Ok(Response::new(404)),
        }
    }

    fn publish_one(
        &mut self,
        links: &Links,
        app: &mut dyn App,
        channel: &str,
        request: &Request<'_>,
    ) -> Result<Response, Refusal> {
        self.check_published_length(request, request.body.len() as u64)?;
        let body = body_of(request)?;
        let data = match &body {
            Body::Json(json) => Data::Json(json),
            Body::Base64(text) => Data::Base64(text),
        };
        let stranger = (self.shown_key(request) != Some(true)).then_some(app);
        let answer = self.publish_for(links, channel, idempotency_key(request)?, data, stranger)?;
        Ok(json(Object::new().boolean("ok", true).members(&answer)))
    }

    /// Refuses a body that no message has room for. JSON may be longer as it is sent: as on a WebSocket, up
    /// to twice as long and a little around it.
    pub(super) fn check_published_length(&self, request: &Request<'_>, length: u64) -> Result<(), Refusal> {
        let bytes = self.config.bounds.message_bytes;
        let is_json = !matches!(&*media_type(request), "text/plain" | "application/octet-stream");
        let most = if is_json { bytes.saturating_mul(2).saturating_add(COMMAND_BYTES_MAX) } else { bytes };
        if length > most as u64 { Err(hub::Refusal::MessageTooLong.into()) } else { Ok(()) }
    }

    /// Publishes for a back end, or for a stranger who may publish without the publish key: then the
    /// application is asked. What came before under the same key has its answer, whatever was done since.
    fn publish_for(
        &mut self,
        links: &Links,
        channel: &str,
        key: Option<&str>,
        data: Data<'_>,
        stranger: Option<&mut dyn App>,
    ) -> Result<Object, Refusal> {
        let is_back_end = stranger.is_none();
        let scope = match key {
            Some(_) if !is_back_end => open_scope(data),
            _ => Cow::Borrowed("back end"),
        };
        let once = key.map(|key| Once { scope: &scope, key, is_back_end });
        if let Some(answer) = once.and_then(|once| self.repeated(channel, once)) {
            return Ok(answer);
        }
        if let (Some(app), Data::Json(json)) = (stranger, data) {
            app.on_open_publish(channel, json)?;
        }
        self.count_publish(links, channel)?;
        match once {
            None => Ok(Object::new().string("id", &self.publish(channel, None, data)?)),
            Some(once) => {
                let published = self.publish_once(channel, None, once, data)?;
                Ok(self.answer_publish(published))
            }
        }
    }

    /// One message a line. All lines are read before the first is published, so a body with a broken line
    /// publishes nothing.
    fn publish_many(
        &mut self,
        links: &Links,
        app: &mut dyn App,
        request: &Request<'_>,
    ) -> Result<Response, Refusal> {
        let text = std::str::from_utf8(request.body)
            .map_err(|_| Refusal::new(400, "bad_json", "The body must be UTF-8, one JSON object a line."))?;
        work::spend(PARSED_BYTE_COST * text.len() as u64);
        let mut drafts = Vec::new();
        let lines = text.lines().map(json::without_mark);
        for (index, line) in lines.enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            if drafts.len() == BATCH_LINES_MAX {
                let sentence = format!("Send at most {BATCH_LINES_MAX} lines at once.");
                return Err(Refusal::new(413, "too_many_lines", sentence));
            }
            let draft = Draft::parse(line).map_err(|refusal| Refusal {
                message: format!("Line {}: {}", index + 1, refusal.message).into(),
                ..refusal
            })?;
            drafts.push(draft);
        }
        let is_stranger = self.shown_key(request) != Some(true);
        let mut results = Vec::with_capacity(drafts.len());
        for Draft { channel, data, key } in &drafts {
            let published = match self.permit(Right::publish(channel), request) {
                Ok(()) => {
                    let stranger: Option<&mut dyn App> = if is_stranger { Some(&mut *app) } else { None };
                    self.publish_for(links, channel, key.as_deref(), Data::Json(data), stranger)
                }
                Err(refusal) => Err(refusal),
            };
            results.push(match published {
                Ok(answer) => Object::new().boolean("ok", true).members(&answer),
                Err(refusal) => Object::new().boolean("ok", false).object("error", &refusal.to_object()),
            });
        }
        let mut body = vec![b'['];
        join(&mut body, results.iter().map(Object::as_bytes));
        body.push(b']');
        Ok(Response::json(200, body))
    }

    fn describe(&self, channel: &str) -> Result<Object, Refusal> {
        let info = self.hub.find(channel).and_then(|id| self.hub.channel(id));
        let info = info.ok_or_else(|| {
            Refusal::new(
                404,
                "no_channel",
                "There is no such channel; it begins with its first message or reader.",
            )
        })?;
        let users = self.users(channel, PEOPLE_LISTED_MAX);
        let names = self.listed(&info).strings("names", users.iter().map(String::as_str));
        Ok(names.boolean("more", users.len() < info.users))
    }

    fn listed(&self, info: &ChannelInfo<'_>) -> Object {
        Object::new()
            .string("ch", info.name)
            .number("readers", info.readers as u64)
            .number("users", info.users as u64)
            .number("kept", info.kept as u64)
            .number("bytes", info.bytes as u64)
            .string("cursor", &self.cursor(info.latest))
    }

    /// The counters, in the text form that Prometheus reads.
    fn metrics(&self, links: &Links) -> String {
        let stats = links.stats();
        let mut out = String::new();
        let mut line = |kind: &str, name: &str, help: &str, value: u64| {
            // Writing to a string can't fail.
            let _ =
                write!(out, "# HELP encke_{name} {help}\n# TYPE encke_{name} {kind}\nencke_{name} {value}\n");
        };
        line("gauge", "connections", "Connections open.", links.len() as u64);
        line(
            "gauge",
            "clients",
            "Clients present, pollers between two polls included.",
            self.clients.len() as u64,
        );
        line("gauge", "channels", "Channels open.", self.hub.channels_len() as u64);
        line("gauge", "log_bytes", "Bytes of all messages kept.", self.hub.bytes() as u64);
        line("gauge", "memory_budget_bytes", "What may be held for peers.", self.config.memory as u64);
        let pressure = &self.pressure;
        line("counter", "memory_history_bytes_total", "History given up for memory.", pressure.history_bytes);
        line("counter", "memory_ended_total", "Connections ended for memory.", pressure.ended);
        line("counter", "memory_refused_total", "What was refused for want of memory.", pressure.refused);
        let limited = self.quotas.refused;
        line("counter", "rate_limited_total", "What was refused for its rate or number.", limited);
        line("counter", "messages_total", "Numbers given out by the log.", self.hub.head());
        line("counter", "accepted_total", "Connections accepted.", stats.accepted);
        line("counter", "refused_total", "Connections told that there is no room.", stats.refused);
        line(
            "counter",
            "accept_faults_total",
            "Accepts that failed for want of a descriptor.",
            stats.accept_faults,
        );
        line("counter", "read_bytes_total", "Bytes read.", stats.read_bytes);
        line("counter", "written_bytes_total", "Bytes written.", stats.written_bytes);
        line("counter", "writes_total", "Writes that the kernel took.", stats.writes);
        let (deflated, inflated) = (self.deflater.counts(), self.inflater.counts());
        line("counter", "deflated_total", "Messages compressed, once for all readers.", deflated.messages);
        line("counter", "deflated_plain_bytes_total", "Bytes of them before.", deflated.plain);
        line("counter", "deflated_bytes_total", "Bytes of them after.", deflated.wire);
        line("counter", "inflated_total", "Compressed messages taken.", inflated.messages);
        line("counter", "inflated_bytes_total", "Bytes of them as they came.", inflated.wire);
        line("counter", "inflated_plain_bytes_total", "Bytes of them inflated.", inflated.plain);
        line("counter", "turns_total", "Turns of the loop.", stats.turns);
        let _ = write!(out, "# HELP encke_memory_bytes Held for peers.\n# TYPE encke_memory_bytes gauge\n");
        for (part, bytes) in self.memory_parts(links) {
            let _ = writeln!(out, "encke_memory_bytes{{part=\"{part}\"}} {bytes}");
        }
        let _ = write!(out, "# HELP encke_readers Clients that read now.\n# TYPE encke_readers gauge\n");
        for transport in Transport::ALL {
            let reads = self
                .clients
                .iter()
                .filter(|(_, one)| one.conn().is_some() && one.transport.name() == transport.name());
            let _ = writeln!(out, "encke_readers{{transport=\"{}\"}} {}", transport.name(), reads.count());
        }
        out
    }
}

/// Whose key it is, if it came with a message from somebody who did not show the publish key: it belongs to
/// what is said with it. Else strangers could publish under a back end's next key first, and have its message
/// taken for a repeated one.
fn open_scope(data: Data<'_>) -> Cow<'static, str> {
    let said = match data {
        Data::Json(json) => String::from_utf8_lossy(json),
        Data::Base64(text) => Cow::Borrowed(text),
    };
    Cow::Owned(format!("open {said}"))
}

/// A structured field's string has quotes around it (RFC 8941); most senders leave them off.
fn idempotency_key<'r>(request: &'r Request<'_>) -> Result<Option<&'r str>, Refusal> {
    let Some(value) = request.head.header("idempotency-key") else { return Ok(None) };
    let key = std::str::from_utf8(value).map_err(|_| Refusal::bad_value("Idempotency-Key", "text"))?;
    Ok(Some(key.trim_matches('"')))
}

/// A published body.
enum Body {
    Json(Vec<u8>),
    Base64(String),
}

/// What `Content-Type` says, without its parameters.
fn media_type(request: &Request<'_>) -> String {
    let kind = request.header("content-type").unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// What a body is. JSON stays JSON, other text becomes a string, other bytes base64. A content type that
/// says which of them it is, is believed.
fn body_of(request: &Request<'_>) -> Result<Body, Refusal> {
    let kind = media_type(request);
    let is_json = kind == "application/json" || kind.ends_with("+json");
    let Ok(text) = std::str::from_utf8(request.body) else {
        if is_json {
            return Err(Refusal::new(400, "bad_json", "The body calls itself JSON and is not even UTF-8."));
        }
        return Ok(Body::Base64(STANDARD.encode(request.body)));
    };
    if kind == "application/octet-stream" {
        return Ok(Body::Base64(STANDARD.encode(request.body)));
    }
    let text = json::without_mark(text);
    work::spend(CHECKED_BYTE_COST * text.len() as u64);
    if kind != "text/plain" {
        match serde_json::from_str::<&serde_json::value::RawValue>(text) {
            Ok(raw) => return Ok(Body::Json(canonical(raw.get())?)),
            Err(error) if is_json => {
                return Err(Refusal::new(400, "bad_json", format!("The body calls itself JSON: {error}.")));
            }
            Err(_) => {}
        }
    }
    let mut string = Vec::with_capacity(text.len() + 2);
    json::quote(&mut string, text);
    Ok(Body::Json(string))
}

/// One line of a batch.
struct Draft {
    channel: String,
    data: Vec<u8>,
    key: Option<String>,
}

impl Draft {
    fn parse(line: &str) -> Result<Draft, Refusal> {
        let members = Command::members(line)?;
        Ok(Draft {
            channel: members.string("ch")?,
            data: members.json("data")?,
            key: members.optional_string("key")?,
        })
    }
}

fn json(object: Object) -> Response {
    Response::json(200, object.into_bytes()).with_header("Cache-Control", "no-store")
}
