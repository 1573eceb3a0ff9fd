//! Names: one person each, proved by a secret.
//!
//! It knows clients by their ids and nothing else of them. There are no accounts: whoever takes a free name
//! is given a secret for it, and whoever has the secret is that person, on this connection or another, in
//! this tab or a second one. A name that nobody uses stays its owner's until its place is needed.

use std::collections::{HashMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::entry::{CLIENT_BYTES, NICK_BYTES};
use super::looks::Looks;
use super::nick;
use crate::limits::{NAMES_MAX, NAMES_PER_CLIENT_MAX};
use crate::server::{ClientId, Refusal, same_bytes};

/// Bytes of a name's secret.
const SECRET_BYTES: usize = 15;

#[derive(Debug)]
struct Name {
    /// As its owner first wrote it. That is the name, for others and for the inbox.
    nick: String,
    secret: String,
    /// Clients that use it now.
    clients: usize,
    /// When it was last left, counted in leaves: which of its entries among the unused is the valid one.
    left: u64,
}

/// All names that were taken.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By their folded form: `Ann` and `ann` are the same person.
    taken: HashMap<String, Name>,
    looks: Looks,
    /// Names by when they were left, the longest unused first. An entry whose name was used again since, or
    /// left again, means nothing.
    unused: VecDeque<(u64, String)>,
    leaves: u64,
    of_client: HashMap<ClientId, Bearer>,
}

/// A client that has a name.
#[derive(Debug)]
struct Bearer {
    /// The name, folded.
    folded: String,
    /// Names that it was the first to take.
    first: usize,
}

impl Names {
    /// Whether a client may have a name: it is free, or the client has it, or shows its secret.
    ///
    /// # Errors
    /// It is somebody else's.
    pub(super) fn check_owner(
        &self,
        client: ClientId,
        nick: &str,
        secret: Option<&str>,
    ) -> Result<(), Refusal> {
        let folded = self.meant(nick);
        let Some(name) = self.taken.get(&folded) else { return Ok(()) };
        let is_owner = self.of_client.get(&client).is_some_and(|held| held.folded == folded)
            || secret.is_some_and(|secret| same_bytes(secret.as_bytes(), name.secret.as_bytes()));
        if is_owner {
            return Ok(());
        }
        let sentence = "Somebody else has this name, or one that looks like it; take another one.";
        Err(Refusal::new(409, "nick_taken", sentence))
    }

    /// Gives `nick` to a client; the answer is the secret that proves it, and the name that had to make room
    /// for it, if one had. A secret shown for a free name becomes that name's: a person's tabs that come back
    /// one by one after a restart must agree on it.
    ///
    /// # Errors
    /// The nick is none, is somebody else's, or there are too many.
    pub(super) fn take(
        &mut self,
        client: ClientId,
        nick: &str,
        secret: Option<&str>,
        mut random: impl FnMut(&mut [u8]),
    ) -> Result<Taken, Refusal> {
        nick::check(nick)?;
        let folded = self.meant(nick);
        let mut freed = None;
        let held = self.of_client.get(&client);
        let is_other = held.is_some_and(|held| held.folded != folded);
        let mut first = held.map_or(0, |held| held.first);
        let is_new = !self.taken.contains_key(&folded);
        if !is_new {
            self.check_owner(client, nick, secret)?;
        } else {
            if first == NAMES_PER_CLIENT_MAX {
                let sentence =
                    "You have had many names; go back to one of them, or come back as a new client.";
                return Err(Refusal::new(429, "too_many_names", sentence));
            }
            first += 1;
            freed = self.make_room()?;
            let secret = secret.filter(|secret| is_secret(secret)).map(str::to_owned);
            let secret = secret.unwrap_or_else(|| {
                let mut bytes = [0; SECRET_BYTES];
                random(&mut bytes);
                URL_SAFE_NO_PAD.encode(bytes)
            });
            self.looks.add(nick, &folded);
            self.taken.insert(folded.clone(), Name { nick: nick.to_owned(), secret, clients: 0, left: 0 });
        }
        // Whoever goes away keeps the name for the time after; whoever takes another has given it back.
        self.set_free(client, is_other);
        self.of_client.insert(client, Bearer { folded: folded.clone(), first });
        let Some(name) = self.taken.get_mut(&folded) else { unreachable!("it was put there just now") };
        name.clients += 1;
        Ok(Taken { nick: name.nick.clone(), secret: name.secret.clone(), is_new, freed })
    }

