//! Polls: requests that wait for something to tell.
//!
//! A poll that has nothing to tell is held in its session until there is, or until its time is over. Its
//! answer holds all that the log has for its client by then. Read first: RFC 6202, section 2.
//!
//! ```text
//!   request ──► anything to tell? ── yes ──► answered at once
//!                      │ no
//!                    held ──── a message ──► the answer of all that wait at the same place, or its own
//!                      └────── its time is over, a newer poll, the end ──► its own, which may tell nothing
//! ```

use super::answer::Reply;
use super::client::{ClientId, SID_CHARS, Sid};
use super::hall::Hall;
use super::object::Object;
use super::params::{Params, Position};
use super::peer::Peer;
use super::reading::Entered;
use super::transport::Transport;
use crate::account::Image;
use crate::hub::{ChannelId, Due, Item, ReaderId};
use crate::limits::{BODY_COPIED_BYTES_MAX, POLL_BYTES_MAX};
use crate::reactor::{ConnId, Links};
use crate::wire::response::Response;
use crate::wire::{poll, script};
use crate::work;

/// A poll that is owed its answer.
#[derive(Debug)]
pub struct Held {
    /// How to frame it.
    pub reply: Reply,
    /// Whose poll it is.
    pub sid: Sid,
    /// The function to call with it, for JSONP.
    pub callback: Option<String>,
    /// Whose connection it counts as while it waits, where that is not the connection's own peer.
    pub counted_for: Option<Peer>,
}

impl Held {
    /// Whether its answer is like that of most polls, but for the sid.
    pub fn is_plain(&self) -> bool {
        self.reply == Reply::PLAIN && self.callback.is_none()
    }
}

/// The answer to all plain polls that wait at the same place, from the status line on. What differs is the
/// sid, which stands between two parts that are made once and, where they are long, held once. Its cursor is
/// right for all of them: what other channels are told meanwhile lies behind it, and is none of theirs.
#[derive(Debug)]
pub(super) struct Answer {
    /// Numbers are those of the whole log: no other channel has a run with these.
    pub(super) run: (u64, u64),
    before_sid: Box<[u8]>,
    after_sid: Image,
}

impl Answer {
    /// What of it is shared by those who are sent it.
    pub(super) fn image(&self) -> &Image {
        &self.after_sid
    }

    fn send(&self, links: &mut Links, id: ConnId, sid: &Sid) {
        let is_copied = self.after_sid.len() <= BODY_COPIED_BYTES_MAX;
        let copied = if is_copied { &self.after_sid[..] } else { &[] };
        let mut out = Vec::with_capacity(self.before_sid.len() + SID_CHARS + copied.len());
        out.extend_from_slice(&self.before_sid);
        out.extend_from_slice(&sid.chars());
        out.extend_from_slice(copied);
        links.send(id, out);
        if !is_copied {
            links.send(id, self.after_sid.clone());
        }
    }
}

impl Hall {
    /// Answers a poll, or holds it if there is nothing to tell and time to wait.
    pub(super) fn begin_poll(
        &mut self,
        links: &mut Links,
        id: ConnId,
        entered: &Entered,
        reply: &Reply,
        transport: Transport,
        params: &Params<'_>,
    ) {
        let Entered { client, sid, ref gaps } = *entered;
        let callback = (transport == Transport::Jsonp).then(|| params.callback.clone().into_owned());
        let mut held = Held { reply: reply.clone(), sid, callback, counted_for: None };
        let is_behind = self.reader(client).is_some_and(|reader| self.hub.is_behind(reader));
        // Without a cursor there is nothing to wait after, without a channel nothing to wait for: the answer
        // is the cursor, or the sid, to go on from.
        let can_wait = params.wait_s > 0 && matches!(params.position, Position::After(_));
        let reads = self.reader(client).is_some_and(|reader| self.hub.subscriptions(reader).next().is_some());
        let at_once = !can_wait || !reads || is_behind || !gaps.is_empty();
        self.attach(client, id, transport);
        if at_once {
            let response = self.poll_response(client, &held, gaps, None);
            self.detach(links, id);
            self.answer(links, id, reply, response);
        } else {
            if let Some(peer) = self.clients.get(client).map(|client| client.peer) {
                held.counted_for = self.count_poll(links, id, peer);
            }
            self.session(id).hold(held);
            links.set_deadline(id, links.now().after(params.wait_s * 1000));
        }
    }

    /// Answers a held poll if there is anything to tell it.
    pub(super) fn answer_poll(&mut self, links: &mut Links, id: ConnId) {
        let reader = self.client_of(id).and_then(|client| self.reader(client));
        if reader.is_some_and(|reader| self.hub.is_behind(reader)) {
            self.end_poll(links, id, None);
        }
    }

