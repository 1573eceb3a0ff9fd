//! Down: from the log to the connections.
//!
//! It knows who is due (the hub says) and what the bytes are (the transport says), and brings them together.
//! Nothing is kept here for a reader: one that can't be served now asks for a call when its socket has
//! drained, and until then it is a position in the log.
//!
//! ```text
//!   hub.next_due() ──► is it a poll? ── yes ──► one answer for all at the same place but for the sid (polls)
//!                            │ no
//!                      is its socket free? ── no ──► want_drain, later on_drain ──► pump
//!                            │ yes
//!                            ▼
//!          at the same place as others? ── yes ──► one joined image for all of them (Runs)
//!                            │ no
//!                            ▼
//!                hub.take() ──► the image of each message, or a gap
//! ```

use super::client::ClientId;
use super::hall::Hall;
use super::object::Object;
use super::polls::Answer;
use super::session::Stage;
use super::transport::Transport;
use crate::account::Image;
use crate::defect::Defect;
use crate::hub::{ChannelId, Due, Item};
use crate::limits::{HIGH_WATER_BYTES, STALL_MS, TAKEN_COST};
use crate::reactor::{ConnId, Links, Why};
use crate::wire::{script, sse, ws};
use crate::work;

/// Runs looked through for one that is made already: those of a few channels on all transports.
const RUNS_SEARCHED: usize = 32;

/// What was made once for all readers that stand at the same place: images of several messages joined, and
/// the newest answer to polls. It lives for one turn: what a socket has not taken by then is held by its
/// outbox.
#[derive(Debug, Default)]
pub(super) struct Runs {
    made: Vec<Run>,
    answer: Option<Answer>,
}

#[derive(Debug)]
struct Run {
    channel: ChannelId,
    from: u64,
    to: u64,
    transport: Transport,
    image: Image,
}

impl Runs {
    pub(super) fn clear(&mut self) {
        self.made.clear();
        self.answer = None;
    }

    /// What is no longer looked for is not held either.
    fn keep(&mut self, run: Run) {
        if self.made.len() >= 2 * RUNS_SEARCHED {
            self.made.drain(..RUNS_SEARCHED);
        }
        self.made.push(run);
    }

    /// Takes the answer to polls that are to be told that run.
    pub(super) fn take_answer(&mut self, run: (u64, u64)) -> Option<Answer> {
        self.answer.take().filter(|answer| answer.run == run)
    }

    /// Keeps an answer for the polls that come next.
    pub(super) fn keep_answer(&mut self, answer: Answer) {
        self.answer = Some(answer);
    }

    /// Shows the images that it holds.
    pub(super) fn each_image(&self, show: &mut dyn FnMut(&Image)) {
        self.made.iter().map(|run| &run.image).for_each(&mut *show);
        self.answer.iter().for_each(|answer| show(answer.image()));
    }

    fn find(&self, channel: ChannelId, (from, to): (u64, u64), transport: Transport) -> Option<Image> {
        let same = |run: &&Run| {
            let is_here = run.from == from || Defect::Order.is_on();
            run.channel == channel && is_here && run.to == to && run.transport == transport
        };
        // Readers come in slices of their channel, so it is among the newest, or made again.
        self.made.iter().rev().take(RUNS_SEARCHED).find(same).map(|run| run.image.clone())
    }
}

impl Hall {
    /// Serves one reader of what was published.
    pub(super) fn serve(&mut self, links: &mut Links, due: Due) {
        let Some((client, held)) = self.clients.at(due.reader.slot()) else { return };
        // A client without a connection takes what it missed when it comes back.
        let (Some(id), transport) = (held.conn(), held.transport) else { return };
        if transport.is_poll() {
            if !self.answer_alike(links, id, due) {
                self.answer_poll(links, id);
            }
            return;
        }
        let Some(offer) = links.offer(id, HIGH_WATER_BYTES) else {
            links.want_drain(id);
            return;
        };
        match due.run {
            Some(run) if self.hub.advance(due.reader, due.channel, run.0, run.1) => {
                offer.send(self.run_image(due.channel, run, transport));
                if self.hub.is_behind(due.reader) {
                    links.want_drain(id);
                }
            }
            _ => self.pump(links, client),
        }
    }

    fn run_image(&mut self, channel: ChannelId, run: (u64, u64), transport: Transport) -> Image {
        if let Some(image) = self.runs.find(channel, run, transport) {
            return image;
        }
        let (hub, deflater) = (&self.hub, &mut self.deflater);
        let messages = hub.messages(channel, run.0, run.1);
        let mut images = messages.map(|message| transport.image(message, deflater));
        let first = images.next().unwrap_or_default();
        let image = match images.next() {
            None => first,
            Some(second) => {
                let mut joined = [&first[..], &second[..]].concat();
                images.for_each(|image| joined.extend_from_slice(&image));
                Image::from(joined)
            }
        };
        self.runs.keep(Run { channel, from: run.0, to: run.1, transport, image: image.clone() });
        image
    }

