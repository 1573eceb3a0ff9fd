//! Clients: who reads and writes, whatever connection it comes over.
//!
//! A client outlives its connections. It is named by a sid, which is a secret: whoever has it is the
//! client. It knows no hub; its slot number is that of its reader there.
//!
//! ```text
//!   sid:     base64url( slot, 4 bytes | secret, 12 bytes )          22 characters
//!   secret:  the first 12 bytes of SipHash-2-4-128( key; slot | generation )
//! ```
//!
//! The slot makes looking one up an index and not a search; the secret makes guessing one hopeless. It is
//! worked out from the key of this run whenever it is needed, and so it is kept nowhere: twelve bytes less a
//! client, and no call of the system's random source for each. SipHash (Aumasson, Bernstein, 2012) is made to
//! be just that, the keyed hash of a few bytes which whoever has not the key can't tell from chance.

use std::fmt;
use std::hash::Hasher;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use siphasher::sip128::{Hasher128, SipHasher24};

use super::peer::Peer;
use super::quota::Bucket;
use super::transport::Transport;
use crate::hub::ReaderId;
use crate::reactor::{ConnId, Instant};

/// Bytes of a sid's secret. 96 bits can't be guessed over a network.
const SECRET_BYTES: usize = 12;

/// Characters of a sid.
pub const SID_CHARS: usize = 22;

/// Bytes of the key that secrets are made of.
const KEY_BYTES: usize = 16;

/// Names one client, and never another one.
///
/// A client is a person's one visit, not a connection: it may change transport, lose its connection and
/// come back within the grace period, and is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl ClientId {
    /// Its reader in the hub, which has the same slot.
    pub(super) fn reader(self) -> ReaderId {
        ReaderId::at(self.slot)
    }

    /// A client that no server knows.
    #[cfg(test)]
    pub(crate) fn for_tests(number: u32) -> ClientId {
        ClientId { slot: number, generation: number }
    }
}

/// A sid as a peer sent it: which client it means, if the secret is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sid {
    slot: u32,
    secret: [u8; SECRET_BYTES],
}

impl Sid {
    /// Reads a sid. `None` if it can't be one.
    pub fn parse(text: &str) -> Option<Sid> {
        // The decoder wants room for whole groups of three.
        let mut bytes = [0; (4 + SECRET_BYTES).next_multiple_of(3)];
        let len = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (slot, secret) = bytes[..len].split_first_chunk::<4>()?;
        Some(Sid { slot: u32::from_be_bytes(*slot), secret: secret.try_into().ok()? })
    }

    /// Writes it.
    pub fn emit(&self) -> String {
        String::from_utf8_lossy(&self.chars()).into_owned()
    }

    /// Its characters, all ASCII.
    pub fn chars(&self) -> [u8; SID_CHARS] {
        let mut bytes = [0; 4 + SECRET_BYTES];
        bytes[..4].copy_from_slice(&self.slot.to_be_bytes());
        bytes[4..].copy_from_slice(&self.secret);
        let mut chars = [0; SID_CHARS];
        let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut chars);
        debug_assert_eq!(written, Ok(SID_CHARS));
        chars
    }
}

/// Whether a client has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// It was made just now, and has not begun.
    New,
    /// It reads over this one.
    On(ConnId),
    /// It has lost its connection, or is a poller between two polls: gone for good then, unless it comes
    /// back.
    Absent(Instant),
}

/// One client. Its place in the hub is in the same slot.
#[derive(Debug)]
pub struct Client {
    presence: Presence,
    generation: u32,
    /// The commands that it may still send, over whatever connection.
    pub commands: Bucket,
    /// How it reads now, or how it did last.
    pub transport: Transport,
    /// From where.
    pub peer: Peer,
    /// Seconds between two heartbeats on its stream.
    pub heartbeat_s: u16,
    /// A timer for its end is in the wheel already.
    armed: bool,
}

impl Client {
    /// The connection it reads over. A poller has none between two polls.
    pub fn conn(&self) -> Option<ConnId> {
        match self.presence {
            Presence::On(conn) => Some(conn),
            Presence::New | Presence::Absent(_) => None,
        }
    }

    /// It reads over that one now.
    pub fn set_conn(&mut self, conn: ConnId) {
        self.presence = Presence::On(conn);
    }

    /// When it is gone, if it had a connection and has none now.
    fn expires(&self) -> Option<Instant> {
        match self.presence {
            Presence::Absent(expires) => Some(expires),
            Presence::New | Presence::On(_) => None,
        }
    }

    /// Whether it had a connection, and has none now.
    pub fn is_absent(&self) -> bool {
        self.expires().is_some()
    }
}

