//! The memory budget: how much is held, and what gives way when it is too much.
//!
//! It knows what can be given up, not who charged it: that is in [`account`](crate::account).
//!
//! ```text
//!   0 ───────────────────────────────────────────── high (7/8) ──── full (15/16) ── budget
//!                                                     │                │
//!   1  history is given up, the oldest first, but for │                │
//!      a reserve (1/16) ◄─────────────────────────────┤                │
//!   2  the application gives up what it can miss ◄────┤                │
//!   3  clients without a connection are ended that    │                │
//!      hold most in subscriptions ◄───────────────────┤                │
//!   4  connections for which most is held are ended:  │                │
//!      readers that are behind, what is not whole,    │                │
//!      many subscriptions; the heaviest first ◄───────┤                │
//!   5  what is left of history ◄──────────────────────┘                │
//!   6  newcomers are answered 503, and what would grow is refused ◄────┘
//! ```
//!
//! Each step is taken when the one before it has nothing left to give. A reader that keeps up, or is merely
//! silent, holds next to nothing and is never ended for it. What many hold together weighs with each of them
//! what falls to it, so that a crowd which waits for the same bytes is not taken for as many culprits.
//!
//! Between two looks a connection can take one read and the answers to it; that, and what an allocator needs
//! beside what it gives, is by how much the program may be larger than its budget.

use log::{info, warn};

use super::Server;
use super::answer::Reply;
use super::client::ClientId;
use super::hall::Hall;
use super::refusal::Refusal;
use super::session::{Session, Stage};
use crate::account::{self, Part};
use crate::limits::{
    EVICTED_KEY_BYTES, MEMORY_ABSENT_MIN, MEMORY_FULL_SHARE, MEMORY_HEAVY_MIN, MEMORY_HIGH_SHARE,
    MEMORY_KEYS_SHARE, MEMORY_LOG_SHARE, MEMORY_RESERVE_SHARE, MEMORY_SEARCH_MS, MEMORY_STEP_SHARE,
    RETRY_MS_MAX,
};
use crate::reactor::{ConnId, Instant, Links, Why};
use crate::wire::ws;

/// What was given up since the start, and when to look for more.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// Bytes of history given up.
    pub(super) history_bytes: u64,
    /// Connections and clients ended.
    pub(super) ended: u64,
    /// Requests, messages and connections refused.
    pub(super) refused: u64,
    /// The next search for what to give up: at this instant, or when this much is held.
    search_at: Instant,
    search_held: usize,
    /// What the application held at the last look.
    pub(super) app_held: usize,
}

/// Bytes that all history may take of a budget.
pub(super) fn log_share(budget: usize) -> usize {
    budget / MEMORY_LOG_SHARE
}

/// Idempotency keys of evicted messages that a budget has room for.
pub(super) fn keys_share(budget: usize) -> usize {
    budget / MEMORY_KEYS_SHARE / EVICTED_KEY_BYTES
}

