//! Requests: from a whole head to an answer.
//!
//! It knows what may be asked and who may ask; what is done about it is in `reading`, `writing`, `backend`
//! and the application. Read first: RFC 9110, sections 9, 10.1.1 and 15.
//!
//! ```text
//!   head ──► parsed, framed ──► no body ──────────────────► judged ──► carried out ──► answer
//!                 │               └─ body ──► decoded ────────▲                          ▲
//!                 └─ Expect: 100-continue ──► judged ── refused ─────────────────────────┘
//! ```

use log::debug;

use super::Server;
use super::answer::Reply;
use super::app::{Ctx, Request};
use super::hosts;
use super::origin::{self, Verdict};
use super::quota::Kind;
use super::refusal::Refusal;
use super::routes::Route;
use super::session::Stage;
use super::transport::Transport;
use crate::limits::{BODY_MS, REQUEST_COST};
use crate::reactor::{ConnId, Links};
use crate::wire::body::Decoder;
use crate::wire::http::{Framing, Head, Offence, Scanned, Version};
use crate::wire::response::{CONTINUE, Response};
use crate::work;

impl Server {
    /// A request head is whole. What can be refused by it alone is refused before the body is asked for.
    pub(super) fn on_head(&mut self, links: &mut Links, id: ConnId, scanned: Scanned<'_>, is_last: bool) {
        let head = match Head::parse_scanned(&scanned) {
            Ok(head) => head,
            Err(offence) => return self.refuse(links, id, offence),
        };
        let asked = head.framing().and_then(|framing| Ok((framing, head.expects_continue()?)));
        let (framing, expects) = match asked {
            Ok(asked) => asked,
            Err(offence) => return self.refuse(links, id, offence),
        };
        if matches!(framing, Framing::None | Framing::Length(0)) {
            return self.on_request(links, id, &head, &[]);
        }
        match Decoder::new(framing, self.hall.config.message_bytes as u64) {
            Err(offence) => self.refuse(links, id, offence),
            Ok(decoder) => {
                // Who has sent the body already does not wait for leave (RFC 9110, section 10.1.1).
                if expects && is_last {
                    let verdict = origin::judge(&head, &self.hall.config.origins);
                    let request = self.request(id, &head, &[]);
                    let length = if let Framing::Length(length) = framing { length } else { 0 };
                    let judged = self.judge(&verdict, &request);
                    let fits = judged.and_then(|route| self.check_length(&route, &request, length));
                    if let Err(refusal) = fits {
                        // The body may come all the same, so nothing can follow on this connection.
                        let reply = Reply { keep_alive: false, ..reply_to(&head, &verdict) };
                        return self.hall.answer(links, id, &reply, refusal.to_response());
                    }
                    links.send(id, CONTINUE);
                }
                self.hall.session(id).expect_body(scanned.into_owned(), decoder);
                links.set_deadline(id, links.now().after(BODY_MS));
            }
        }
    }

    /// A request that has no second interpretation, or none at all: it is refused, and so is all after it.
    pub(super) fn refuse(&mut self, links: &mut Links, id: ConnId, offence: Offence) {
        debug!("{id} is refused: {}", offence.code());
        if self.hall.session(id).stage() == Stage::Done {
            return;
        }
        self.hall.answer(links, id, &Reply::default(), Response::from(offence));
    }

    /// A request is whole.
    pub(super) fn on_request(&mut self, links: &mut Links, id: ConnId, head: &Head<'_>, body: &[u8]) {
        work::spend(REQUEST_COST);
        let verdict = origin::judge(head, &self.hall.config.origins);
        let reply = reply_to(head, &verdict);
        let request = self.request(id, head, body);
        let judged = self.count_request(links, &request).and_then(|()| self.judge(&verdict, &request));
        let answered = match judged {
            Ok(route) => self.carry_out(links, id, &reply, &verdict, &route, &request),
            Err(refusal) => Err(refusal),
        };
        match answered {
            Ok(Some(response)) => self.hall.answer(links, id, &reply, response),
            Ok(None) => {}
            Err(refusal) => self.hall.answer(links, id, &reply, refusal.to_response()),
        }
    }

    /// Counts a request to its address, and a wrong key. Who shows the right one is not counted, whatever
    /// others of its address have tried: or anybody there could keep a back end out.
    fn count_request(&mut self, links: &Links, request: &Request<'_>) -> Result<(), Refusal> {
        let shown = self.hall.shown_key(request);
        self.hall.caller = (shown != Some(true)).then_some(request.peer);
        if shown == Some(false) {
            self.hall.count(links, Kind::Failure)?;
        }
        self.hall.count(links, Kind::Request)
    }

