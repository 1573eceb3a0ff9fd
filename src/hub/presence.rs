//! Presence: which users are in a channel, told as events that stand in the log among the messages.
//!
//! It counts readers by user and knows nothing of why they come or go; how long a user who polls is
//! present between two polls is for the caller, who keeps the reader for that long.
//!
//! ```text
//!   readers of ann     0 ──▶ 1 ──▶ 2 ──▶ 1 ──▶ 0
//!   told                 join               leave       a second tab is nobody's news
//! ```
//!
//! Readers without a name are counted as readers and tell nothing. In a channel of more than
//! `PRESENCE_TOLD_MAX` users no single event is told either: with n users coming and n users being told it
//! would be n² events, a storm at every restart. The list of users stays right all the same.

use std::rc::Rc;

use super::message::{Message, PresenceEvent};
use super::{ChannelId, Hub};

impl Hub {
    /// Tells the channel `name` of something its user did; None if there is no such channel, or too many
    /// are in it. The caller may announce anything; only subscribing and leaving change the list of users.
    pub fn announce(&mut self, name: &str, user: &str, event: PresenceEvent) -> Option<Rc<Message>> {
        let id = *self.names.get(name)? as usize;
        self.tell(id, user, event)
    }

    /// The users of a channel with the number of readers each has, in order of their names.
    pub fn users(&self, channel: ChannelId) -> impl Iterator<Item = (&str, u32)> {
        let channel = self.channels.get(channel.index());
        let users = channel.into_iter().flat_map(|c| &c.users);
        users.map(|(user, readers)| (&**user, *readers))
    }

    pub(super) fn enter(&mut self, id: usize, user: &Rc<str>) {
        let readers = self.channels[id].change(|channel| {
            let readers = channel.users.entry(user.clone()).or_insert(0);
            *readers += 1;
            *readers
        });
        if readers == 1 {
            self.tell(id, user, PresenceEvent::Join);
        }
    }

    pub(super) fn exit(&mut self, id: usize, user: &Rc<str>) {
        let channel = &mut self.channels[id];
        let Some(readers) = channel.users.get_mut(user) else { return };
        *readers -= 1;
        if *readers == 0 {
            channel.change(|channel| channel.users.remove(user));
            self.tell(id, user, PresenceEvent::Leave);
        }
    }

    /// `count` in the event is the number of users after it. Who leaves is still counted to the crowd, so
    /// that a join and its leave are both told or both not.
    fn tell(&mut self, id: usize, user: &str, event: PresenceEvent) -> Option<Rc<Message>> {
        let channel = &self.channels[id];
        let count = channel.users.len();
        let crowd = count + usize::from(event == PresenceEvent::Leave);
        if crowd > self.bounds.presence_told {
            return None;
        }
        let name = channel.name.clone();
        let stamp = self.stamp();
        let message = Rc::new(Message::presence(stamp, &name, event, user, count));
        self.put(id, message.clone());
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Bounds, Item, ReaderId, Start};
    use super::*;
    use crate::limits::PRESENCE_TOLD_MAX;

    fn reader(hub: &mut Hub, user: Option<&str>) -> ReaderId {
        let reader = hub.join().expect("joined");
        hub.name(reader, user.map(Rc::from));
        hub.subscribe(reader, "a", Start::Now).expect("subscribed");
        reader
    }

    /// What the watcher is told: event, user and count of each presence.
    fn told(hub: &mut Hub, watcher: ReaderId) -> Vec<String> {
        hub.audit();
        let mut out = Vec::new();
        assert!(!hub.take(watcher, usize::MAX, &mut out));
        let text = |item: &Item| match item {
            Item::Message(message) => {
                let json = String::from_utf8_lossy(message.json()).into_owned();
                let part = |name| json.split(name).nth(1).and_then(|s| s.split(['"', ',']).next());
                let event = part("\"event\":\"").unwrap_or("?");
                let user = part("\"user\":\"").unwrap_or("?");
                let count = part("\"count\":").unwrap_or("?");
                format!("{event} {user} {count}")
            }
            Item::Gap { .. } => "gap".to_owned(),
        };
        out.iter().map(text).collect()
    }

