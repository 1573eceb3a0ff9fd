//! People: who is here, with which clients, looking or away.
//!
//! It knows nicks, clients and times, and no channel. A person is here with one client for each tab and each
//! device, and is away only when none of them is being looked at. Who goes and comes back in one moment was
//! never away: after one change was told, the next is looked at when `AWAY_MS` have passed, and told if it
//! still is one.
//!
//! ```text
//!   tabs of ann       looked at     hidden      hidden
//!                         │            │           │
//!   hides the first       └─► away     │           │     ann is away
//!   closes the second                  └─► gone    │     still away
//!   opens a third                            looked at   ann is back
//! ```

use std::collections::{BTreeMap, VecDeque};

use super::entry::{ALLOCATION_BYTES, NICK_BYTES};
use crate::limits::{AWAY_MS, TABS_MAX};
use crate::server::{ClientId, Refusal};

/// One client of a person.
#[derive(Debug)]
struct Tab {
    client: ClientId,
    is_away: bool,
}

/// A person who is here.
#[derive(Debug, Default)]
pub(super) struct Person {
    tabs: Vec<Tab>,
    /// The hue that they chose for their avatar, in degrees.
    pub(super) avatar: Option<u16>,
    /// What the others were told last, and when.
    pub(super) is_away: bool,
    told_at: Option<u64>,
    /// It is in the queue of those who are looked at later.
    is_waiting: bool,
}

/// What a change means to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing.
    None,
    /// Away from now on, or back.
    Told(bool),
    /// Perhaps something, when [`AWAY_MS`] have passed: [`People::look_later`] will tell.
    Later,
}

impl Person {
    /// The clients, in the order in which they came.
    pub(super) fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.tabs.iter().map(|tab| tab.client)
    }

    /// What is to be told to the others, if anything has changed for them.
    fn news(&mut self, now: u64) -> News {
        let is_away = !self.tabs.is_empty() && self.tabs.iter().all(|tab| tab.is_away);
        if is_away == self.is_away || self.is_waiting {
            return News::None;
        }
        if self.told_at.is_some_and(|at| now < at + AWAY_MS) {
            self.is_waiting = true;
            return News::Later;
        }
        (self.is_away, self.told_at) = (is_away, Some(now));
        News::Told(is_away)
    }
}

/// All who are here, in order of their nicks.
#[derive(Debug, Default)]
pub(super) struct People {
    here: BTreeMap<String, Person>,
    /// Those who are looked at later, in the order of their times: each waits equally long.
    waiting: VecDeque<String>,
}

impl People {
    /// Whether a client more may use that nick.
    ///
    /// # Errors
    /// So many do that it can only be a mistake.
    pub(super) fn admit(&self, nick: &str, client: ClientId) -> Result<(), Refusal> {
        let tabs = self.here.get(nick).map_or(&[][..], |person| &person.tabs);
        if tabs.len() < TABS_MAX || tabs.iter().any(|tab| tab.client == client) {
            return Ok(());
        }
        let sentence = format!("This name is in use {TABS_MAX} times; close some of its tabs.");
        Err(Refusal::new(409, "too_many_tabs", sentence))
    }

    /// A client is that person from now on. Who was away is back, perhaps: then that is the answer.
    pub(super) fn enter(&mut self, nick: &str, client: ClientId, avatar: Option<u16>, now: u64) -> News {
        let person = self.here.entry(nick.to_owned()).or_default();
        if !person.tabs.iter().any(|tab| tab.client == client) {
            person.tabs.push(Tab { client, is_away: false });
        }
        person.avatar = avatar.or(person.avatar);
        self.news(nick, now)
    }

    /// A client is that person no more. If only clients are left that nobody looks at, the answer says that
    /// the person is away.
    pub(super) fn leave(&mut self, nick: &str, client: ClientId, now: u64) -> News {
        let Some(person) = self.here.get_mut(nick) else { return News::None };
        person.tabs.retain(|tab| tab.client != client);
        if person.tabs.is_empty() {
            self.here.remove(nick);
            return News::None;
        }
        self.news(nick, now)
    }

    /// A client is looked at no more, or again. The answer is what that changes for the others: away or not.
    pub(super) fn set_away(&mut self, nick: &str, client: ClientId, is_away: bool, now: u64) -> News {
        let tabs = self.here.get_mut(nick).into_iter().flat_map(|person| &mut person.tabs);
        match tabs.into_iter().find(|tab| tab.client == client) {
            Some(tab) => tab.is_away = is_away,
            None => return News::None,
        }
        self.news(nick, now)
    }

    fn news(&mut self, nick: &str, now: u64) -> News {
        let news = self.here.get_mut(nick).map_or(News::None, |person| person.news(now));
        if news == News::Later {
            self.waiting.push_back(nick.to_owned());
        }
        news
    }

