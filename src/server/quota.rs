//! Quotas: how much one address and one connection may do in a time, and who is spared.
//!
//! It knows no request and no frame, only that something of a kind happens now, and says whether it may.
//! Read first: ITU-T I.371, the generic cell rate algorithm, of which a bucket is one: it keeps the tick at
//! which it will be full again and nothing else, in four bytes.
//!
//! ```text
//!   hash(secret, address) ──► set ──► [ address, open connections, a bucket for each kind ] × 8
//!                                       full? an address without connections makes room, the one whose
//!                                       buckets are nearest to full; else one entry serves all the others
//! ```
//!
//! The table never grows beyond `ADDRESSES_MAX`, finding an address costs the same whatever is in it, and
//! nothing has to be swept: an address that has been silent for long is one with full buckets. Whoever makes
//! up addresses (a /64 of IPv6 counts as one) can't choose the set, and pushes out those who did least first.
//!
//! Beside the buckets stands a *debt*: the work that an address has asked for, which is forgiven at a steady
//! rate. An address that owes much is refused nothing; its connections wait for those of all others.
//!
//! Programs on this machine and trusted proxies are not counted, and neither is who shows the publish key:
//! a load test and a back end's burst are no attack.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::peer::{Network, Peer};
use super::refusal::Refusal;
use crate::account::ALLOCATION_BYTES;
use crate::limits::{
    ADDRESSES_MAX, CHANNELS_RATE, CLIENTS_RATE, COMMANDS_RATE, CONNECTIONS_RATE, DEBT_KEPT_MAX, DEBT_MAX,
    FAILURES_RATE, FORGIVEN_PER_MS, FRAMES_RATE, PER_ADDRESS_MIN, PER_ADDRESS_SHARE, PUBLISHES_RATE,
    REQUESTS_RATE, Rate, STRICT_SHARE,
};

/// Addresses in one set: as many as a look-up compares.
const WAYS: usize = 8;

/// Ticks of a bucket's clock in a millisecond. It wraps after three days, which is longer than any bucket
/// takes to fill.
const TICKS_PER_MS: u64 = 16;

/// Which quotas apply, and to whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limits {
    /// None.
    Off,
    /// Those of `limits`, to everybody but this machine's own programs.
    #[default]
    Normal,
    /// A quarter of them, to everybody.
    Strict,
}

/// What is counted by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A new connection.
    Connection,
    /// A request.
    Request,
    /// A message published.
    Publish,
    /// A new client.
    Client,
    /// A channel that was not there.
    Channel,
    /// A key or a secret that was wrong.
    Failure,
}

const KINDS: usize = 6;

impl Kind {
    fn rate(self) -> Rate {
        match self {
            Kind::Connection => CONNECTIONS_RATE,
            Kind::Request => REQUESTS_RATE,
            Kind::Publish => PUBLISHES_RATE,
            Kind::Client => CLIENTS_RATE,
            Kind::Channel => CHANNELS_RATE,
            Kind::Failure => FAILURES_RATE,
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Kind::Connection => "Too many connections from this address; wait a little.",
            Kind::Request => "Too many requests from this address; wait a little.",
            Kind::Publish => "Too many messages from this address; wait a little.",
            Kind::Client => "Too many new clients from this address; continue with the sid that you have.",
            Kind::Channel => "Too many new channels from this address; wait a little.",
            Kind::Failure => "Too many wrong keys or secrets from this address; wait before you try again.",
        }
    }
}

/// A token bucket: the tick at which it is full again, 0 before it was first used. What is not within one
/// filling ahead is in the past.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket(u32);

impl Bucket {
    fn ahead(self, window: u32, now: u32) -> u32 {
        let ahead = self.0.wrapping_sub(now);
        if ahead > window || self.0 == 0 { 0 } else { ahead }
    }

    /// Takes one token, if there is one; else says in how many milliseconds there will be.
    ///
    /// # Errors
    /// There is none. Nothing was taken.
    pub fn take(&mut self, rate: Rate, now_ms: u64) -> Result<(), u64> {
        self.take_many(rate, 1, now_ms)
    }