    /// Gives a streaming client what comes next for it, up to the high-water mark. If there is more, it asks
    /// to be called when that is out.
    pub(super) fn pump(&mut self, links: &mut Links, client: ClientId) {
        let Some((id, transport)) = self.clients.line(client) else { return };
        let Some(reader) = self.reader(client) else { return };
        if transport.is_poll() {
            return;
        }
        if links.queued(id) > HIGH_WATER_BYTES || !links.is_open(id) {
            links.want_drain(id);
            return;
        }
        // Those who fell behind together catch up together, and what they are told is made and held once.
        if let Some((channel, run)) = self.hub.next_run(reader)
            && self.hub.advance(reader, channel, run.0, run.1)
        {
            links.send(id, self.run_image(channel, run, transport));
            if self.hub.is_behind(reader) {
                links.want_drain(id);
            }
            return;
        }
        let mut items = std::mem::take(&mut self.items);
        let more = self.hub.take(reader, HIGH_WATER_BYTES, &mut items);
        for item in items.drain(..) {
            work::spend(TAKEN_COST);
            match item {
                Item::Message(message) => links.send(id, transport.image(&message, &mut self.deflater)),
                Item::Gap { channel, seq } => {
                    let cursor = self.cursor(seq);
                    let gap = self.gap(channel, "evicted", &cursor);
                    links.send(id, transport.event(Some(&cursor), gap.as_bytes()));
                }
            }
        }
        self.items = items;
        if more {
            links.want_drain(id);
        }
    }

    pub(super) fn gap(&self, channel: ChannelId, why: &str, cursor: &str) -> Object {
        let name = self.hub.channel(channel).map_or("", |channel| channel.name);
        Object::event("gap").string("ch", name).string("why", why).string("cursor", cursor)
    }

    /// The heartbeat of a stream is due. It also finds out who is gone without a word: a socket that has not
    /// moved for long is given up.
    pub(super) fn heartbeat(&mut self, links: &mut Links, id: ConnId) {
        let parts = self.session(id).take_part();
        if self.session(id).client().is_none() {
            // A stream that nobody reads is a probe.
            self.continue_probe(links, id, parts);
            return;
        }
        let Some(client) = self.client_of(id).and_then(|client| self.clients.get(client)) else {
            // The application has sent the client away.
            links.close(id);
            return;
        };
        let (transport, heartbeat_s) = (client.transport, client.heartbeat_s);
        if links.stuck_ms(id) > STALL_MS {
            self.drop_connection(links, id, Why::TimedOut);
            return;
        }
        let message_by = self.message_by(links, id);
        if message_by <= links.now() {
            let mut out = Vec::new();
            ws::close_frame(ws::close::POLICY, "the message took too long to arrive", &mut out);
            self.end_socket(links, id, out);
            return;
        }
        // One that has not taken the last bytes needs no more of them to be found out.
        if links.queued(id) == 0 {
            links.send(id, beat(transport, links.wall()));
        }
        links.set_deadline(id, links.now().after(u64::from(heartbeat_s) * 1000).min(message_by));
    }

    /// Sends a blank line on a stream over HTTP that has begun a moment ago. Some proxies (Varnish) hold back
    /// the bytes that came together with the head of a response until more come, and pass on at once whatever
    /// comes later: without this the welcome would arrive with the first heartbeat.
    pub(super) fn follow_up(&mut self, links: &mut Links, client: ClientId) {
        let Some((id, transport)) = self.clients.line(client) else { return };
        // A heartbeat that is due does the same.
        let is_due = links.deadline(id) <= links.now();
        if self.session(id).stage() == Stage::Streaming && links.queued(id) == 0 && !is_due {
            links.send(id, transport.blank());
        }
    }

    /// Says goodbye on whatever the connection is, and closes it.
    pub(super) fn bye(&mut self, links: &mut Links, id: ConnId, why: &str) {
        let retry = self.retry_ms();
        let bye = Object::event("bye").string("why", why).number("retry", retry);
        match self.session(id).stage() {
            // An answer like any other: the connection goes on, unless the server ends.
            Stage::Held => return self.end_poll(links, id, Some(&bye)),
            Stage::Streaming | Stage::Socket => self.bye_stream(links, id, why, retry, &bye),
            _ => {}
        }
        self.session(id).finish();
        self.detach(links, id);
        links.close(id);
    }

    fn bye_stream(&mut self, links: &mut Links, id: ConnId, why: &str, retry: u64, bye: &Object) {
        let Some((_, transport)) = self.client_of(id).and_then(|client| self.clients.line(client)) else {
            return;
        };
        let mut out = Vec::new();
        if transport == Transport::Sse {
            sse::retry(&mut out, retry as u32);
        }
        if !transport.is_raw() {
            out.extend_from_slice(&transport.event(None, bye.as_bytes()));
        }
        match transport {
            Transport::WebSocket(_) | Transport::Raw(_) => {
                let code = if why == "shutdown" { ws::close::RESTART } else { ws::close::GOING_AWAY };
                ws::close_frame(code, why, &mut out);
            }
            Transport::Iframe => script::end(&mut out),
            Transport::Sse | Transport::Stream | Transport::Poll | Transport::Jsonp => {}
        }
        links.send(id, out);
    }
}

/// What a stream is sent from time to time: an event that pages see; on a socket of the application's own,
/// which speaks no language of ours, a ping (RFC 6455, section 5.5.2).
fn beat(transport: Transport, wall: u64) -> Vec<u8> {
    if transport.is_raw() {
        let mut out = Vec::new();
        ws::frame(ws::Opcode::Ping, &[], &mut out);
        return out;
    }
    let event = Object::event("heartbeat").number("at", wall);
    transport.event(None, event.as_bytes())
}