    /// Answers a held poll with what there is for it, and with `last` at the end. It may be nothing at all.
    pub(super) fn end_poll(&mut self, links: &mut Links, id: ConnId, last: Option<&Object>) {
        let Some(client) = self.client_of(id) else { return };
        let Some(held) = self.release(links, id) else { return };
        let response = self.poll_response(client, &held, &[], last);
        self.answer(links, id, &held.reply, response);
    }

    /// Answers a held poll with the run that is due, if it is plain and the run is all there is for it: with
    /// the answer that was made for those before it at the same place.
    pub(super) fn answer_alike(&mut self, links: &mut Links, id: ConnId, due: Due) -> bool {
        let Some(run) = due.run else { return false };
        let is_plain = self.session(id).is_plain_poll() && self.goes_on(links, id, &Reply::PLAIN);
        let is_all = self.hub.channel(due.channel).is_some_and(|channel| channel.latest == run.1);
        if !is_plain || !is_all || !self.hub.advance(due.reader, due.channel, run.0, run.1) {
            return false;
        }
        let Some(held) = self.release(links, id) else { unreachable!("a plain poll is held") };
        let answer = self.runs.take_answer(run).unwrap_or_else(|| {
            let answer = self.make_answer(due.reader, due.channel, run, &held);
            work::spend(answer.after_sid.len() as u64);
            answer
        });
        answer.send(links, id, &held.sid);
        self.runs.keep_answer(answer);
        self.go_on(links, id, true);
        true
    }

    fn make_answer(&self, reader: ReaderId, channel: ChannelId, run: (u64, u64), held: &Held) -> Answer {
        let events: Vec<&[u8]> =
            self.hub.messages(channel, run.0, run.1).map(|message| message.json()).collect();
        let response = self.response_with(reader, held, &events);
        let body_len = response.body().len();
        let mut out = Vec::new();
        self.emit_plain(response, &mut out);
        let sid = out.len() - body_len + poll::SID_AT;
        let after_sid = Image::from(&out[sid + SID_CHARS..]);
        Answer { run, before_sid: out[..sid].into(), after_sid }
    }

    /// Takes a held poll off its connection, to be answered now.
    fn release(&mut self, links: &mut Links, id: ConnId) -> Option<Held> {
        let held = self.session(id).release()?;
        if let Some(peer) = held.counted_for {
            self.quotas.close(peer);
        }
        self.detach(links, id);
        if self.session(id).has_stash() {
            // What came after the poll has waited for this.
            links.want_drain(id);
        }
        Some(held)
    }

    /// The answer to a poll: the events before, what the client has not been told yet, the event after.
    fn poll_response(
        &mut self,
        client: ClientId,
        held: &Held,
        first: &[Object],
        last: Option<&Object>,
    ) -> Response {
        let Some(reader) = self.reader(client) else { return Response::new(500) };
        let mut items = std::mem::take(&mut self.items);
        self.hub.take(reader, POLL_BYTES_MAX, &mut items);
        let gaps: Vec<Object> = items
            .iter()
            .filter_map(|item| match item {
                Item::Gap { channel, seq } => Some(self.gap(*channel, "evicted", &self.cursor(*seq))),
                Item::Message(_) => None,
            })
            .collect();
        let mut gaps = gaps.iter();
        let told = items.iter().filter_map(|item| match item {
            Item::Message(message) => Some(message.json()),
            Item::Gap { .. } => gaps.next().map(Object::as_bytes),
        });
        let events = first.iter().map(Object::as_bytes).chain(told).chain(last.map(Object::as_bytes));
        let response = self.response_with(reader, held, &events.collect::<Vec<_>>());
        items.clear();
        self.items = items;
        response
    }

    fn response_with(&self, reader: ReaderId, held: &Held, events: &[&[u8]]) -> Response {
        let cursor = self.cursor(self.hub.position(reader));
        let mut body = Vec::with_capacity(128 + events.iter().map(|event| event.len() + 1).sum::<usize>());
        poll::emit(&mut body, &held.sid.emit(), &cursor, events.iter().copied());
        let response = Response::new(200).with_header("Cache-Control", "no-store, no-transform");
        match &held.callback {
            None => response.with_body("application/json", body),
            Some(callback) => {
                let mut call = Vec::with_capacity(body.len() + callback.len() + 8);
                script::jsonp(&mut call, callback, &body);
                response.with_body("text/javascript; charset=utf-8", call)
            }
        }
    }
}