    fn request<'a>(&mut self, id: ConnId, head: &'a Head<'a>, body: &'a [u8]) -> Request<'a> {
        let peer = self.hall.session(id).peer().of_request(head, &self.hall.config.trusted_proxies);
        self.hall.mark_proxy(head, peer.is_proxied());
        Request::of(head, body, peer)
    }

    /// The route of a request, unless its head alone is reason enough to refuse it.
    fn judge(&self, verdict: &Verdict, request: &Request<'_>) -> Result<Route, Refusal> {
        let config = &self.hall.config;
        let route = if config.comet { Route::of(&request.target)? } else { Route::App };
        // Whoever watches over servers asks each by an address or by a name of their own.
        if !matches!(route, Route::Health | Route::Server) {
            hosts::admit(config.hosts.as_deref(), request.head.authority())?;
        }
        // An application that has all paths to itself may know methods of its own.
        if config.comet {
            route.admit(request.method()).map_err(|refusal| allow(refusal, &route))?;
        }
        if matches!(route, Route::App) {
            // A page that anyone may link to is not the same as a form that anyone may send.
            let is_safe = matches!(request.method(), "GET" | "HEAD" | "OPTIONS");
            origin::admit(verdict, is_safe && !self.is_own_socket(request))?;
            return Ok(route);
        }
        // A script element of another site is what JSONP is for. It sends no Origin, only that it is foreign.
        let is_script = request.head.header("origin").is_none();
        let is_jsonp = matches!(route, Route::Read(Transport::Jsonp)) && config.jsonp && is_script;
        origin::admit(verdict, is_jsonp || matches!(route, Route::Health))?;
        if request.method() != "OPTIONS" {
            check_body(&route, request)?;
            if let Some(right) = route.right(request.method()) {
                self.hall.permit(right, request)?;
            }
        }
        Ok(route)
    }

    /// Refuses a body that is certain to be refused once it is here, before it is asked for.
    fn check_length(&mut self, route: &Route, request: &Request<'_>, length: u64) -> Result<(), Refusal> {
        match route {
            Route::Publish(_) => self.hall.check_published_length(request, length),
            Route::App => self.app.check_length(request, length),
            _ => Ok(()),
        }
    }

    /// Does what a request asks. `None`: it is answered already, or will be.
    fn carry_out(
        &mut self,
        links: &mut Links,
        id: ConnId,
        reply: &Reply,
        verdict: &Verdict,
        route: &Route,
        request: &Request<'_>,
    ) -> Result<Option<Response>, Refusal> {
        match route {
            Route::App if self.is_own_socket(request) => self.open_socket(links, id, request).map(|()| None),
            // What a page of an allowed origin may send is known here, and not only where it is sent to.
            Route::App if matches!(verdict, Verdict::Allowed(_)) && origin::is_preflight(request) => {
                origin::preflight(verdict, route, request).map(Some)
            }
            Route::App => {
                let mut ctx = Ctx { hall: &mut self.hall, links };
                Ok(Some(self.app.on_request(&mut ctx, request)))
            }
            _ if request.method() == "OPTIONS" => origin::preflight(verdict, route, request).map(Some),
            Route::Read(transport) => self.read(links, id, reply, *transport, request).map(|()| None),
            Route::Probe => self.hall.begin_probe(links, id, reply, request).map(|()| None),
            Route::Send => self.send(links, request).map(Some),
            _ if route.right(request.method()).is_some() => {
                self.hall.back_end(links, &mut *self.app, route, request).map(Some)
            }
            _ => Ok(Some(Response::text(200, "ok\n"))),
        }
    }

    /// Whether the request wants a WebSocket of the application's own.
    fn is_own_socket(&self, request: &Request<'_>) -> bool {
        !self.hall.config.comet && request.head.has_token("upgrade", "websocket")
    }
}

/// A 405 owes the list of what is allowed (RFC 9110, section 15.5.6).
fn allow(refusal: Refusal, route: &Route) -> Refusal {
    if refusal.status == 405 { refusal.with_field("Allow", route.methods()) } else { refusal }
}

fn reply_to(head: &Head<'_>, verdict: &Verdict) -> Reply {
    Reply {
        keep_alive: head.keep_alive(),
        head_only: head.method == "HEAD",
        http10: head.version == Version::Http10,
        origin: match verdict {
            Verdict::Allowed(origin) => Some(origin.clone()),
            Verdict::Own | Verdict::Foreign => None,
        },
    }
}

/// A body that can't be read here, or a post without one.
fn check_body(route: &Route, request: &Request<'_>) -> Result<(), Refusal> {
    if !matches!(route, Route::Send | Route::Publish(_) | Route::PublishMany) {
        return Ok(());
    }
    if matches!(request.head.framing(), Ok(Framing::None)) {
        let sentence = "Say how long the body is: Content-Length, or Transfer-Encoding: chunked.";
        return Err(Refusal::new(411, "length_required", sentence));
    }
    let coding = request.header("content-encoding").unwrap_or("identity");
    if !coding.eq_ignore_ascii_case("identity") {
        let refusal =
            Refusal::new(415, "content_encoding", "Send the body as it is, without Content-Encoding.");
        return Err(refusal.with_field("Accept-Encoding", "identity"));
    }
    let is_form = request.header("content-type").is_some_and(|kind| kind.starts_with("multipart/"));
    if is_form {
        return Err(Refusal::new(
            415,
            "content_type",
            "Send the data itself as the body, not a form around it.",
        ));
    }
    Ok(())
}