    /// A name as its owner spelled it, if it is somebody's, or looks like somebody's.
    pub(super) fn spelled(&self, nick: &str) -> Option<&str> {
        if nick::is_none(nick) {
            return None;
        }
        self.taken.get(&self.meant(nick)).map(|name| &*name.nick)
    }

    /// Whether a name is somebody's, in this very spelling.
    pub(super) fn is_spelled(&self, nick: &str) -> bool {
        !nick::is_none(nick) && self.taken.get(&nick::fold(nick)).is_some_and(|name| name.nick == nick)
    }

    /// The folded name that is meant by a nick: its own, or the one that it looks like.
    fn meant(&self, nick: &str) -> String {
        let folded = nick::fold(nick);
        if self.taken.contains_key(&folded) {
            return folded;
        }
        self.looks.find(nick).map_or(folded, str::to_owned)
    }

    /// Bytes of all of it, at most.
    pub(super) fn held(&self) -> usize {
        let taken = self.taken.len() * (4 * NICK_BYTES + 2 * size_of::<Name>());
        let clients = self.of_client.len() * (CLIENT_BYTES + NICK_BYTES);
        taken + clients + self.unused.len() * NICK_BYTES + self.looks.held()
    }

    /// The client uses its name no more. The answer is the name, if it had one.
    pub(super) fn leave(&mut self, client: ClientId) -> Option<String> {
        self.set_free(client, false)
    }

    /// Takes the name of a client back. Given up, its place is the first that is needed.
    fn set_free(&mut self, client: ClientId, is_given_up: bool) -> Option<String> {
        let folded = self.of_client.remove(&client)?.folded;
        let name = self.taken.get_mut(&folded)?;
        let nick = name.nick.clone();
        name.clients -= 1;
        if name.clients > 0 {
            return Some(nick);
        }
        self.leaves += 1;
        name.left = self.leaves;
        if is_given_up {
            self.unused.push_front((self.leaves, folded));
        } else {
            self.unused.push_back((self.leaves, folded));
        }
        // Names that come and go leave entries that mean nothing any more. Of the others there is one a name.
        if self.unused.len() > 2 * NAMES_MAX {
            let taken = &self.taken;
            self.unused.retain(|entry| is_unused(taken, entry));
        }
        Some(nick)
    }

    /// Frees the name that has been unused for longest, if there is no room for another.
    fn make_room(&mut self) -> Result<Option<String>, Refusal> {
        if self.taken.len() < NAMES_MAX {
            return Ok(None);
        }
        while let Some(entry) = self.unused.pop_front() {
            if is_unused(&self.taken, &entry) {
                let freed = self.taken.remove(&entry.1).map(|name| name.nick);
                if let Some(nick) = &freed {
                    self.looks.remove(nick, &entry.1);
                }
                return Ok(freed);
            }
        }
        let sentence = "So many people are here that no name is left; try again later.";
        Err(Refusal::new(503, "too_many_names", sentence).with_retry(60_000))
    }
}

/// What came of taking a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// The name as it is spelled.
    pub(super) nick: String,
    /// What proves it.
    pub(super) secret: String,
    /// Nobody had it.
    pub(super) is_new: bool,
    /// The name that is nobody's any more. What was kept for its owner must not be
    /// found by the next one.
    pub(super) freed: Option<String>,
}

fn is_unused(taken: &HashMap<String, Name>, (left, folded): &(u64, String)) -> bool {
    taken.get(folded).is_some_and(|name| name.clients == 0 && name.left == *left)
}

