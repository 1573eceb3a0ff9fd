//! How a client comes to read: over which connection, which channels, from where.
//!
//! Every transport goes through the same steps: parameters, client, permission, subscriptions. They part
//! only at the end: a stream begins, a WebSocket is upgraded, a poll is answered or held. Nothing is sent
//! before the last permission is given, so a refusal is always a plain HTTP answer.

use super::Server;
use super::answer::Reply;
use super::app::{Ctx, Request};
use super::client::{ClientId, Sid};
use super::hall::Hall;
use super::object::Object;
use super::params::{Params, Position};
use super::refusal::Refusal;
use super::timer::Timer;
use super::transport::Transport;
use crate::hub::{self, Cursor, NO_EPOCH, Start};
use crate::limits::{COMMAND_BYTES_MAX, EVENT_COST, FOLLOW_UP_MS, IFRAME_PAD_BYTES_MIN, SOCKET_BEAT_S};
use crate::reactor::{ConnId, Links};
use crate::wire::deflate::Window;
use crate::wire::extensions::Deflate;
use crate::wire::response::Response;
use crate::wire::{handshake, message, ndjson, script, sse};
use crate::work;

impl Server {
    /// A request to read. An error is answered by the caller, and leaves nobody behind that it made.
    pub(super) fn read(
        &mut self,
        links: &mut Links,
        id: ConnId,
        reply: &Reply,
        transport: Transport,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        if transport == Transport::Jsonp && !self.hall.config.jsonp {
            return Err(Refusal::new(
                404,
                "jsonp_off",
                "JSONP is switched off, since any site could read it; start encke with --jsonp to allow it.",
            ));
        }
        let params = Params::parse(&request.target, request.head, self.hall.config.heartbeat_s)?;
        let (transport, upgrade) = match transport {
            Transport::WebSocket(_) => {
                // What is said on it is this server's own, which has no subprotocol's name.
                let upgrade = self.hall.upgrade(request, &[])?;
                (Transport::WebSocket(upgrade.window()), Some(upgrade))
            }
            other => (other, None),
        };
        self.check_channels(transport, &params)?;
        for channel in &params.channels {
            self.hall.count_channel(links, channel)?;
        }
        if reply.head_only {
            self.hall.answer_head(links, id, reply, stream_head(transport));
            return Ok(());
        }
        if !transport.is_poll() || params.wait_s > 0 {
            self.hall.check_reader(links, id, request.peer, transport.is_poll())?;
        }
        let entered = self.enter(links, transport, &params, request)?;

        if transport.is_poll() {
            self.hall.begin_poll(links, id, &entered, reply, transport, &params);
            return Ok(());
        }
        let mut out = Vec::with_capacity(1024);
        self.hall.count_stream(links, id, request.peer);
        match upgrade {
            Some(upgrade) => {
                // A command is a message, which escapes may have made twice as long, and a little around it.
                let bytes = self.hall.config.bounds.message_bytes.saturating_mul(2);
                let bytes = bytes.saturating_add(COMMAND_BYTES_MAX);
                self.hall.session(id).upgrade(upgrade.begin(bytes, &mut out));
            }
            None => {
                self.hall.emit_stream(reply, stream_head(transport), &mut out);
                preamble(transport, &params, &mut out);
                self.hall.session(id).stream(0);
            }
        }
        self.hall.begin_stream(links, id, &entered, transport, &params, out);
        Ok(())
    }

    /// Refuses channels that can't be read, and to read none, since nothing would ever come. On a WebSocket
    /// they may be named later; elsewhere too, by a client that has a sid, or says with an empty one that it
    /// will.
    fn check_channels(&mut self, transport: Transport, params: &Params<'_>) -> Result<(), Refusal> {
        let may_subscribe = params.has_sid || matches!(transport, Transport::WebSocket(_));
        if !params.channels.is_empty() || may_subscribe || !self.app.needs_channels() {
            return self.hall.check_channels(params);
        }
        let sentence = "Name the channel to read, `?ch=lobby`, as often as there are channels; or say with \
            an empty `sid=` that you will subscribe by POST /send with the sid you are given.";
        Err(Refusal::new(400, "missing_value", sentence))
    }