// Paid by every client, present or in its grace period.
const _: () = assert!(size_of::<Option<Client>>() <= 48);

/// All clients, under the slot numbers of their readers.
pub struct Clients {
    key: [u8; KEY_BYTES],
    slots: Vec<Option<Client>>,
    next_generation: u32,
    count: usize,
    /// The slot at which the next one to end for a newcomer is looked for.
    hand: usize,
}

impl Clients {
    /// No client yet, and the key from which the secrets of all will be made.
    pub fn new(entropy: &mut dyn FnMut(&mut [u8])) -> Clients {
        let mut key = [0; KEY_BYTES];
        entropy(&mut key);
        Clients { key, slots: Vec::new(), next_generation: 0, count: 0, hand: 0 }
    }

    /// A new client for a new reader.
    pub fn insert(&mut self, reader: ReaderId, transport: Transport, peer: Peer) -> ClientId {
        let slot = reader.slot();
        let index = slot as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        assert!(self.slots[index].is_none(), "a reader's slot was given to two clients");
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        self.count += 1;
        self.slots[index] = Some(Client {
            presence: Presence::New,
            generation,
            commands: Bucket::default(),
            transport,
            peer,
            heartbeat_s: 0,
            armed: false,
        });
        ClientId { slot, generation }
    }

    /// Ends a client.
    pub fn remove(&mut self, id: ClientId) -> Option<Client> {
        self.get(id)?;
        self.count -= 1;
        self.slots[id.slot as usize].take()
    }

    /// The client of that id, if it still exists.
    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.slots.get_mut(id.slot as usize)?.as_mut().filter(|client| client.generation == id.generation)
    }

    /// The client of that id, if it still exists.
    pub fn get(&self, id: ClientId) -> Option<&Client> {
        self.slots.get(id.slot as usize)?.as_ref().filter(|client| client.generation == id.generation)
    }

    /// The connection that a client reads over now, and how.
    pub fn line(&self, id: ClientId) -> Option<(ConnId, Transport)> {
        self.get(id).and_then(|client| Some((client.conn()?, client.transport)))
    }

    /// The client whose reader has that slot.
    pub fn at(&self, slot: u32) -> Option<(ClientId, &Client)> {
        let client = self.slots.get(slot as usize)?.as_ref()?;
        Some((ClientId { slot, generation: client.generation }, client))
    }

    /// The client that `sid` names, if it exists and the secret is right.
    pub fn find(&self, sid: &Sid) -> Option<ClientId> {
        let (id, _) = self.at(sid.slot)?;
        same_bytes(&self.secret(id), &sid.secret).then_some(id)
    }

    /// The sid of a client.
    pub fn sid(&self, id: ClientId) -> Option<Sid> {
        self.get(id).map(|_| Sid { slot: id.slot, secret: self.secret(id) })
    }

    /// See the top of this file. Generations come again after four billion clients, and then only a client
    /// of the same slot has the same secret.
    fn secret(&self, id: ClientId) -> [u8; SECRET_BYTES] {
        let mut hash = SipHasher24::new_with_key(&self.key);
        hash.write_u64(u64::from(id.slot) << 32 | u64::from(id.generation));
        let mut secret = [0; SECRET_BYTES];
        secret.copy_from_slice(&hash.finish128().as_bytes()[..SECRET_BYTES]);
        secret
    }

    /// The client has lost its connection: it has until `expires` to come back. Returns whether a timer must
    /// be set for that; one at most is out for a client.
    #[must_use]
    pub fn expire_at(&mut self, id: ClientId, expires: Instant) -> bool {
        let Some(client) = self.get_mut(id) else { return false };
        client.presence = Presence::Absent(expires);
        !std::mem::replace(&mut client.armed, true)
    }

    /// A client's timer has come.
    pub fn timer_came(&mut self, id: ClientId, now: Instant) -> Expiry {
        let Some(client) = self.get_mut(id) else { return Expiry::Never };
        match client.presence {
            Presence::Absent(expires) if expires <= now => Expiry::Now,
            Presence::Absent(expires) => Expiry::At(expires),
            Presence::New | Presence::On(_) => {
                client.armed = false;
                Expiry::Never
            }
        }
    }

    /// Of some clients, `looks` slots further each time, the one that has been without a connection for
    /// longest.
    pub fn longest_absent(&mut self, looks: usize) -> Option<ClientId> {
        let looks = looks.min(self.slots.len());
        let slots = (self.hand..self.hand + looks).map(|slot| slot % self.slots.len());
        let absent = slots.filter_map(|slot| {
            let (id, client) = self.at(slot as u32)?;
            Some((client.expires()?, id))
        });
        let longest = absent.min();
        self.hand = (self.hand + looks) % self.slots.len().max(1);
        longest.map(|(_, id)| id)
    }

    /// Whether the client still exists.
    pub fn is_present(&self, id: ClientId) -> bool {
        self.get(id).is_some()
    }

    /// All clients.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &Client)> {
        (0..self.slots.len() as u32).filter_map(|slot| self.at(slot))
    }

    /// Bytes of the table.
    pub fn held(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Client>>()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }
}

