//! Polls: requests that wait for something to tell.
//!
//! A poll that has nothing to tell is held in its session until there is, or until its time is over. Its
//! answer holds all that the log has for its client by then. Read first: RFC 6202, section 2.

use std::borrow::Cow;

use super::answer::Reply;
use super::client::{ClientId, Sid};
use super::hall::Hall;
use super::object::Object;
use super::params::{Params, Position};
use super::peer::Peer;
use super::reading::Entered;
use super::transport::Transport;
use crate::hub::Item;
use crate::limits::POLL_BYTES_MAX;
use crate::reactor::{ConnId, Links};
use crate::wire::response::Response;
use crate::wire::{poll, script};

/// A poll that is owed its answer.
#[derive(Debug)]
pub struct Held {
    /// How to frame it.
    pub reply: Reply,
    /// Whose poll it is.
    pub sid: Sid,
    /// The function to call with it, for JSONP.
    pub callback: Option<Cow<'static, str>>,
    /// Whose connection it counts as while it waits, where that is not the connection's own peer.
    pub counted_for: Option<Peer>,
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
        params: &Params,
    ) {
        let Entered { client, sid, ref gaps } = *entered;
        let callback = (transport == Transport::Jsonp).then(|| params.callback.clone());
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
        let Some(held) = self.session(id).release() else { return };
        if let Some(peer) = held.counted_for {
            self.quotas.close(peer);
        }
        let response = self.poll_response(client, &held, &[], last);
        self.detach(links, id);
        self.answer(links, id, &held.reply, response);
        // What came after the poll has waited for this.
        links.want_drain(id);
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
        let cursor = self.cursor(self.hub.position(reader));
        let len = |item: &Item| match item {
            Item::Message(message) => message.json().len() + 1,
            Item::Gap { .. } => 0,
        };
        let mut body = Vec::with_capacity(256 + items.iter().map(len).sum::<usize>());
        poll::emit(&mut body, &held.sid.emit(), &cursor, events);
        items.clear();
        self.items = items;
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