    /// A WebSocket of the application's own: nothing but the handshake, then its messages.
    pub(super) fn open_socket(
        &mut self,
        links: &mut Links,
        id: ConnId,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        let upgrade = self.hall.upgrade(request, &self.hall.config.subprotocols)?;
        self.hall.check_reader(links, id, request.peer, false)?;
        let transport = Transport::Raw(upgrade.window());
        let client = self.hall.admit(links, transport, request.peer)?;
        self.greet(links, client, &Request { subprotocol: upgrade.subprotocol, ..*request })?;
        let mut out = Vec::new();
        let reader = upgrade.begin(self.hall.config.message_bytes, &mut out);
        links.send(id, out);
        self.hall.count_stream(links, id, request.peer);
        self.hall.session(id).upgrade(reader);
        self.hall.attach(client, id, transport);
        if let Some(client) = self.hall.clients.get_mut(client) {
            client.heartbeat_s = SOCKET_BEAT_S;
        }
        self.hall.heartbeat(links, id);
        Ok(())
    }

    /// Finds or makes the client, asks the application whether it may read all that it wants, and
    /// subscribes it.
    fn enter(
        &mut self,
        links: &mut Links,
        transport: Transport,
        params: &Params<'_>,
        request: &Request<'_>,
    ) -> Result<Entered, Refusal> {
        work::spend(EVENT_COST * params.channels.len() as u64);
        let returning = params.sid.and_then(|sid| Some((self.hall.clients.find(&sid)?, sid)));
        if let Some((client, sid)) = returning {
            self.app.on_return(&mut Ctx { hall: &mut self.hall, links }, client, request)?;
            self.hall.check_present(client)?;
            self.permit(links, client, params)?;
            for channel in &params.channels {
                self.hall.admit_channel(links, client, channel)?;
            }
            if let Some(held) = self.hall.clients.get_mut(client) {
                held.peer = request.peer;
            }
            // One client, one connection: the older one is told that it was replaced. That may answer a poll
            // with what there is for it, so it comes before the new place in the log is taken.
            if let Some((old, _)) = self.hall.clients.line(client) {
                self.hall.bye(links, old, "replaced");
            }
            return Ok(Entered { client, sid, gaps: self.hall.set_channels(client, params)? });
        }
        let client = self.hall.admit(links, transport, request.peer)?;
        self.greet(links, client, request)?;
        let entered =
            self.permit(links, client, params).and_then(|()| self.hall.set_channels(client, params));
        let sid = self.hall.clients.sid(client).ok_or_else(Refusal::dismissed);
        match entered.and_then(|gaps| Ok(Entered { client, sid: sid?, gaps })) {
            Ok(entered) => Ok(entered),
            Err(refusal) => {
                self.hall.remove(client);
                Err(refusal)
            }
        }
    }

    fn permit(&mut self, links: &mut Links, client: ClientId, params: &Params<'_>) -> Result<(), Refusal> {
        let mut ctx = Ctx { hall: &mut self.hall, links };
        params.channels.iter().try_for_each(|channel| self.app.on_subscribe(&mut ctx, client, channel))?;
        self.hall.check_present(client)
    }

    fn greet(&mut self, links: &mut Links, client: ClientId, request: &Request<'_>) -> Result<(), Refusal> {
        let mut ctx = Ctx { hall: &mut self.hall, links };
        let greeted = self.app.on_connect(&mut ctx, client, request);
        if greeted.is_err() {
            self.hall.turn_away(client);
        }
        greeted?;
        self.hall.check_present(client)
    }
}

