//! Moderation: who must be silent, who must stay away, and until when.
//!
//! It knows nicks, addresses and times of a clock that is never set back. It acts on nobody: it says who may
//! not, and the rest of the chat asks it. However a nick is spelled, it is one nick.
//!
//! An IPv6 address stands for its /64: that is what one household or one machine is given, and to change
//! within it costs nothing (RFC 6177, section 2).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use super::entry::NICK_BYTES;
use super::looks::Looks;
use super::nick;
use super::recent::Recent;
use crate::limits::{NAME_NETWORKS_MAX, NAMES_MS, NAMES_PER_NETWORK_MAX, SENTENCE_S_MAX, SENTENCES_MAX};
use crate::server::Refusal;

/// Milliseconds of the clock until which something holds, by whom it holds for.
#[derive(Debug)]
pub(super) struct Sentences<K> {
    until: BTreeMap<K, u64>,
}

impl<K: Ord> Sentences<K> {
    fn new() -> Sentences<K> {
        Sentences { until: BTreeMap::new() }
    }

    /// From now on for so many seconds; for none at all, no more.
    ///
    /// # Errors
    /// There are too many.
    fn set(&mut self, whom: K, seconds: u64, now: u64) -> Result<(), Refusal> {
        self.until.retain(|_, until| *until > now);
        if seconds == 0 {
            self.until.remove(&whom);
            return Ok(());
        }
        if self.until.len() >= SENTENCES_MAX && !self.until.contains_key(&whom) {
            let sentence = "So many are muted or banned that there is no room; lift some with `seconds` 0.";
            return Err(Refusal::new(503, "too_many_sentences", sentence));
        }
        self.until.insert(whom, now + seconds.min(SENTENCE_S_MAX) * 1000);
        Ok(())
    }

    /// Milliseconds that are left for somebody.
    fn left<Q>(&self, whom: &Q, now: u64) -> Option<u64>
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.until.get(whom).and_then(|until| until.checked_sub(now)).filter(|left| *left > 0)
    }

    fn len(&self) -> usize {
        self.until.len()
    }

    /// All that hold, with the milliseconds that are left.
    pub(super) fn iter(&self, now: u64) -> impl Iterator<Item = (&K, u64)> {
        self.until
            .iter()
            .filter(move |(_, until)| **until > now)
            .map(move |(whom, until)| (whom, until - now))
    }
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Moderation {
    pub(super) muted: Sentences<String>,
    pub(super) banned: Sentences<String>,
    /// What the banned names look like: whoever is banned does not come back as a twin.
    looks: Looks,
    pub(super) networks: Sentences<IpAddr>,
    /// Of those networks the ones that were banned along with somebody, and with whom: lifted with them.
    along: BTreeMap<IpAddr, String>,
    /// From where nobody speaks who is not known by name: somebody who is muted is here from there.
    hushed: Sentences<IpAddr>,
    /// Until when the new names of a network are counted together, and how many there were.
    newcomers: Recent<IpAddr, (u64, usize)>,
}

impl Default for Moderation {
    fn default() -> Moderation {
        Moderation {
            muted: Sentences::new(),
            banned: Sentences::new(),
            looks: Looks::default(),
            networks: Sentences::new(),
            along: BTreeMap::new(),
            hushed: Sentences::new(),
            newcomers: Recent::new(NAME_NETWORKS_MAX),
        }
    }
}

impl Moderation {
    /// Bytes of all of it, at most.
    pub(super) fn held(&self) -> usize {
        let names = self.muted.len() + self.banned.len();
        let time = 2 * size_of::<u64>();
        let networks = self.networks.len() + 2 * self.newcomers.len();
        self.looks.held() + names * (NICK_BYTES + time) + networks * (size_of::<IpAddr>() + time)
    }

    /// Makes somebody silent for so many seconds.
    ///
    /// # Errors
    /// Too many are.
    pub(super) fn mute(&mut self, nick: &str, seconds: u64, now: u64) -> Result<(), Refusal> {
        self.muted.set(nick::fold(nick), seconds, now)
    }

