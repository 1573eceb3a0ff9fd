//! People: who is here, with which clients, looking or away.
//!
//! It knows nicks and clients, and no channel. A person is here with one client for each tab and each device,
//! and is away only when none of them is being looked at.
//!
//! ```text
//!   tabs of ann       looked at     hidden      hidden
//!                         │            │           │
//!   hides the first       └─► away     │           │     ann is away
//!   closes the second                  └─► gone    │     still away
//!   opens a third                            looked at   ann is back
//! ```

use std::collections::BTreeMap;

use crate::limits::TABS_MAX;
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
    /// What the others were told last.
    pub(super) is_away: bool,
}

impl Person {
    /// The clients, in the order in which they came.
    pub(super) fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.tabs.iter().map(|tab| tab.client)
    }

    /// What is to be told to the others, if anything has changed for them.
    fn news(&mut self) -> Option<bool> {
        let is_away = !self.tabs.is_empty() && self.tabs.iter().all(|tab| tab.is_away);
        (std::mem::replace(&mut self.is_away, is_away) != is_away).then_some(is_away)
    }
}

/// All who are here, in order of their nicks.
#[derive(Debug, Default)]
pub(super) struct People {
    here: BTreeMap<String, Person>,
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
    pub(super) fn enter(&mut self, nick: &str, client: ClientId, avatar: Option<u16>) -> Option<bool> {
        let person = self.here.entry(nick.to_owned()).or_default();
        if !person.tabs.iter().any(|tab| tab.client == client) {
            person.tabs.push(Tab { client, is_away: false });
        }
        person.avatar = avatar.or(person.avatar);
        person.news()
    }

    /// A client is that person no more. If only clients are left that nobody looks at, the answer says that
    /// the person is away.
    pub(super) fn leave(&mut self, nick: &str, client: ClientId) -> Option<bool> {
        let person = self.here.get_mut(nick)?;
        person.tabs.retain(|tab| tab.client != client);
        if person.tabs.is_empty() {
            self.here.remove(nick);
            return None;
        }
        person.news()
    }

    /// A client is looked at no more, or again. The answer is what that changes for the others: away or not.
    pub(super) fn set_away(&mut self, nick: &str, client: ClientId, is_away: bool) -> Option<bool> {
        let person = self.here.get_mut(nick)?;
        let tab = person.tabs.iter_mut().find(|tab| tab.client == client)?;
        tab.is_away = is_away;
        person.news()
    }

    /// Somebody who is here.
    pub(super) fn find(&self, nick: &str) -> Option<&Person> {
        self.here.get(nick)
    }

    /// All who are here.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Person)> {
        self.here.iter().map(|(nick, person)| (&**nick, person))
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
        assert_eq!(people.enter("ann", client(1), None), None);
        assert_eq!(people.enter("ann", client(2), Some(9)), None);
        assert_eq!(people.set_away("ann", client(1), true), None, "the second is looked at");
        assert_eq!(people.set_away("ann", client(2), true), Some(true));
        assert_eq!(people.set_away("ann", client(2), true), None, "no news");
        assert_eq!(people.enter("ann", client(3), None), Some(false), "a new tab is looked at");
        assert_eq!(people.leave("ann", client(3)), Some(true), "those that are left are not");
        assert_eq!(people.set_away("ann", client(1), false), Some(false));
        assert_eq!(people.find("ann").and_then(|ann| ann.avatar), Some(9));
        assert_eq!(people.leave("ann", client(2)), None);
        assert_eq!(people.leave("ann", client(1)), None);
        assert_eq!(people.len(), 0);
    }

    #[test]
    fn strangers_change_nothing() {
        let mut people = People::default();
        people.enter("ann", client(1), None);
        assert_eq!(people.set_away("ann", client(2), true), None);
        assert_eq!(people.set_away("bob", client(1), true), None);
        assert_eq!(people.leave("bob", client(1)), None);
        assert_eq!(people.find("ann").map(|ann| ann.clients().count()), Some(1));
    }

    #[test]
    fn a_name_has_so_many_tabs_and_no_more() {
        let mut people = People::default();
        for number in 0..TABS_MAX as u32 {
            assert!(people.admit("ann", client(number)).is_ok());
            people.enter("ann", client(number), None);
        }
        assert!(people.admit("ann", client(0)).is_ok(), "it is one of them");
        assert_eq!(people.admit("ann", client(u32::MAX)).unwrap_err().code, "too_many_tabs");
        assert!(people.admit("bob", client(u32::MAX)).is_ok());
    }
}