/// Who reads from now on.
pub(super) struct Entered {
    pub(super) client: ClientId,
    /// The client's sid, which is not worked out twice.
    pub(super) sid: Sid,
    /// What it must be told of before anything else.
    pub(super) gaps: Vec<Object>,
}

/// A handshake that holds, and what was agreed on in it.
struct Upgrade {
    accept: handshake::Accept,
    subprotocol: Option<&'static str>,
    deflate: Option<Deflate>,
}

impl Upgrade {
    fn window(&self) -> Option<Window> {
        self.deflate.map(Deflate::window)
    }

    /// Writes the answer, and gives the reader for what follows it: messages of at most `bytes_max` bytes.
    fn begin(self, bytes_max: usize, out: &mut Vec<u8>) -> message::Reader {
        handshake::emit(self.accept, self.subprotocol, self.deflate, out);
        let reader = message::Reader::new(u32::try_from(bytes_max).unwrap_or(u32::MAX));
        if self.deflate.is_some() { reader.with_deflate() } else { reader }
    }
}

impl Hall {
    /// The upgrade request's check (RFC 6455, section 4.2.1).
    fn upgrade(&self, request: &Request<'_>, ours: &[&'static str]) -> Result<Upgrade, Refusal> {
        let agree = || {
            let accept = handshake::check(&handshake::Request::of(request.head))?;
            let subprotocol = handshake::subprotocol(request.head, ours)?;
            let deflate = handshake::deflate(request.head)?.filter(|_| self.config.deflate);
            Ok(Upgrade { accept, subprotocol, deflate })
        };
        agree().map_err(|refusal: handshake::Refusal| Refusal {
            fields: refusal.fields().to_vec(),
            ..Refusal::new(refusal.status(), refusal.code(), refusal.sentence())
        })
    }

    /// Refuses channels that can't be read, before anything is changed for them.
    fn check_channels(&self, params: &Params<'_>) -> Result<(), Refusal> {
        if params.channels.len() > self.config.bounds.subscriptions {
            return Err(hub::Refusal::TooManySubscriptions.into());
        }
        let is_bad = params.channels.iter().any(|name| !hub::is_channel_name(name));
        if is_bad { Err(hub::Refusal::BadChannelName.into()) } else { Ok(()) }
    }

    /// Subscribes a client to what it asked for, from where it asked. Returns the gaps that it must be told
    /// of before anything else.
    fn set_channels(&mut self, client: ClientId, params: &Params<'_>) -> Result<Vec<Object>, Refusal> {
        let Some(reader) = self.reader(client) else { return Ok(Vec::new()) };
        let (start, is_lost) = self.start_of(params.position);
        if params.channels.is_empty() {
            self.hub.seek(reader, start);
        } else {
            let wanted = |name: &str| params.channels.iter().any(|wanted| wanted == name);
            let names = self.hub.subscriptions(reader).filter_map(|id| Some(self.hub.channel(id)?.name));
            let unwanted: Vec<_> = names.filter(|name| !wanted(name)).cloned().collect();
            for name in unwanted {
                self.hub.unsubscribe(reader, &name);
            }
            for name in &params.channels {
                self.hub.subscribe(reader, name, start)?;
            }
        }
        if !is_lost {
            return Ok(Vec::new());
        }
        let cursor = self.cursor(0);
        Ok(self.hub.subscriptions(reader).map(|id| self.gap(id, "restarted", &cursor)).collect())
    }

    /// Where that is in this server's log, and whether messages before it are lost. A cursor of another
    /// epoch, or from a future that never was, is one of a server whose messages are gone: all that is kept
    /// comes after it.
    pub(super) fn start_of(&self, position: Position) -> (Start, bool) {
        match position {
            Position::Now => (Start::Now, false),
            Position::Last(count) => (Start::Last(count), false),
            Position::After(cursor) if cursor.epoch == self.hub.epoch() && cursor.seq <= self.hub.head() => {
                (Start::Since(cursor.seq), false)
            }
            Position::After(_) | Position::Lost => (Start::Since(0), true),
        }
    }

    /// Begins a stream: `out` holds its head; the welcome and what is missing follow, and then the log.
    fn begin_stream(
        &mut self,
        links: &mut Links,
        id: ConnId,
        entered: &Entered,
        transport: Transport,
        params: &Params<'_>,
        mut out: Vec<u8>,
    ) {
        let Entered { client, sid, ref gaps } = *entered;
        self.attach(client, id, transport);
        let Some(held) = self.clients.get_mut(client) else { return };
        held.heartbeat_s = params.heartbeat_s;
        let cursor = self.cursor(self.hub.position(client.reader()));
        let welcome = welcome(&sid.chars(), cursor.as_bytes(), params.heartbeat_s);
        // On SSE the welcome carries the cursor as an id, so that a browser that loses the connection before
        // the first message comes back to here and not to a later now. With gaps to tell it is the last of
        // them that does: a browser that was not told of all comes back to be told of all.
        if gaps.is_empty() {
            transport.emit(Some(&cursor), &welcome, &mut out);
        } else {
            let lost = Cursor { epoch: NO_EPOCH, seq: 0 }.to_string();
            transport.emit(Some(&lost), &welcome, &mut out);
            let zero = self.cursor(0);
            for (index, gap) in gaps.iter().enumerate() {
                let primed = (index + 1 == gaps.len()).then_some(&*zero);
                transport.emit(primed, gap.as_bytes(), &mut out);
            }
        }
        links.send(id, out);
        links.set_deadline(id, links.now().after(u64::from(params.heartbeat_s) * 1000));
        if !matches!(transport, Transport::WebSocket(_)) {
            links.set_timer(links.now().after(FOLLOW_UP_MS), Timer::FollowUp(client).key());
        }
        self.pump(links, client);
    }
}