    /// Makes silent, for so many seconds, who speaks from an address without a name or under a new one.
    /// Who had a name before is not meant: many may share the address.
    ///
    /// # Errors
    /// Too many are.
    pub(super) fn hush(&mut self, address: IpAddr, seconds: u64, now: u64) -> Result<(), Refusal> {
        self.hushed.set(network(address), seconds, now)
    }

    /// Keeps a name out for so many seconds.
    ///
    /// # Errors
    /// Too many are kept out.
    pub(super) fn ban(&mut self, nick: &str, seconds: u64, now: u64) -> Result<(), Refusal> {
        let name = self.banned_name(nick);
        self.banned.set(name.clone(), seconds, now)?;
        self.looks.add(nick, &name);
        let banned = &self.banned;
        self.looks.retain(|name| banned.left(name, now).is_some());
        Ok(())
    }

    /// The name under which a ban of this one is kept: its own, or that of a banned one which it looks like.
    fn banned_name(&self, nick: &str) -> String {
        self.looks.find(nick).map_or_else(|| nick::fold(nick), str::to_owned)
    }

    /// Keeps an address out for so many seconds.
    ///
    /// # Errors
    /// Too many are kept out.
    pub(super) fn ban_address(&mut self, address: IpAddr, seconds: u64, now: u64) -> Result<(), Refusal> {
        // It is meant by itself from now on, whoever is there.
        self.along.remove(&network(address));
        self.networks.set(network(address), seconds, now)
    }

    /// Keeps out an address that somebody is here from. An order that was given for the address itself holds.
    ///
    /// # Errors
    /// Too many are kept out.
    pub(super) fn ban_along(
        &mut self,
        nick: &str,
        address: IpAddr,
        seconds: u64,
        now: u64,
    ) -> Result<(), Refusal> {
        let address = network(address);
        let networks = &self.networks;
        self.along.retain(|address, _| networks.left(address, now).is_some());
        if networks.left(&address, now).is_some() && !self.along.contains_key(&address) {
            return Ok(());
        }
        self.networks.set(address, seconds, now)?;
        let name = self.banned_name(nick);
        self.along.insert(address, name);
        Ok(())
    }

    /// Lets a name in again, with the addresses that were banned along with it: those are the answer.
    pub(super) fn lift(&mut self, nick: &str) -> BTreeSet<IpAddr> {
        let nick = self.banned_name(nick);
        self.banned.until.remove(&nick);
        self.looks.retain(|name| name != nick);
        let with: BTreeSet<IpAddr> =
            self.along.iter().filter(|(_, with)| **with == nick).map(|(address, _)| *address).collect();
        for address in &with {
            self.along.remove(address);
            self.networks.until.remove(address);
        }
        with
    }

    /// Whether somebody may speak.
    ///
    /// # Errors
    /// Not yet.
    pub(super) fn check_mute(&self, nick: &str, now: u64) -> Result<(), Refusal> {
        if self.muted.len() == 0 {
            return Ok(());
        }
        self.muted.left(&nick::fold(nick), now).map_or(Ok(()), |left| Err(muted("You are", left)))
    }

    /// Whether somebody without a name may speak from an address.
    ///
    /// # Errors
    /// Not yet.
    pub(super) fn check_stranger(&self, address: IpAddr, now: u64) -> Result<(), Refusal> {
        let left = self.hushed.left(&network(address), now);
        left.map_or(Ok(()), |left| Err(muted("Whoever is new at this address is", left)))
    }

    /// Whether one name more that nobody had may be taken from an address.
    ///
    /// # Errors
    /// Somebody there is muted, and it may be the same person; or there were too many.
    pub(super) fn check_newcomer(&self, address: IpAddr, now: u64) -> Result<(), Refusal> {
        self.check_stranger(address, now)?;
        match self.newcomers.get(&network(address)) {
            Some((until, count)) if *until > now && *count >= NAMES_PER_NETWORK_MAX => {
                let sentence = "Too many new names from this address; use one that you have, or try later.";
                Err(Refusal::new(429, "too_many_names", sentence).with_retry(until - now))
            }
            _ => Ok(()),
        }
    }

