//! Manners: what a peer has to keep to beyond the protocol, and what becomes of one that does not.
//!
//! Here the acts are counted whose quotas `quota` keeps, a message that does not come to its end is given a
//! deadline, and a full table finds somebody who only sits there, or who has left. It knows no command and
//! no route.

use std::cmp::Reverse;

use log::debug;

use super::Server;
use super::client::ClientId;
use super::hall::Hall;
use super::peer::Peer;
use super::quota::Kind;
use super::refusal::Refusal;
use super::session::Stage;
use crate::limits::{HEAD_MS, IDLE_LOOKS_MAX, LOGIN_SHARE, MESSAGE_MS, MODEST_ADDRESS_MAX, SPARED_MS};
use crate::reactor::{ConnId, Instant, Links, Why};
use crate::wire::ws;
use crate::work;

impl Hall {
    /// Counts a connection as one of its address, until it ends. It may begin: that was asked.
    pub(super) fn count_connection(&mut self, links: &Links, id: ConnId, peer: Peer) {
        let is_counted = self.quotas.open_checked(peer, links.now().as_millis());
        self.session(id).set_counted(is_counted);
    }

    /// Whether the connection of a request may be kept for its answer: by a stream from now on, or by a poll
    /// that waits. Behind a proxy it counts as one of the address that the proxy names.
    pub(super) fn check_reader(
        &mut self,
        links: &Links,
        id: ConnId,
        peer: Peer,
        is_poll: bool,
    ) -> Result<(), Refusal> {
        let now = links.now().as_millis();
        match self.is_another(id, peer) {
            false => Ok(()),
            // Polls follow each other on one connection, and are no new ones.
            true if is_poll => self.quotas.check_number(peer, now),
            true => self.quotas.check_open(peer, now),
        }
    }

    /// A stream has begun: no other request will come, so the connection is this reader's now.
    pub(super) fn count_stream(&mut self, links: &Links, id: ConnId, peer: Peer) {
        let is_another = self.is_another(id, peer);
        self.session(id).set_peer(peer);
        if is_another {
            self.count_connection(links, id, peer);
        }
    }

    /// A poll waits: for whom its connection counts for so long, if it counts for nobody yet.
    pub(super) fn count_poll(&mut self, links: &Links, id: ConnId, peer: Peer) -> Option<Peer> {
        let is_counted = self.is_another(id, peer) && self.quotas.enter(peer, links.now().as_millis());
        is_counted.then_some(peer)
    }

    fn is_another(&mut self, id: ConnId, peer: Peer) -> bool {
        let own = self.session(id).peer();
        own != peer && own.quota_key() != peer.quota_key()
    }

    /// Adds to the debt of a connection's peer what was spent and caused since `owed` was read.
    pub(super) fn settle(&mut self, links: &mut Links, id: ConnId, owed: u64) {
        let work = work::owed().wrapping_sub(owed);
        let peer = self.session(id).peer();
        let is_heavy = self.quotas.owe(peer, work, links.now().as_millis());
        links.set_heavy(id, is_heavy);
        self.hub.set_urgent(true);
    }

    /// Whether a connection's peer owes so much work that the connection waits for all others. One that was
    /// told that there is no room has no session.
    pub(super) fn owes_much(&self, links: &Links, id: ConnId) -> bool {
        let session = self.sessions.get(id.slot()).filter(|_| links.is_open(id));
        session.is_some_and(|session| self.quotas.is_heavy(session.peer(), links.now().as_millis()))
    }

    /// Counts something that the caller does.
    pub(super) fn count(&mut self, links: &Links, kind: Kind) -> Result<(), Refusal> {
        self.caller.map_or(Ok(()), |caller| self.quotas.take(caller, kind, links.now().as_millis()))
    }

    /// Counts a channel that the caller opens, if it does. An inbox counts always: a refusal would tell
    /// whether there is something in it.
    pub(super) fn count_channel(&mut self, links: &Links, channel: &str) -> Result<(), Refusal> {
        if !channel.starts_with('@') && self.hub.find(channel).is_some() {
            Ok(())
        } else {
            self.count(links, Kind::Channel)
        }
    }

    /// Counts a message that the caller publishes.
    pub(super) fn count_publish(&mut self, links: &Links, channel: &str) -> Result<(), Refusal> {
        self.count(links, Kind::Publish)?;
        self.count_channel(links, channel)
    }

    /// A message has begun and is not whole. It has one deadline, however often a byte of it comes.
    pub(super) fn mark_message(&mut self, links: &mut Links, id: ConnId) {
        let now = links.now();
        if self.session(id).mark_message(now.as_millis()) == Some(now.as_millis()) {
            links.set_deadline(id, links.deadline(id).min(now.after(MESSAGE_MS)));
        }
    }

    /// When the message that a WebSocket has begun must be whole.
    pub(super) fn message_by(&mut self, links: &Links, id: ConnId) -> Instant {
        let begun = self.session(id).mark_message(links.now().as_millis());
        begun.map_or(Instant::NEVER, |begun| Instant::from_millis(begun).after(MESSAGE_MS))
    }