    /// [`AWAY_MS`] have passed since an answer was [`News::Later`]: whose it was, and what it is by now. Each
    /// of them is to be asked for once.
    pub(super) fn look_later(&mut self, now: u64) -> Option<(String, News)> {
        let nick = self.waiting.pop_front()?;
        if let Some(person) = self.here.get_mut(&nick) {
            person.is_waiting = false;
        }
        let news = self.news(&nick, now);
        Some((nick, news))
    }

    /// Somebody who is here.
    pub(super) fn find(&self, nick: &str) -> Option<&Person> {
        self.here.get(nick)
    }

    /// All who are here.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Person)> {
        self.here.iter().map(|(nick, person)| (&**nick, person))
    }

    /// Bytes of all of it, at most, where everybody has the usual few tabs.
    pub(super) fn held(&self) -> usize {
        self.here.len() * (NICK_BYTES + size_of::<Person>() + 4 * size_of::<Tab>() + ALLOCATION_BYTES)
    }

    /// How many are here.
    pub(super) fn len(&self) -> usize {
        self.here.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> ClientId {
        ClientId::for_tests(number)
    }

    #[test]
    fn away_is_when_nobody_looks_at_any_tab() {
        let mut people = People::default();
        let mut now = (1..).map(|step| step * AWAY_MS);
        let mut now = || now.next().unwrap();
        assert_eq!(people.enter("ann", client(1), None, now()), News::None);
        assert_eq!(people.enter("ann", client(2), Some(9), now()), News::None);
        assert_eq!(people.set_away("ann", client(1), true, now()), News::None, "the second is looked at");
        assert_eq!(people.set_away("ann", client(2), true, now()), News::Told(true));
        assert_eq!(people.set_away("ann", client(2), true, now()), News::None, "no news");
        assert_eq!(people.enter("ann", client(3), None, now()), News::Told(false), "a new tab is looked at");
        assert_eq!(people.leave("ann", client(3), now()), News::Told(true), "those that are left are not");
        assert_eq!(people.set_away("ann", client(1), false, now()), News::Told(false));
        assert_eq!(people.find("ann").and_then(|ann| ann.avatar), Some(9));
        assert_eq!(people.leave("ann", client(2), now()), News::None);
        assert_eq!(people.leave("ann", client(1), now()), News::None);
        assert_eq!(people.len(), 0);
    }

    #[test]
    fn who_goes_and_comes_in_one_moment_was_never_away() {
        let mut people = People::default();
        people.enter("ann", client(1), None, 0);
        assert_eq!(people.set_away("ann", client(1), true, 10), News::Told(true), "the first at once");
        assert_eq!(people.set_away("ann", client(1), false, 11), News::Later);
        for step in 0..100 {
            assert_eq!(people.set_away("ann", client(1), step % 2 == 0, 12), News::None, "asked for once");
        }
        assert_eq!(people.look_later(11 + AWAY_MS), Some(("ann".to_owned(), News::Told(false))));
        assert_eq!(people.set_away("ann", client(1), true, 12 + AWAY_MS), News::Later);
        assert_eq!(people.set_away("ann", client(1), false, 13 + AWAY_MS), News::None);
        assert_eq!(people.look_later(12 + 2 * AWAY_MS), Some(("ann".to_owned(), News::None)), "as it was");
        assert_eq!(people.set_away("ann", client(1), true, 12 + 2 * AWAY_MS), News::Told(true));
        assert_eq!(people.set_away("ann", client(1), false, 12 + 2 * AWAY_MS), News::Later);
        people.leave("ann", client(1), 12 + 2 * AWAY_MS);
        assert_eq!(people.look_later(12 + 3 * AWAY_MS), Some(("ann".to_owned(), News::None)), "she has gone");
        assert_eq!(people.look_later(12 + 3 * AWAY_MS), None);
    }

    #[test]
    fn strangers_change_nothing() {
        let mut people = People::default();
        people.enter("ann", client(1), None, 0);
        assert_eq!(people.set_away("ann", client(2), true, 0), News::None);
        assert_eq!(people.set_away("bob", client(1), true, 0), News::None);
        assert_eq!(people.leave("bob", client(1), 0), News::None);
        assert_eq!(people.find("ann").map(|ann| ann.clients().count()), Some(1));
    }

    #[test]
    fn a_name_has_so_many_tabs_and_no_more() {
        let mut people = People::default();
        for number in 0..TABS_MAX as u32 {
            assert!(people.admit("ann", client(number)).is_ok());
            people.enter("ann", client(number), None, 0);
        }
        assert!(people.admit("ann", client(0)).is_ok(), "it is one of them");
        assert_eq!(people.admit("ann", client(u32::MAX)).unwrap_err().code, "too_many_tabs");
        assert!(people.admit("bob", client(u32::MAX)).is_ok());
    }
}