    /// A name that nobody had was taken. This machine's own addresses are not counted: behind a proxy they
    /// are everybody's.
    pub(super) fn count_newcomer(&mut self, address: IpAddr, now: u64) {
        if address.is_loopback() {
            return;
        }
        let entry = self.newcomers.entry(&network(address), || (now + NAMES_MS, 0));
        if entry.0 <= now {
            *entry = (now + NAMES_MS, 0);
        }
        entry.1 += 1;
    }

    /// Whether a name may be used.
    ///
    /// # Errors
    /// Not yet.
    pub(super) fn check_name(&self, nick: &str, now: u64) -> Result<(), Refusal> {
        if self.banned.len() == 0 {
            return Ok(());
        }
        self.banned.left(&self.banned_name(nick), now).map_or(Ok(()), |left| Err(banned("name", left)))
    }

    /// Whether somebody may come in from an address.
    ///
    /// # Errors
    /// Not yet.
    pub(super) fn check_address(&self, address: IpAddr, now: u64) -> Result<(), Refusal> {
        self.networks.left(&network(address), now).map_or(Ok(()), |left| Err(banned("address", left)))
    }
}

/// What of an address is somebody's own.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

fn muted(who: &str, left: u64) -> Refusal {
    Refusal::new(403, "muted", format!("{who} muted for {} more.", time(left))).with_retry(left)
}

fn banned(what: &str, left: u64) -> Refusal {
    Refusal::new(403, "banned", format!("This {what} is banned for {} more.", time(left))).with_retry(left)
}

