//! `/probe`: an answer in three parts, each a moment after the one before.
//!
//! A page that sees the first part well before the last knows that nothing between it and the server holds
//! streams back; a page that sees all of them at once goes on to polling without waiting in vain for a
//! stream's first event. Two parts would not do: something that holds back the bytes which came together with
//! the head until others follow, and these alone, brings the first two together, and streams pass it all the
//! same. `pad` puts padding in front, as on the streams, for what lets go once it holds enough. It is
//! framed as they are, too: its end is the end of the connection.
//!
//! Nobody is behind it: no client is made, nothing is read. Read first: RFC 9112, section 6.3.

use super::answer::Reply;
use super::app::Request;
use super::hall::Hall;
use super::params::Params;
use super::refusal::Refusal;
use crate::limits::PROBE_MS;
use crate::reactor::{ConnId, Links};
use crate::wire::ndjson;
use crate::wire::response::Response;

/// The parts, a line each.
const PARTS: [&[u8]; 3] = [b"1\n", b"2\n", b"3\n"];

impl Hall {
    /// Sends the first part; the session's deadlines bring the others.
    pub(super) fn begin_probe(
        &mut self,
        links: &mut Links,
        id: ConnId,
        reply: &Reply,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        let params = Params::parse(&request.target, request.head, self.config.heartbeat_s)?;
        let mut first = Vec::new();
        if params.pad > 0 {
            ndjson::padding(&mut first, params.pad);
        }
        first.extend_from_slice(PARTS[0]);
        let response = Response::text(200, first)
            .with_header("Cache-Control", "no-store, no-transform")
            .with_header("X-Accel-Buffering", "no");
        if reply.head_only {
            self.answer_head(links, id, reply, response);
            return Ok(());
        }
        let mut out = Vec::new();
        self.emit_stream(reply, response, &mut out);
        links.send(id, out);
        self.session(id).stream(PARTS.len() as u8 - 1);
        links.set_deadline(id, links.now().after(PROBE_MS));
        Ok(())
    }

    /// Sends the next part, of as many as were to follow, and the end behind the last one.
    pub(super) fn continue_probe(&mut self, links: &mut Links, id: ConnId, parts: u8) {
        let next = PARTS.len() - usize::from(parts);
        links.send(id, PARTS[next]);
        if parts > 1 {
            links.set_deadline(id, links.now().after(PROBE_MS));
            return;
        }
        self.session(id).finish();
        links.close(id);
    }
}