impl Hall {
    /// What is held, part by part: their names in the metrics, and bytes.
    pub(super) fn memory_parts(&self, links: &Links) -> [(&'static str, usize); 7] {
        let sessions = self.sessions.capacity() * size_of::<Session>();
        let tables = links.tables_held() + sessions + self.clients.held() + self.tables_held();
        [
            ("log", self.hub.held()),
            ("images", account::held(Part::Images)),
            ("channels", account::held(Part::Channels)),
            ("outboxes", account::held(Part::Outboxes)),
            ("sessions", account::held(Part::Sessions)),
            ("tables", tables),
            ("app", self.pressure.app_held),
        ]
    }

    /// Bytes held for peers.
    pub(super) fn memory(&self, links: &Links) -> usize {
        self.memory_parts(links).iter().map(|(_, bytes)| bytes).sum()
    }

    fn high(&self) -> usize {
        self.config.memory - self.config.memory / MEMORY_HIGH_SHARE
    }

    fn full(&self) -> usize {
        self.config.memory - self.config.memory / MEMORY_FULL_SHARE
    }

    /// Down to here ends are made, once they have to be.
    fn low(&self) -> usize {
        self.high() - self.step()
    }

    /// Whether there is no memory for anything new.
    pub(super) fn is_full(&self, links: &Links) -> bool {
        self.memory(links) > self.full()
    }

    fn must_relieve(&mut self, links: &Links) -> bool {
        let held = self.memory(links);
        self.hub.set_full(held > self.full());
        // The searches look at everything there is: not again before they may find something.
        let is_early = held < self.pressure.search_held && links.now() < self.pressure.search_at;
        held > self.high() && !is_early
    }

    /// What is held beyond what may be, and some more at once, so that a search is paid for by what may come
    /// before the next.
    fn excess(&self, links: &Links) -> usize {
        let excess = self.memory(links).saturating_sub(self.high());
        if excess == 0 { 0 } else { excess + self.step() }
    }

    /// Gives up history down to a reserve, or to nothing.
    fn give_up_history(&mut self, links: &Links, reserve: usize) {
        let before = self.hub.bytes();
        let enough = before.saturating_sub(self.excess(links));
        self.hub.shed(enough.max(reserve.min(before)));
        self.pressure.history_bytes += (before - self.hub.bytes()) as u64;
    }

    fn give_up_clients(&mut self, links: &mut Links) {
        if self.memory(links) > self.high() {
            self.end_absent_readers(links);
        }
        if self.memory(links) > self.high() {
            self.end_heavy(links);
        }
        self.give_up_history(links, 0);
        let (held, high) = (self.memory(links), self.high());
        self.hub.set_full(held > self.full());
        self.pressure.search_held = held.max(high) + self.step();
        self.pressure.search_at = links.now().after(MEMORY_SEARCH_MS);
        if held <= high {
            self.pressure.search_held = 0;
        }
    }

    /// Ends clients without a connection, those that hold most first. Each comes back as another one, with
    /// its cursor.
    fn end_absent_readers(&mut self, links: &Links) {
        let absent = self.clients.iter().filter(|(_, client)| client.is_absent());
        let weighed = absent.map(|(id, _)| (self.hub.weight(id.reader()), id));
        let mut absent = heaviest_last(weighed, MEMORY_ABSENT_MIN);
        while self.memory(links) > self.low()
            && let Some((_, client)) = absent.pop()
        {
            self.pressure.ended += 1;
            self.evict(client);
        }
    }

    /// Ends a client for what it holds, its channels included.
    fn evict(&mut self, client: ClientId) {
        if self.clients.remove(client).is_some() {
            self.hub.evict(client.reader());
            self.departed.push_back(client);
        }
    }

    /// What may be charged between two searches.
    pub(super) fn step(&self) -> usize {
        self.config.memory / MEMORY_STEP_SHARE
    }

    /// Ends connections for which much is held, the heaviest first, until enough is free or nobody holds
    /// anything worth it.
    fn end_heavy(&mut self, links: &mut Links) {
        let ended = self.pressure.ended;
        let weighed = links.iter_from(0).map(|id| (self.weight(links, id), id));
        let mut heavy = heaviest_last(weighed, MEMORY_HEAVY_MIN);
        while self.memory(links) > self.low()
            && let Some((_, id)) = heavy.pop()
        {
            self.end_for_memory(links, id);
        }
        let ended = self.pressure.ended - ended;
        if ended > 0 {
            info!("{ended} connections that held most were ended: the memory budget is nearly spent");
        }
    }

    /// What ending a connection would free.
    fn weight(&self, links: &Links, id: ConnId) -> usize {
        let Some(session) = self.sessions.get(id.slot()).filter(|_| links.is_open(id)) else {
            return links.weight(id);
        };
        links.weight(id) + session.held() + self.client_of(id).map_or(0, |id| self.hub.weight(id.reader()))
    }

    /// Ends a connection for the memory that it holds. Who is not behind with reading is told why.
    fn end_for_memory(&mut self, links: &mut Links, id: ConnId) {
        self.pressure.ended += 1;
        if !links.is_open(id) {
            // It is about to end, or was refused and never had a session.
            links.doom(id, Why::Aborted);
            return;
        }
        // What it subscribed to outlives the connection, unless its client goes too.
        let client = self.client_of(id).filter(|id| self.hub.weight(id.reader()) >= MEMORY_HEAVY_MIN);
        if links.queued(id) > 0 {
            self.drop_connection(links, id, Why::Aborted);
        } else if client.is_some() {
            self.bye(links, id, "no_memory");
        } else {
            self.refuse_for_memory(links, id);
        }
        client.into_iter().for_each(|client| self.evict(client));
    }

    /// Refuses what a connection is sending: there is no memory for it.
    pub(super) fn refuse_for_memory(&mut self, links: &mut Links, id: ConnId) {
        self.pressure.refused += 1;
        match self.session(id).stage() {
            Stage::Socket => {
                let mut out = Vec::new();
                ws::close_frame(ws::close::TRY_AGAIN_LATER, "no memory for this message", &mut out);
                self.end_socket(links, id, out);
            }
            Stage::Head | Stage::Body => self.answer(links, id, &Reply::default(), no_memory().to_response()),
            _ => self.drop_connection(links, id, Why::Aborted),
        }
    }

    /// Ends a connection that holds something that is not whole, while there is no memory left.
    pub(super) fn check_memory(&mut self, links: &mut Links, id: ConnId) {
        if links.is_open(id) && self.session(id).held() >= MEMORY_HEAVY_MIN && self.is_full(links) {
            warn!("{id} is refused: the memory budget is spent");
            self.refuse_for_memory(links, id);
        }
    }

    /// Refuses to have a client read more channels while there is no memory left.
    ///
    /// # Errors
    /// As [`Hall::admit_memory`].
    pub(super) fn admit_channel(
        &mut self,
        links: &Links,
        client: ClientId,
        name: &str,
    ) -> Result<(), Refusal> {
        let is_known = self.reader(client).is_some_and(|id| self.hub.position_in(id, name).is_some());
        if is_known { Ok(()) } else { self.admit_memory(links) }
    }

    /// Refuses anything new while there is no memory left.
    ///
    /// # Errors
    /// 503, with a time after which to try again.
    pub(super) fn admit_memory(&mut self, links: &Links) -> Result<(), Refusal> {
        if !self.is_full(links) {
            return Ok(());
        }
        self.pressure.refused += 1;
        Err(no_memory())
    }
}

impl Server {
    /// Gives way, if it has to: see the top of this file.
    pub(super) fn relieve(&mut self, links: &mut Links) {
        self.hall.pressure.app_held = self.app.held();
        if !self.hall.must_relieve(links) {
            return;
        }
        self.hall.give_up_history(links, self.hall.config.memory / MEMORY_RESERVE_SHARE);
        let excess = self.hall.excess(links);
        if excess > 0 {
            self.app.relieve(excess);
            self.hall.pressure.app_held = self.app.held();
        }
        self.hall.give_up_clients(links);
        self.tell_departures(links);
    }
}

/// Of those that were weighed the ones worth it, the heaviest at the end.
fn heaviest_last<T: Ord>(weighed: impl Iterator<Item = (usize, T)>, least: usize) -> Vec<(usize, T)> {
    let mut heavy: Vec<(usize, T)> = weighed.filter(|(weight, _)| *weight >= least).collect();
    heavy.sort_unstable();
    heavy
}

/// What was made to be sent, whoever holds it.
pub(super) fn made() -> usize {
    account::held(Part::Images) + account::held(Part::Outboxes)
}

fn no_memory() -> Refusal {
    Refusal::new(503, "no_memory", "The server has no memory left for this; try again later.")
        .with_retry(RETRY_MS_MAX)
}
