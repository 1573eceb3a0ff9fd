//! WebSocket messages and control frames: what each of them is answered with.
//!
//! It knows no frame's bytes, only what they amount to. Read first: RFC 6455, sections 5.5 and 7.

use log::debug;

use super::Server;
use super::app::{Ctx, Message};
use super::hall::Hall;
use crate::reactor::{ConnId, Links};
use crate::wire::message::Event;
use crate::wire::ws;

impl Server {
    /// A message or control frame came on a WebSocket.
    pub(super) fn on_event(&mut self, links: &mut Links, id: ConnId, event: Event) {
        let Some(client) = self.hall.client_of(id) else { return };
        let is_raw = self.hall.is_raw(client);
        if !self.admit_frame(links, id) {
            return;
        }
        let event = match event {
            Event::Deflated(message) => match message.inflate(&mut self.hall.inflater) {
                Ok(event) => event,
                Err(offence) => return self.fail_socket(links, id, offence),
            },
            event => event,
        };
        match event {
            Event::Text(text) if !is_raw => {
                let reply = self.command(links, client, &text);
                self.hall.send_reply(links, client, &reply);
            }
            Event::Text(text) => {
                let mut ctx = Ctx { hall: &mut self.hall, links };
                self.app.on_message(&mut ctx, client, Message::Text(&text));
            }
            Event::Binary(bytes) => {
                let mut ctx = Ctx { hall: &mut self.hall, links };
                self.app.on_message(&mut ctx, client, Message::Binary(&bytes));
            }
            Event::Ping(payload) => {
                let mut out = Vec::with_capacity(payload.len() + ws::HEADER_BYTES_MAX);
                ws::frame(ws::Opcode::Pong, &payload, &mut out);
                links.send(id, out);
            }
            // The last was inflated just now.
            Event::Pong(_) | Event::Deflated(_) => {}
            Event::Close(reason) => {
                // The code comes back as it was given (RFC 6455, section 5.5.1); without one, without one.
                let mut out = Vec::new();
                match reason {
                    Some((code, _)) => ws::close_frame(code, "", &mut out),
                    None => ws::frame(ws::Opcode::Close, &[], &mut out),
                }
                self.hall.end_socket(links, id, out);
            }
        }
    }

    /// The peer broke the protocol: it is told how, and that was all.
    pub(super) fn fail_socket(&mut self, links: &mut Links, id: ConnId, offence: ws::Offence) {
        debug!("{id} breaks the protocol: {}", offence.reason());
        let mut out = Vec::new();
        ws::close_frame(offence.close_code(), offence.reason(), &mut out);
        self.hall.end_socket(links, id, out);
    }
}

impl Hall {
    /// Sends a close frame and ends the connection: the server is the one to close it (RFC 6455, 7.1.1).
    pub(super) fn end_socket(&mut self, links: &mut Links, id: ConnId, close: Vec<u8>) {
        links.send(id, close);
        self.detach(links, id);
        self.session(id).finish();
        links.close(id);
    }
}