/// A time for people, rounded up.
fn time(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    match seconds {
        0..=90 => format!("{seconds} s"),
        91..=5_400 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3_600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_ends_by_itself_or_is_lifted() {
        let mut moderation = Moderation::default();
        moderation.mute("ann", 10, 1_000).unwrap();
        let refusal = moderation.check_mute("ann", 2_000).unwrap_err();
        assert_eq!((refusal.code, refusal.retry_ms), ("muted", Some(9_000)));
        assert_eq!(refusal.message, "You are muted for 9 s more.");
        assert!(moderation.check_mute("Ann", 2_000).is_err() && moderation.check_mute("bob", 2_000).is_ok());
        assert!(moderation.check_mute("ann", 11_000).is_ok());
        moderation.ban("ann", 7_200, 0).unwrap();
        assert_eq!(moderation.check_name("ann", 0).unwrap_err().message, "This name is banned for 2 h more.");
        assert_eq!(moderation.banned.iter(0).collect::<Vec<_>>(), [(&"ann".to_owned(), 7_200_000)]);
        assert!(moderation.lift("Ann").is_empty());
        assert!(moderation.check_name("ann", 0).is_ok());
        moderation.mute("ann", u64::MAX, 0).unwrap();
        let left = moderation.check_mute("ann", 0).unwrap_err().retry_ms;
        assert_eq!(left, Some(SENTENCE_S_MAX * 1000), "no sum runs over");
    }

    #[test]
    fn a_ban_takes_twins_along() {
        let mut moderation = Moderation::default();
        moderation.ban("Alice", 60, 0).unwrap();
        let is_banned = |moderation: &Moderation, nick, now| moderation.check_name(nick, now).is_err();
        assert!(is_banned(&moderation, "AIice", 0) && is_banned(&moderation, "alice", 0));
        assert!(!is_banned(&moderation, "Alicia", 0) && !is_banned(&moderation, "AIice", 60_000));
        moderation.ban("AIice", 120, 0).unwrap();
        assert_eq!(moderation.banned.len(), 1, "one name, one ban");
        assert!(is_banned(&moderation, "alice", 60_000));
        moderation.lift("A1ice");
        assert!(!is_banned(&moderation, "alice", 0) && moderation.held() == 0);
        moderation.ban("Bob", 1, 0).unwrap();
        moderation.ban("Cyd", 1, 2_000).unwrap();
        assert_eq!(moderation.looks.find("Bob"), None, "what is over leaves no look");
    }

    #[test]
    fn an_address_is_banned_with_its_network() {
        let mut moderation = Moderation::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        moderation.ban_address(address("2001:db8:1:2:3:4:5:6"), 60, 0).unwrap();
        moderation.ban_address(address("::ffff:192.0.2.1"), 60, 0).unwrap();
        let is_banned = |text: &str| moderation.check_address(address(text), 0).is_err();
        assert!(is_banned("2001:db8:1:2::1") && !is_banned("2001:db8:1:3::1"));
        assert!(is_banned("192.0.2.1") && !is_banned("192.0.2.2"));
    }

    #[test]
    fn addresses_banned_with_somebody_are_lifted_with_them() {
        let mut moderation = Moderation::default();
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        moderation.ban_address(address(1), 60, 0).unwrap();
        moderation.ban("ann", 60, 0).unwrap();
        for last in 1..=4 {
            moderation.ban_along("ann", address(last), 60, 0).unwrap();
        }
        moderation.ban_address(address(2), 60, 0).unwrap();
        moderation.ban_along("bob", address(4), 60, 0).unwrap();
        assert_eq!(moderation.lift("ANN"), [address(3)].into());
        let is_banned = |moderation: &Moderation, last| moderation.check_address(address(last), 0).is_err();
        assert!(is_banned(&moderation, 1) && is_banned(&moderation, 2), "they were meant by themselves");
        assert!(!is_banned(&moderation, 3) && is_banned(&moderation, 4), "another's");
        assert!(moderation.check_name("ann", 0).is_ok());
        assert!(moderation.lift("ann").is_empty());
        assert_eq!(moderation.lift("bob"), [address(4)].into());
    }

    #[test]
    fn there_are_only_so_many() {
        let mut moderation = Moderation::default();
        for number in 0..SENTENCES_MAX {
            moderation.mute(&number.to_string(), 1 + number as u64, 0).unwrap();
        }
        assert_eq!(moderation.mute("one more", 9, 0).unwrap_err().code, "too_many_sentences");
        assert!(moderation.mute("7", 9, 0).is_ok(), "it has its place");
        assert!(moderation.mute("one more", 9, 1_000).is_ok(), "the first is over");
    }

    #[test]
    fn a_network_takes_so_many_new_names_in_an_hour() {
        let mut moderation = Moderation::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for number in 0..NAMES_PER_NETWORK_MAX {
            let one = address(&format!("2001:db8::{number:x}"));
            assert!(moderation.check_newcomer(one, 5).is_ok());
            moderation.count_newcomer(one, 5);
            moderation.count_newcomer(address("::1"), 5);
        }
        let refusal = moderation.check_newcomer(address("2001:db8::ffff"), 10).unwrap_err();
        assert_eq!((refusal.code, refusal.retry_ms), ("too_many_names", Some(NAMES_MS - 5)));
        assert!(moderation.check_newcomer(address("2001:db8:0:1::1"), 10).is_ok());
        assert!(moderation.check_newcomer(address("::1"), 10).is_ok());
        moderation.count_newcomer(address("2001:db8::1"), 5 + NAMES_MS);
        assert!(moderation.check_newcomer(address("2001:db8::1"), 5 + NAMES_MS).is_ok());
    }

    #[test]
    fn so_many_networks_with_new_names_are_remembered() {
        let mut moderation = Moderation::default();
        let address = |number: usize| format!("2001:db8:{number:x}::1").parse::<IpAddr>().unwrap();
        for network in [0, 1] {
            for _ in 0..NAMES_PER_NETWORK_MAX {
                moderation.count_newcomer(address(network), 0);
            }
        }
        for number in 2..=NAME_NETWORKS_MAX {
            moderation.count_newcomer(address(number), 0);
        }
        assert!(moderation.check_newcomer(address(0), 0).is_ok(), "the first made room for the last");
        assert!(moderation.check_newcomer(address(1), 0).is_err());
        assert_eq!(moderation.newcomers.len(), NAME_NETWORKS_MAX);
    }
}
