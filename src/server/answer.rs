//! Answers: from a response to bytes on their way, and what may follow them on the connection.
//!
//! It knows how a request wants its answer framed, and nothing of what was asked.

use super::hall::Hall;
use super::origin;
use super::session::Stage;
use crate::limits::BODY_COPIED_BYTES_MAX;
use crate::reactor::{ConnId, Links};
use crate::wire::http::Version;
use crate::wire::response::{Emit, Length, Response};
use crate::work;

/// How an answer must be framed to suit the request it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The connection goes on after the answer.
    pub keep_alive: bool,
    /// The request was a HEAD: everything but the content.
    pub head_only: bool,
    /// The request was HTTP/1.0.
    pub http10: bool,
    /// The origin whose page may read the answer, for CORS.
    pub origin: Option<String>,
}

impl Reply {
    /// As nearly every request wants it.
    pub const PLAIN: Reply = Reply { keep_alive: true, head_only: false, http10: false, origin: None };
}

impl Hall {
    /// Answers the request that the session is at. The session goes on to the next one, or to its end.
    pub(super) fn answer(&mut self, links: &mut Links, id: ConnId, reply: &Reply, response: Response) {
        let keep_alive = self.goes_on(links, id, reply);
        // What is made to be sent counts as what was read does: others have their turn, and what was made
        // goes out, before more is made.
        work::spend(response.body().len() as u64);
        let mut out = Vec::with_capacity(256 + response.body().len().min(BODY_COPIED_BYTES_MAX));
        let (response, emit) = self.framed(reply, keep_alive, Length::Known, response);
        let body = response.emit_apart(&emit, &mut out);
        links.send(id, out);
        if let Some(body) = body {
            links.send(id, body);
        }
        if self.session(id).stage() == Stage::Answering {
            self.session(id).answered(keep_alive);
        }
        self.go_on(links, id, keep_alive);
    }

    /// Answers a HEAD with the fields of something whose length nobody knows yet: a stream, a poll.
    pub(super) fn answer_head(&mut self, links: &mut Links, id: ConnId, reply: &Reply, response: Response) {
        let keep_alive = self.goes_on(links, id, reply);
        let mut out = Vec::new();
        let (response, emit) = self.framed(reply, keep_alive, Length::Close, response);
        response.emit(&emit, &mut out);
        links.send(id, out);
        self.session(id).answered(keep_alive);
        self.go_on(links, id, keep_alive);
    }

    /// Whether another request may follow the answer. Who has shut his side sends none, and waits for the end
    /// of the last answer.
    pub(super) fn goes_on(&self, links: &Links, id: ConnId, reply: &Reply) -> bool {
        reply.keep_alive && !links.is_half_closed(id) && !links.is_stopping()
    }

    /// What comes after an answer: the next request, or the end.
    pub(super) fn go_on(&mut self, links: &mut Links, id: ConnId, keep_alive: bool) {
        if keep_alive {
            links.set_deadline(id, links.now().after(self.config.idle_ms));
        } else {
            self.session(id).finish();
            links.close(id);
        }
    }

    /// A plain answer, after which others may follow.
    pub(super) fn emit_plain(&self, response: Response, out: &mut Vec<u8>) {
        let (response, emit) = self.framed(&Reply::PLAIN, true, Length::Known, response);
        response.emit(&emit, out);
    }

    /// The head of a stream, and what its body begins with.
    pub(super) fn emit_stream(&self, reply: &Reply, response: Response, out: &mut Vec<u8>) {
        let (response, emit) = self.framed(reply, false, Length::Close, response);
        response.emit(&emit, out);
    }

    /// A response with the fields that every one has, and how it is framed.
    fn framed(
        &self,
        reply: &Reply,
        keep_alive: bool,
        length: Length,
        mut response: Response,
    ) -> (Response, Emit<'_>) {
        if !self.config.origins.is_empty() {
            response = response.with_vary("Origin");
        }
        if let Some(origin) = &reply.origin {
            response = response
                .with_header("Access-Control-Allow-Origin", origin.clone())
                .with_header("Access-Control-Expose-Headers", "Retry-After");
            if origin::is_named(origin, &self.config.origins) {
                response = response.with_header("Access-Control-Allow-Credentials", "true");
            }
        }
        let emit = Emit {
            date: &self.date.1,
            version: if reply.http10 { Version::Http10 } else { Version::Http11 },
            keep_alive,
            head_only: reply.head_only,
            length,
        };
        (response, emit)
    }
}