impl fmt::Debug for Clients {
    /// Without the key, which no log may hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("count", &self.count).finish_non_exhaustive()
    }
}

/// What a client's timer means when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The client is back, or gone already.
    Never,
    /// It was back in between and has until then now.
    At(Instant),
    /// It did not come back.
    Now,
}

/// Compares two secrets in a time that tells nothing of where they differ.
pub fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b));
    // The hint keeps the optimiser from leaving the loop at the first difference.
    one.len() == other.len() && std::hint::black_box(differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(clients: &mut Clients, slot: u32) -> ClientId {
        clients.insert(ReaderId::at(slot), Transport::Poll, Peer::default())
    }

    fn fresh() -> Clients {
        Clients::new(&mut |bytes| bytes.fill(7))
    }

    #[test]
    fn a_sid_finds_its_client_and_no_other() {
        let mut clients = fresh();
        let (ann, bob) = (insert(&mut clients, 0), insert(&mut clients, 1));
        let sid = clients.sid(bob).expect("present");
        assert_eq!(Sid::parse(&sid.emit()), Some(sid));
        assert_eq!(sid.emit().len(), 22);
        assert_eq!(clients.find(&sid), Some(bob));
        assert_eq!(clients.find(&Sid { slot: ann.slot, ..sid }), None, "the secret is bob's");
        clients.remove(bob);
        assert_eq!(clients.find(&sid), None);
    }

    #[test]
    fn garbage_is_no_sid() {
        for text in
            ["", "x", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAA+/", "é"]
        {
            assert_eq!(Sid::parse(text), None, "{text}");
        }
    }

    #[test]
    fn one_timer_is_out_for_a_client_that_comes_and_goes() {
        let mut clients = fresh();
        let ann = insert(&mut clients, 0);
        assert!(clients.expire_at(ann, Instant::from_millis(100)));
        assert!(!clients.expire_at(ann, Instant::from_millis(200)));
        assert_eq!(clients.timer_came(ann, Instant::from_millis(100)), Expiry::At(Instant::from_millis(200)));
        assert_eq!(clients.timer_came(ann, Instant::from_millis(200)), Expiry::Now);
    }

    #[test]
    fn the_longest_absent_is_found_and_nobody_else() {
        let mut clients = fresh();
        let ids: Vec<ClientId> = (0..5).map(|slot| insert(&mut clients, slot)).collect();
        assert_eq!(clients.longest_absent(9), None, "they have not begun");
        for (place, ms) in [(1, 300), (2, 100), (3, 200)] {
            let _ = clients.expire_at(ids[place], Instant::from_millis(ms));
        }
        assert_eq!(clients.longest_absent(9), Some(ids[2]));
        clients.remove(ids[2]);
        assert_eq!(clients.longest_absent(3), Some(ids[1]), "of those looked at");
        assert_eq!(clients.longest_absent(3), Some(ids[3]), "the look goes on from there, and around");
    }

    #[test]
    fn a_reused_slot_is_another_client() {
        let mut clients = fresh();
        let old = insert(&mut clients, 0);
        clients.remove(old);
        let new = insert(&mut clients, 0);
        assert!(!clients.is_present(old) && clients.is_present(new));
        assert!(clients.remove(old).is_none());
        assert_eq!(clients.len(), 1);
    }

    #[test]
    fn a_secret_is_of_this_run_this_slot_and_this_client() {
        let (mut ours, mut others) = (fresh(), Clients::new(&mut |bytes| bytes.fill(8)));
        let (first, second) = (insert(&mut ours, 0), insert(&mut ours, 1));
        let sid = ours.sid(first).expect("present");
        assert_ne!(sid.secret, ours.sid(second).expect("present").secret);
        let stranger = insert(&mut others, 0);
        assert_eq!(stranger, first);
        assert_eq!(others.find(&sid), None, "a sid of another run");
        ours.remove(first);
        insert(&mut ours, 0);
        assert_eq!(ours.find(&sid), None, "the slot has another client now");
    }
}
