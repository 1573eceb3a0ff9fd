//! What the reactor asks of a protocol.
//!
//! It is all that the reactor knows of the floors above: what happens to a connection, timers, where a turn
//! begins, where what was published is handed out, and the end of the program.

use std::net::SocketAddr;

use super::id::ConnId;
use super::link::{Links, Why};

/// A protocol: what happens when bytes come. The reactor calls it, never the other way round.
///
/// For one connection the calls are: `on_open`, then any of the others, then `on_close`, each of the two
/// exactly once and nothing after.
pub trait Handler {
    /// A connection was accepted.
    fn on_open(&mut self, links: &mut Links, id: ConnId, peer: SocketAddr);

    /// Bytes came. They are gone after the call: the buffer is everyone's, so that an idle connection owns
    /// none. Who needs them longer keeps a copy, and who can't take more calls [`Links::pause`].
    fn on_read(&mut self, links: &mut Links, id: ConnId, bytes: &[u8]);

    /// The peer has shut its side. It may still be reading.
    fn on_eof(&mut self, links: &mut Links, id: ConnId);

    /// Nothing waits any more on a connection for which [`Links::want_drain`] was called.
    fn on_drain(&mut self, links: &mut Links, id: ConnId);

    /// The connection's deadline has come. It is unset now.
    fn on_deadline(&mut self, links: &mut Links, id: ConnId);

    /// A timer set with [`Links::set_timer`] has come.
    fn on_timer(&mut self, links: &mut Links, key: u64);

    /// The connection has ended; the last call for it.
    fn on_close(&mut self, links: &mut Links, id: ConnId, why: Why);

    /// The flush phase: serve up to about `budget` readers of what was published. Called until
    /// [`Handler::has_work`] is false or the turn's budget is spent.
    fn on_fan_out(&mut self, links: &mut Links, budget: usize);

    /// A new turn has begun: the clock was read.
    fn on_turn(&mut self, links: &mut Links);

    /// The program ends: say goodbye on every connection and close it.
    fn on_stop(&mut self, links: &mut Links);

    /// Whether [`Handler::on_fan_out`] has something left to do.
    fn has_work(&self) -> bool;

    /// Whether a connection waits for all others with what it asks and is told: its peer has asked for much
    /// lately.
    fn is_heavy(&mut self, _links: &Links, _id: ConnId) -> bool {
        false
    }

    /// Connections that may be open at a time. More are told [`Handler::refusal`].
    fn links_max(&self) -> usize;

    /// What a connection is told for which there is no room.
    fn refusal(&self) -> &'static [u8];

    /// Whether a connection that was accepted may begin, while `open` others are open: if not, what it is
    /// told. It may make room by ending another one.
    fn admit(&mut self, _links: &mut Links, _peer: SocketAddr, open: usize) -> Option<&'static [u8]> {
        (open >= self.links_max()).then(|| self.refusal())
    }
}