/// What every stream begins with. Nothing in it needs an escape, and the epoch is what a cursor's first eight
/// digits are.
fn welcome(sid: &[u8], cursor: &[u8], heartbeat_s: u16) -> Vec<u8> {
    let (epoch, heartbeat) = (&cursor[..8], heartbeat_s.to_string());
    [
        br#"{"type":"welcome","sid":""#,
        sid,
        br#"","cursor":""#,
        cursor,
        br#"","heartbeat":"#,
        heartbeat.as_bytes(),
        br#","epoch":""#,
        epoch,
        br#""}"#,
    ]
    .concat()
}

/// The fields of a stream: no cache may keep it, no proxy may hold it back or change it.
fn stream_head(transport: Transport) -> Response {
    let content_type = match transport {
        Transport::Sse => "text/event-stream",
        Transport::Iframe => "text/html; charset=utf-8",
        Transport::Stream => "application/x-ndjson",
        Transport::Jsonp => "text/javascript; charset=utf-8",
        Transport::Poll | Transport::WebSocket(_) | Transport::Raw(_) => "application/json",
    };
    let response = Response::new(200)
        .with_header("Content-Type", content_type)
        .with_header("Cache-Control", "no-store, no-transform")
        .with_header("X-Accel-Buffering", "no");
    match transport {
        Transport::Iframe => response.with_header("Content-Security-Policy", script::CONTENT_SECURITY_POLICY),
        _ => response,
    }
}

/// What stands before the first event: padding for browsers and proxies that hold back the first bytes.
fn preamble(transport: Transport, params: &Params<'_>, out: &mut Vec<u8>) {
    match transport {
        Transport::Sse if params.pad > 0 => sse::padding(out, params.pad),
        Transport::Stream if params.pad > 0 => ndjson::padding(out, params.pad),
        Transport::Iframe => script::preamble(out, &params.callback, params.pad.max(IFRAME_PAD_BYTES_MIN)),
        _ => {}
    }
}