/// Whether that may be a secret from here, given before a restart: one of the same length and alphabet.
fn is_secret(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == SECRET_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> ClientId {
        ClientId::for_tests(number)
    }

    fn take(names: &mut Names, number: u32, nick: &str, secret: Option<&str>) -> Result<String, Refusal> {
        names.take(client(number), nick, secret, |bytes| bytes.fill(number as u8)).map(|taken| taken.secret)
    }

    #[test]
    fn nobody_takes_anothers_name() {
        let mut names = Names::default();
        let secret = take(&mut names, 1, "Ann", None).unwrap();
        assert_eq!(take(&mut names, 2, "ann", None).unwrap_err().code, "nick_taken");
        assert_eq!(take(&mut names, 2, "Ann", Some("guess")).unwrap_err().code, "nick_taken");
        assert_eq!(take(&mut names, 2, "Ann", Some(&secret)).unwrap(), secret, "a second tab of hers");
        assert_eq!(take(&mut names, 1, "Ann", None).unwrap(), secret, "she has it already");
    }

    #[test]
    fn nobody_takes_a_name_that_looks_like_anothers() {
        let mut names = Names::default();
        let secret = take(&mut names, 1, "Alice", None).unwrap();
        take(&mut names, 2, "Bob", None).unwrap();
        for twin in ["AIice", "A1ICE", "aIice", "B0b", "b0b", "B\u{585}b", "\u{13f4}ob"] {
            assert_eq!(take(&mut names, 3, twin, None).unwrap_err().code, "nick_taken", "{twin}");
        }
        assert_eq!(names.spelled("AIice"), Some("Alice"));
        assert!(names.is_spelled("Alice") && !names.is_spelled("AIice") && !names.is_spelled("alice"));
        assert_eq!(
            take(&mut names, 4, "AIice", Some(&secret)).unwrap(),
            secret,
            "her own hand, however read"
        );
        assert!(take(&mut names, 5, "Lia", None).is_ok() && take(&mut names, 6, "Ila", None).is_ok());
    }

    #[test]
    fn a_name_stays_its_owners_when_nobody_uses_it() {
        let mut names = Names::default();
        let secret = take(&mut names, 1, "Ann", None).unwrap();
        names.leave(client(1));
        assert!(take(&mut names, 2, "Ann", None).is_err());
        assert!(take(&mut names, 3, "Ann", Some(&secret)).is_ok());
    }

    #[test]
    fn two_tabs_are_still_one_person_after_a_restart() {
        let secret = take(&mut Names::default(), 1, "Ann", None).unwrap();
        let mut names = Names::default();
        assert_eq!(take(&mut names, 2, "Ann", Some(&secret)).unwrap(), secret);
        assert_eq!(take(&mut names, 3, "Ann", Some(&secret)).unwrap(), secret);
        let made = take(&mut names, 4, "Bob", Some("1234")).unwrap();
        assert!(made != "1234" && is_secret(&made), "what is no secret of ours does not become one");
    }

    #[test]
    fn the_longest_unused_name_makes_room() {
        let mut names = Names::default();
        for number in 0..NAMES_MAX as u32 {
            take(&mut names, number, &format!("n{number}"), None).unwrap();
        }
        assert_eq!(take(&mut names, u32::MAX, "late", None).unwrap_err().code, "too_many_names");
        names.leave(client(5));
        names.leave(client(6));
        let taken = names.take(client(u32::MAX), "late", None, |_| {}).unwrap();
        assert_eq!(taken.freed.as_deref(), Some("n5"));
        assert!(!names.taken.contains_key("n5") && names.taken.contains_key("n6"));
    }

    #[test]
    fn a_name_that_comes_and_goes_leaves_one_entry() {
        let mut names = Names::default();
        let secret = take(&mut names, 0, "quiet", None).unwrap();
        names.leave(client(0));
        let busy = take(&mut names, 1, "busy", None).unwrap();
        for _ in 0..2 * NAMES_MAX + 10 {
            names.leave(client(1));
            take(&mut names, 1, "busy", Some(&busy)).unwrap();
        }
        assert!(names.unused.len() <= 2 * NAMES_MAX);
        assert!(names.unused.iter().any(|(_, name)| name == "quiet"), "it can still be reclaimed");
        assert!(take(&mut names, 2, "quiet", Some(&secret)).is_ok());
    }

    #[test]
    fn names_given_up_for_another_go_first() {
        let mut names = Names::default();
        take(&mut names, 1, "away", None).unwrap();
        names.leave(client(1));
        for number in 0..NAMES_MAX as u32 - 3 {
            take(&mut names, 10 + number, &format!("n{number}"), None).unwrap();
        }
        for name in ["z0", "z1", "z2", "z3"] {
            take(&mut names, 2, name, None).unwrap();
        }
        assert!(names.spelled("away").is_some(), "a thief uses up the own names");
        assert!(names.spelled("z1").is_none() && names.spelled("z3").is_some());
    }

    #[test]
    fn a_client_takes_so_many_new_names_and_no_more() {
        let mut names = Names::default();
        let secret = take(&mut names, 1, "n0", None).unwrap();
        for number in 1..NAMES_PER_CLIENT_MAX {
            take(&mut names, 1, &format!("n{number}"), None).unwrap();
        }
        assert_eq!(take(&mut names, 1, "one more", None).unwrap_err().code, "too_many_names");
        assert!(take(&mut names, 1, "n0", Some(&secret)).is_ok(), "it is one of them");
        assert_eq!(take(&mut names, 1, "one more", None).unwrap_err().code, "too_many_names");
        assert!(take(&mut names, 2, "one more", None).is_ok());
    }
}