    /// The same with several tokens at once, all of them or none.
    fn take_many(&mut self, rate: Rate, count: u32, now_ms: u64) -> Result<(), u64> {
        let now = (now_ms * TICKS_PER_MS) as u32;
        let interval = ((1000 * TICKS_PER_MS) as u32 / rate.per_second.max(1)).max(1);
        let window = interval.saturating_mul(rate.burst.max(1));
        let ahead = self.ahead(window, now).saturating_add(interval.saturating_mul(count));
        if ahead > window {
            return Err(u64::from(ahead - window).div_ceil(TICKS_PER_MS));
        }
        self.0 = now.wrapping_add(ahead).max(1);
        Ok(())
    }

    /// Whether a token is there, which stays.
    fn has(self, rate: Rate, now_ms: u64) -> Result<(), u64> {
        let mut copy = self;
        copy.take(rate, now_ms)
    }
}

/// What one address has done.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// See [`Peer::quota_key`]; 0 is nobody's.
    key: u64,
    open: u32,
    buckets: [Bucket; KINDS],
    /// Work that it has asked for and was not forgiven, at a time in milliseconds.
    debt: u32,
    debt_at: u32,
}

impl Entry {
    /// What is left of its debt.
    fn debt(&self, now_ms: u64) -> u32 {
        let passed = u64::from((now_ms as u32).wrapping_sub(self.debt_at));
        u64::from(self.debt).saturating_sub(passed.saturating_mul(FORGIVEN_PER_MS)) as u32
    }

    /// How much of its buckets is spent, the worst of them counting: the least spent is the first to go.
    fn spent(&self, now_ms: u64) -> u32 {
        let now = (now_ms * TICKS_PER_MS) as u32;
        let window = u32::MAX / 4;
        self.buckets.iter().map(|bucket| bucket.ahead(window, now)).max().unwrap_or(0)
    }
}

/// The quotas of all addresses.
#[derive(Debug)]
pub struct Quotas {
    limits: Limits,
    per_address: usize,
    trusted: Vec<Network>,
    secret: u64,
    sets: Vec<Option<Box<[Entry; WAYS]>>>,
    /// For those who found no place: together they may do what one address may.
    others: Entry,
    used: usize,
    /// What was refused since the start.
    pub refused: u64,
}

impl Quotas {
    /// Quotas of nobody yet. The secret keeps peers from choosing their set.
    pub fn new(limits: Limits, connections: usize, trusted: Vec<Network>, secret: u64) -> Quotas {
        let sets = (0..ADDRESSES_MAX / WAYS).map(|_| None).collect();
        let share = if limits == Limits::Strict {
            PER_ADDRESS_SHARE * STRICT_SHARE as usize
        } else {
            PER_ADDRESS_SHARE
        };
        let per_address = (connections / share).max(PER_ADDRESS_MIN);
        Quotas { limits, per_address, trusted, secret, sets, others: Entry::default(), used: 0, refused: 0 }
    }

    /// Whether anything that this peer does is counted.
    pub fn counts(&self, peer: Peer) -> bool {
        match self.limits {
            Limits::Off => false,
            Limits::Normal => !peer.is_loopback() && !peer.is_within(&self.trusted),
            Limits::Strict => !peer.is_within(&self.trusted),
        }
    }

    fn rate(&self, rate: Rate) -> Rate {
        match self.limits {
            Limits::Off | Limits::Normal => rate,
            Limits::Strict => {
                let part = |number: u32| (number / STRICT_SHARE).max(1);
                Rate { per_second: part(rate.per_second), burst: part(rate.burst) }
            }
        }
    }

    /// Counts something that a peer does.
    ///
    /// # Errors
    /// It has done too much of it: 429, and when it may go on.
    pub fn take(&mut self, peer: Peer, kind: Kind, now_ms: u64) -> Result<(), Refusal> {
        self.ask(peer, kind, now_ms, |bucket, rate| bucket.take(rate, now_ms))
    }

    /// Whether a peer may do something now. It is not counted.
    ///
    /// # Errors
    /// As [`Quotas::take`].
    pub fn check(&mut self, peer: Peer, kind: Kind, now_ms: u64) -> Result<(), Refusal> {
        self.ask(peer, kind, now_ms, |bucket, rate| bucket.has(rate, now_ms))
    }

    fn ask(
        &mut self,
        peer: Peer,
        kind: Kind,
        now_ms: u64,
        how: impl FnOnce(&mut Bucket, Rate) -> Result<(), u64>,
    ) -> Result<(), Refusal> {
        if !self.counts(peer) {
            return Ok(());
        }
        let rate = self.rate(kind.rate());
        let entry = self.entry(peer.quota_key(), now_ms);
        how(&mut entry.buckets[kind as usize], rate).map_err(|ms| {
            self.refused += 1;
            Refusal::new(429, "rate_limited", kind.sentence()).with_retry(ms)
        })
    }