    #[test]
    fn second_tab_is_no_news() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        let watcher = reader(&mut hub, None);
        let first = reader(&mut hub, Some("ann"));
        let second = reader(&mut hub, Some("ann"));
        reader(&mut hub, Some("bob"));
        assert_eq!(told(&mut hub, watcher), ["join ann 1", "join bob 2"]);
        assert_eq!(told(&mut hub, first), ["join ann 1", "join bob 2"]);
        let channel = hub.find("a").expect("open");
        let users: Vec<_> = hub.users(channel).collect();
        assert_eq!(users, [("ann", 2), ("bob", 1)]);
        assert_eq!(hub.channel(channel).map(|c| (c.readers, c.users)), Some((4, 2)));
        hub.leave(first);
        assert!(told(&mut hub, watcher).is_empty());
        assert!(hub.unsubscribe(second, "a"));
        assert!(!hub.unsubscribe(second, "a"));
        assert_eq!(told(&mut hub, watcher), ["leave ann 1"]);
    }

    #[test]
    fn login_and_logout_in_a_channel() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        let watcher = reader(&mut hub, None);
        let ann = reader(&mut hub, None);
        assert!(told(&mut hub, watcher).is_empty());
        hub.name(ann, Some("ann".into()));
        hub.name(ann, Some("ann".into()));
        hub.name(ann, Some("anna".into()));
        assert_eq!(told(&mut hub, watcher), ["join ann 1", "leave ann 0", "join anna 1"]);
        assert_eq!(hub.user(ann).map(|u| &**u), Some("anna"));
        hub.name(ann, None);
        assert_eq!(told(&mut hub, watcher), ["leave anna 0"]);
    }

    #[test]
    fn announce_changes_no_list() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        let watcher = reader(&mut hub, None);
        reader(&mut hub, Some("ann"));
        assert!(hub.announce("b", "ann", PresenceEvent::Away).is_none());
        assert!(hub.announce("a", "ann", PresenceEvent::Away).is_some());
        assert_eq!(told(&mut hub, watcher), ["join ann 1", "away ann 1"]);
    }

    #[test]
    fn crowd_is_not_told_of_each_one() {
        let bounds = Bounds { presence_told: 2, ..Bounds::default() };
        let mut hub = Hub::new(1, [7; 16], bounds);
        let watcher = reader(&mut hub, None);
        let users = ["ann", "bob", "cyd"].map(|user| reader(&mut hub, Some(user)));
        assert_eq!(told(&mut hub, watcher), ["join ann 1", "join bob 2"]);
        hub.leave(users[0]);
        assert!(told(&mut hub, watcher).is_empty());
        hub.leave(users[1]);
        assert_eq!(told(&mut hub, watcher), ["leave bob 1"]);
    }
    #[test]
    fn so_many_are_told_one_by_one() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        let watcher = reader(&mut hub, None);
        let mut join = |number: usize| {
            let last = reader(&mut hub, Some(&format!("n{number}")));
            (last, told(&mut hub, watcher))
        };
        for number in 1..=PRESENCE_TOLD_MAX {
            assert_eq!(join(number).1, [format!("join n{number} {number}")]);
        }
        let (last, told_of) = join(PRESENCE_TOLD_MAX + 1);
        assert!(told_of.is_empty(), "{told_of:?}");
        let channel = hub.find("a").expect("open");
        assert_eq!(hub.users(channel).count(), PRESENCE_TOLD_MAX + 1, "the list is right all the same");
        hub.leave(last);
        assert!(told(&mut hub, watcher).is_empty(), "who was not told of coming is not told of going");
    }
}