    /// Makes room in a full table for a newcomer: ends a connection that is between two requests, or has not
    /// come to its first (RFC 9112, section 9.5). Whether there was one.
    ///
    /// Of some, one of the address that has most goes, and of those the one that has been silent for longest:
    /// but none that fell silent just now, and for an address that has many none of one that has fewer.
    pub(super) fn end_idle(&mut self, links: &mut Links, newcomer: Peer) -> bool {
        let own = self.quotas.connections_of(newcomer);
        let mut found: Option<(u32, Reverse<(Instant, ConnId)>)> = None;
        let ids = links.iter_from(self.idle_hand).take(IDLE_LOOKS_MAX);
        for id in ids {
            self.idle_hand = id.slot() + 1;
            let Some(silent_since) = self.silent_since(links, id) else { continue };
            let peer = self.sessions[id.slot()].peer();
            let theirs = self.quotas.connections_of(peer);
            let is_fair =
                own < MODEST_ADDRESS_MAX || theirs > own || peer.quota_key() == newcomer.quota_key();
            if is_fair && links.now().since(silent_since) >= SPARED_MS {
                let candidate = (theirs, Reverse((silent_since, id)));
                found = Some(found.map_or(candidate, |found| found.max(candidate)));
            }
        }
        let Some((_, Reverse((_, id)))) = found else { return false };
        self.drop_connection(links, id, Why::Finished);
        true
    }

    /// Since when an idle connection has said nothing and waited for nothing.
    fn silent_since(&self, links: &Links, id: ConnId) -> Option<Instant> {
        // One that was refused has no session, and is not open.
        let session = self.sessions.get(id.slot()).filter(|_| links.is_open(id))?;
        if session.stage() != Stage::Idle || links.queued(id) > 0 {
            return None;
        }
        let patience_ms = if session.has_asked() { self.config.idle_ms } else { HEAD_MS };
        Some(Instant::from_millis(links.deadline(id).as_millis().saturating_sub(patience_ms)))
    }

    /// Makes room in a full table of clients: ends one that has no connection, of some the one that has had
    /// none for longest. Whether there was one.
    ///
    /// A poll without a sid makes a client that lives for its grace period, so one connection can fill the
    /// table as fast as it can ask. What it pushes out from then on is what it left there itself.
    pub(super) fn end_absent(&mut self) -> bool {
        let longest = self.clients.longest_absent(IDLE_LOOKS_MAX);
        if let Some(client) = longest {
            debug!("a client without a connection makes room for another");
            self.remove(client);
        }
        longest.is_some()
    }
}

impl Server {
    /// Counts the frame that an event tells of, and the fragments before it; who sends far too many is
    /// closed.
    pub(super) fn admit_frame(&mut self, links: &mut Links, id: ConnId) -> bool {
        let count = self.hall.session(id).take_fragments().saturating_add(1);
        self.admit_frames(links, id, count)
    }

    /// What came is no whole message, nor a whole head. Fragments are counted all the same, or a message that
    /// never ends would be a flood that nobody sees.
    pub(super) fn on_part(&mut self, links: &mut Links, id: ConnId) {
        let count = self.hall.session(id).take_fragments();
        if count == 0 || self.admit_frames(links, id, count) {
            self.hall.mark_message(links, id);
        }
    }

    fn admit_frames(&mut self, links: &mut Links, id: ConnId, count: u32) -> bool {
        let peer = self.hall.session(id).peer();
        self.hall.caller = Some(peer);
        if !self.hall.quotas.counts(peer) {
            return true;
        }
        let now = links.now().as_millis();
        let frames = self.hall.sessions[id.slot()].frames();
        if self.hall.quotas.frames(frames, count, now).is_ok() {
            return true;
        }
        debug!("{id} sends too many frames");
        let mut out = Vec::new();
        ws::close_frame(ws::close::POLICY, "too many frames, slow down", &mut out);
        self.hall.end_socket(links, id, out);
        false
    }

    /// Counts a command of a client, whichever way it came: a new connection is no new quota.
    /// Another name is told to all that the client reads, so a login costs the more of it the more there is.
    pub(super) fn admit_command(
        &mut self,
        links: &Links,
        client: ClientId,
        is_login: bool,
    ) -> Result<(), Refusal> {
        let hall = &mut self.hall;
        let reader = hall.reader(client).filter(|_| is_login);
        let told = reader.map_or(0, |reader| hall.hub.subscriptions(reader).count());
        let cost = 1 + told as u32 / LOGIN_SHARE;
        let counts = hall.caller.is_some_and(|caller| hall.quotas.counts(caller));
        match hall.clients.get_mut(client).filter(|_| counts) {
            Some(client) => hall.quotas.command(&mut client.commands, cost, links.now().as_millis()),
            None => Ok(()),
        }
    }
}
