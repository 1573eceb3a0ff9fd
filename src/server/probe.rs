//! `/probe`: an answer in two parts, a moment apart.
//!
//! A page that sees the first part well before the second knows that nothing between it and the server holds
//! streams back; a page that sees both at once goes on to polling without waiting in vain for a stream's
//! first event. `pad` puts padding in front, as on the streams, for what lets go once it holds enough. It is
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

/// The two parts, a line each.
const FIRST: &[u8] = b"1\n";
const SECOND: &[u8] = b"2\n";

impl Hall {
    /// Sends the first part; the session's deadline brings the second.
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
        first.extend_from_slice(FIRST);
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
        self.session(id).stream();
        links.set_deadline(id, links.now().after(PROBE_MS));
        Ok(())
    }

    /// Sends the second part, and the end.
    pub(super) fn end_probe(&mut self, links: &mut Links, id: ConnId) {
        links.send(id, SECOND);
        self.session(id).finish();
        links.close(id);
    }
}