    /// Whether a connection of a peer may begin, which it has not yet.
    ///
    /// # Errors
    /// As [`Quotas::open`].
    pub fn check_open(&mut self, peer: Peer, now_ms: u64) -> Result<(), Refusal> {
        self.check(peer, Kind::Connection, now_ms)?;
        self.check_number(peer, now_ms)
    }

    /// Whether a peer may have one connection more.
    ///
    /// # Errors
    /// It has as many as it may.
    pub fn check_number(&mut self, peer: Peer, now_ms: u64) -> Result<(), Refusal> {
        if !self.counts(peer) {
            return Ok(());
        }
        let most = self.per_address as u32;
        if self.entry(peer.quota_key(), now_ms).open < most {
            return Ok(());
        }
        self.refused += 1;
        let sentence = "This address has as many connections as it may; close some.";
        Err(Refusal::new(429, "too_many_connections", sentence).with_retry(10_000))
    }

    /// A connection of a peer begins: whether it counts as one of its address until [`Quotas::close`].
    ///
    /// # Errors
    /// It has as many as it may, or made too many in too short a time.
    pub fn open(&mut self, peer: Peer, now_ms: u64) -> Result<bool, Refusal> {
        self.check_open(peer, now_ms)?;
        Ok(self.open_checked(peer, now_ms))
    }

    /// The same for one that was let in just now, by [`Quotas::check_open`].
    pub fn open_checked(&mut self, peer: Peer, now_ms: u64) -> bool {
        let taken = self.take(peer, Kind::Connection, now_ms);
        debug_assert!(taken.is_ok(), "that the token is there was looked at");
        self.enter(peer, now_ms)
    }

    /// The same for one that was there before, and is another peer's from now on.
    pub fn enter(&mut self, peer: Peer, now_ms: u64) -> bool {
        if !self.counts(peer) {
            return false;
        }
        let entry = self.entry(peer.quota_key(), now_ms);
        let is_own = entry.key != 0;
        entry.open += u32::from(is_own);
        is_own
    }

    /// A connection that counts has ended.
    pub fn close(&mut self, peer: Peer) {
        let key = peer.quota_key();
        let set = self.set_of(key);
        let entries = self.sets[set].iter_mut().flat_map(|set| set.iter_mut());
        if let Some(entry) = entries.into_iter().find(|entry| entry.key == key) {
            entry.open = entry.open.saturating_sub(1);
        }
    }

    /// How many connections the address of a peer has; 0 where nobody counts them.
    pub fn connections_of(&self, peer: Peer) -> u32 {
        if !self.counts(peer) {
            return 0;
        }
        let key = peer.quota_key();
        let entries = self.sets[self.set_of(key)].iter().flat_map(|set| set.iter());
        entries.into_iter().find(|entry| entry.key == key).map_or(0, |entry| entry.open)
    }

    fn set_of(&self, key: u64) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.secret, key).hash(&mut hasher);
        (hasher.finish() % self.sets.len() as u64) as usize
    }

    /// The entry of an address, which is made if need be. See the top of this file.
    fn entry(&mut self, key: u64, now_ms: u64) -> &mut Entry {
        let set = self.set_of(key);
        let set = self.sets[set].get_or_insert_with(|| {
            self.used += 1;
            Box::default()
        });
        let known = set.iter().position(|entry| entry.key == key);
        let free = || set.iter().position(|entry| entry.key == 0);
        let least = || {
            let idle = (0..WAYS).filter(|way| set[*way].open == 0);
            idle.min_by_key(|way| set[*way].spent(now_ms))
        };
        match known.or_else(free).or_else(least) {
            Some(way) => {
                if set[way].key != key {
                    set[way] = Entry { key, ..Entry::default() };
                }
                &mut set[way]
            }
            None => &mut self.others,
        }
    }

    /// Adds work that a peer has asked for to its debt. Whether its connections wait for those of others from
    /// now on.
    pub fn owe(&mut self, peer: Peer, work: u64, now_ms: u64) -> bool {
        if !self.counts(peer) {
            return false;
        }
        let entry = self.entry(peer.quota_key(), now_ms);
        let debt = u64::from(entry.debt(now_ms)).saturating_add(work);
        entry.debt = debt.min(DEBT_KEPT_MAX) as u32;
        entry.debt_at = now_ms as u32;
        debt > DEBT_MAX
    }

    /// Whether a peer owes so much work that its connections wait for those of others.
    pub fn is_heavy(&self, peer: Peer, now_ms: u64) -> bool {
        if !self.counts(peer) {
            return false;
        }
        let key = peer.quota_key();
        let mut entries = self.sets[self.set_of(key)].iter().flat_map(|set| set.iter());
        let entry = entries.find(|entry| entry.key == key).unwrap_or(&self.others);
        u64::from(entry.debt(now_ms)) > DEBT_MAX
    }

    /// Counts frames of a connection.
    ///
    /// # Errors
    /// It has sent too many.
    pub fn frames(&mut self, bucket: &mut Bucket, count: u32, now_ms: u64) -> Result<(), u64> {
        let rate = self.rate(FRAMES_RATE);
        bucket.take_many(rate, count, now_ms).inspect_err(|_| self.refused += 1)
    }

    /// Counts a command of a client, which may cost as much as several.
    ///
    /// # Errors
    /// It has sent too many: 429, and when it may go on.
    pub fn command(&mut self, bucket: &mut Bucket, cost: u32, now_ms: u64) -> Result<(), Refusal> {
        bucket.take_many(self.rate(COMMANDS_RATE), cost, now_ms).map_err(|ms| {
            self.refused += 1;
            Refusal::new(429, "rate_limited", "Too many commands; wait a little.").with_retry(ms)
        })
    }

    /// Bytes of the table.
    pub fn held(&self) -> usize {
        let set = size_of::<[Entry; WAYS]>() + ALLOCATION_BYTES;
        self.sets.len() * size_of::<usize>() + self.used * set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, SocketAddr};

    fn peer(address: impl Into<IpAddr>) -> Peer {
        Peer::of_socket(SocketAddr::new(address.into(), 1), &[])
    }

    fn fresh(limits: Limits) -> Quotas {
        Quotas::new(limits, 0, Vec::new(), 7)
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate { per_second: 10, burst: 3 };
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, 1000), Ok(()));
        }
        assert_eq!(bucket.take(rate, 1000), Err(100));
        assert_eq!(bucket.take(rate, 1099), Err(1));
        assert_eq!(bucket.take(rate, 1100), Ok(()));
        assert_eq!(bucket.take(rate, 1100), Err(100));
        assert_eq!((0..9).filter(|_| bucket.take(rate, 60_000).is_ok()).count(), 3, "no more than its burst");
    }

    #[test]
    fn several_tokens_are_taken_together_or_not_at_all() {
        let rate = Rate { per_second: 10, burst: 5 };
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take_many(rate, 4, 0), Ok(()));
        assert_eq!(bucket.take_many(rate, 3, 0), Err(200));
        assert_eq!(bucket.take_many(rate, 1, 0), Ok(()), "none was taken");
        assert!(bucket.take_many(rate, u32::MAX, 0).is_err(), "no sum runs over");
    }

    #[test]
    fn a_bucket_survives_the_wrap_of_its_clock() {
        let rate = Rate { per_second: 1, burst: 2 };
        let wrap_ms = (1 << 32) / TICKS_PER_MS;
        let mut bucket = Bucket::default();
        let start = wrap_ms - 500;
        assert!(bucket.take(rate, start).is_ok() && bucket.take(rate, start).is_ok());
        assert_eq!(bucket.take(rate, start + 600), Err(400), "across the wrap");
        assert!(bucket.take(rate, start + 1000).is_ok());
        assert!(bucket.take(rate, start + wrap_ms / 2).is_ok(), "long silence is no debt");
    }

    #[test]
    fn addresses_are_apart_and_this_machine_is_spared() {
        let mut quotas = fresh(Limits::Normal);
        let (one, other) = (peer([192, 0, 2, 1]), peer([192, 0, 2, 2]));
        while quotas.take(one, Kind::Failure, 0).is_ok() {}
        let refusal = quotas.take(one, Kind::Failure, 0).unwrap_err();
        assert_eq!((refusal.status, refusal.code), (429, "rate_limited"));
        assert!(refusal.retry_ms.is_some_and(|ms| ms > 0));
        assert!(quotas.take(one, Kind::Publish, 0).is_ok(), "another kind");
        assert!(quotas.check(other, Kind::Failure, 0).is_ok(), "another address");
        for _ in 0..100_000 {
            assert!(quotas.take(peer([127, 0, 0, 1]), Kind::Failure, 0).is_ok());
        }
        let mut strict = fresh(Limits::Strict);
        while strict.take(peer([127, 0, 0, 1]), Kind::Failure, 0).is_ok() {}
        let mut off = fresh(Limits::Off);
        assert!((0..100_000).all(|_| off.take(one, Kind::Failure, 0).is_ok()));
    }

    #[test]
    fn an_address_owes_its_work_and_is_forgiven_with_time() {
        let mut quotas = fresh(Limits::Normal);
        let (one, other) = (peer([192, 0, 2, 1]), peer([192, 0, 2, 2]));
        assert!(!quotas.owe(one, DEBT_MAX, 0) && !quotas.is_heavy(one, 0));
        assert!(quotas.owe(one, 1, 0) && quotas.is_heavy(one, 0));
        assert!(!quotas.is_heavy(other, 0), "another address");
        assert!(!quotas.is_heavy(one, 1), "a millisecond forgives more than it owes beyond the bound");
        // Beyond the bound no more is added: its end can be told.
        assert!(quotas.owe(one, u64::MAX, 1));
        let free_ms = 1 + (DEBT_KEPT_MAX - DEBT_MAX).div_ceil(FORGIVEN_PER_MS);
        assert!(quotas.is_heavy(one, free_ms - 1) && !quotas.is_heavy(one, free_ms));
        assert!(
            !quotas.owe(peer([127, 0, 0, 1]), u64::MAX, 0),
            "this machine's own programs are not counted"
        );
    }

    #[test]
    fn connections_of_an_address_are_counted_until_they_end() {
        let mut quotas = fresh(Limits::Normal);
        let (one, neighbour) = (peer([192, 0, 2, 1]), peer([192, 0, 2, 2]));
        for _ in 0..PER_ADDRESS_MIN {
            assert_eq!(quotas.open(one, 0), Ok(true));
        }
        assert_eq!(quotas.open(one, 0).unwrap_err().code, "too_many_connections");
        assert_eq!(quotas.open(neighbour, 0), Ok(true));
        quotas.close(one);
        assert_eq!(quotas.open(one, 0), Ok(true));
    }

    #[test]
    fn made_up_addresses_push_out_neither_the_busy_nor_the_guilty() {
        let mut quotas = fresh(Limits::Normal);
        let (busy, guilty) = (peer([192, 0, 2, 1]), peer([192, 0, 2, 2]));
        quotas.open(busy, 0).unwrap();
        while quotas.take(guilty, Kind::Failure, 0).is_ok() {}
        for network in 0..4 * ADDRESSES_MAX as u128 {
            let address = IpAddr::from((0x2001_0db8_u128 << 96 | network << 64).to_be_bytes());
            quotas.take(peer(address), Kind::Request, 0).unwrap();
        }
        assert!(quotas.take(guilty, Kind::Failure, 0).is_err());
        let set = quotas.set_of(busy.quota_key());
        let entry = quotas.sets[set].as_ref().unwrap().iter().find(|entry| entry.key == busy.quota_key());
        assert_eq!(entry.map(|entry| entry.open), Some(1));
        assert!(quotas.held() < 2 << 20, "{}", quotas.held());
    }

    #[test]
    fn a_set_full_of_connections_shares_one_entry_for_the_rest() {
        let mut quotas = fresh(Limits::Normal);
        let address = |number: u32| peer(IpAddr::from((0x0a00_0000 + number).to_be_bytes()));
        let first = quotas.set_of(address(0).quota_key());
        let mut same = (0..).map(address).filter(|peer| {
            let probe = fresh(Limits::Normal);
            probe.set_of(peer.quota_key()) == first
        });
        for _ in 0..WAYS {
            assert_eq!(quotas.open(same.next().unwrap(), 0), Ok(true));
        }
        let late = same.next().unwrap();
        assert_eq!(quotas.open(late, 0), Ok(false), "let in, and not counted as one of its address");
        while quotas.take(late, Kind::Failure, 0).is_ok() {}
        assert!(quotas.take(same.next().unwrap(), Kind::Failure, 0).is_err(), "they share their quota");
    }
}
