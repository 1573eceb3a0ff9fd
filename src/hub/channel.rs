//! A channel: its ring, its subscribers in one dense array, its users, and how far a fan-out has come.
//!
//! It knows readers by number only; who they are and where they stand is in `reader`.
//!
//! ```text
//!   subscribers   r4  r9  r1  r7  r2  r8
//!                ╰─ visited ─╯▲
//!                            next          a publish now: again = true, so a second pass follows
//! ```
//!
//! Leaving swaps the last subscriber into the hole, in constant time. In a pass the last one has not been
//! visited yet, and a hole among the visited would hide it. So the hole is first moved to the border: the
//! last visited one fills it, the last of all fills the border, and the border steps back by one.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::ring::Ring;
use crate::account::{self, ALLOCATION_BYTES, Part};
use crate::limits::CHANNEL_NAME_BYTES_MAX;

/// Bytes counted for a user of a channel: its place in the map, and a name of usual length, which it shares
/// with its readers.
const USER_BYTES: usize = 128;

/// A reader as its channel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subscriber {
    /// Which reader.
    pub(super) reader: u32,
    /// Where in that reader's list of subscriptions this channel stands.
    pub(super) back: u32,
}

/// How far the fan-out of a channel has come.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// Whether the channel stands in the hub's queue of channels to be served soon, and in that of those that
    /// can wait. In the latter it may stand with nothing left to do, because the first one was faster.
    pub(super) in_urgent: bool,
    pub(super) in_late: bool,
    /// Subscribers are left to visit.
    pub(super) pending: bool,
    /// Something was published after this pass had begun.
    again: bool,
    /// The subscribers before this index were visited.
    next: usize,
}

impl Pass {
    fn is_queued(&self) -> bool {
        self.in_urgent || self.in_late
    }
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: Rc<str>,
    pub(super) ring: Ring,
    pub(super) subscribers: Vec<Subscriber>,
    /// Named users and how many subscribed readers each has. Ordered, so that lists of users are the same
    /// bytes in every run of a seed.
    pub(super) users: BTreeMap<Rc<str>, u32>,
    pub(super) pass: Pass,
    /// The floor it began with, when that was lent by the hub for want of a tombstone.
    lent_floor: u64,
}

impl Channel {
    /// `own` is the floor its tombstone remembered, `lent` the one for channels without a tombstone.
    pub(super) fn new(name: Rc<str>, own: Option<u64>, lent: u64) -> Channel {
        let channel = Channel {
            name,
            ring: Ring::new(own.unwrap_or(lent)),
            subscribers: Vec::new(),
            users: BTreeMap::new(),
            pass: Pass::default(),
            lent_floor: if own.is_some() { 0 } else { lent },
        };
        account::charge(Part::Channels, channel.held());
        channel
    }

    /// The one way to change what holds memory here: the account follows it.
    pub(super) fn change<T>(&mut self, how: impl FnOnce(&mut Channel) -> T) -> T {
        let before = self.held();
        let told = how(self);
        account::change(Part::Channels, before, self.held());
        told
    }

    /// Bytes beyond its place in the table and beyond its messages.
    pub(super) fn held(&self) -> usize {
        // Once for the channel and its index, and perhaps once for its stone.
        let name = self.name.len() + 2 * size_of::<usize>() + ALLOCATION_BYTES;
        let subscribers = self.subscribers.capacity() * size_of::<Subscriber>();
        name + subscribers + self.users.len() * USER_BYTES + self.ring.held()
    }

    /// Adds a subscriber at the end, where a pass under way will still find it. Its index.
    pub(super) fn attach(&mut self, subscriber: Subscriber) -> usize {
        self.change(|channel| {
            // In steps of an eighth, so that no single reader of many channels at once takes as much memory
            // as all that came before.
            let len = channel.subscribers.len();
            if len == channel.subscribers.capacity() {
                channel.subscribers.reserve_exact(len / 8 + 1);
            }
            channel.subscribers.push(subscriber);
        });
        self.subscribers.len() - 1
    }

    /// Removes a subscriber; see the top of this file. Tells the indexes at which another one now stands,
    /// whose way back has to be mended.
    pub(super) fn detach(&mut self, index: usize) -> [Option<usize>; 2] {
        self.change(|channel| channel.remove(index))
    }

    fn remove(&mut self, index: usize) -> [Option<usize>; 2] {
        let mut moved = [None; 2];
        let mut hole = index;
        if index < self.pass.next {
            self.pass.next -= 1;
            hole = self.pass.next;
            self.subscribers.swap(index, hole);
            moved[0] = (index != hole).then_some(index);
        }
        self.subscribers.swap_remove(hole);
        moved[1] = (hole < self.subscribers.len()).then_some(hole);
        // An emptied hall is given back, in steps that keep the cost of leaving constant.
        if self.subscribers.len() < self.subscribers.capacity() / 2 {
            self.subscribers.shrink_to(self.subscribers.len() + self.subscribers.len() / 4);
        }
        moved
    }

    /// Notes that something was published. Whether the channel must now be queued, among the urgent ones or
    /// among those that can wait.
    pub(super) fn mark(&mut self, is_urgent: bool) -> bool {
        if self.pass.pending {
            self.pass.again |= self.pass.next > 0;
        }
        self.pass.pending |= !self.subscribers.is_empty();
        if !self.pass.pending || self.pass.in_urgent {
            return false;
        }
        let queued = if is_urgent { &mut self.pass.in_urgent } else { &mut self.pass.in_late };
        !std::mem::replace(queued, true)
    }

    /// The next subscriber of the pass; None ends it, and the channel leaves the queue in which it was found.
    pub(super) fn step(&mut self, is_urgent: bool) -> Option<Subscriber> {
        if !self.pass.pending || self.pass.next >= self.subscribers.len() {
            self.pass.pending = self.pass.again && !self.subscribers.is_empty();
            (self.pass.again, self.pass.next) = (false, 0);
            if !self.pass.pending {
                *(if is_urgent { &mut self.pass.in_urgent } else { &mut self.pass.in_late }) = false;
                return None;
            }
        }
        let subscriber = self.subscribers[self.pass.next];
        self.pass.next += 1;
        Some(subscriber)
    }

    /// Nobody reads it, and nobody is about to be told of anything in it.
    pub(super) fn is_unread(&self) -> bool {
        self.subscribers.is_empty() && !self.pass.is_queued()
    }

    /// Nobody reads it and nothing in it would be missed, so it may be dropped. (A presence isn't missed;
    /// else every name ever subscribed to would stay for as long as its join and leave are kept.)
    pub(super) fn is_idle(&self) -> bool {
        self.is_unread() && self.ring.messages() == 0
    }

    /// Whether its floor must outlive it. A lent floor is lent again, which keeps those who subscribe to
    /// names at random from crowding out the stones that matter.
    pub(super) fn has_own_floor(&self) -> bool {
        self.ring.floor() > self.lent_floor
    }

    /// Panics unless the pass stands within its subscribers.
    pub(super) fn audit(&self) {
        assert!(self.pass.next <= self.subscribers.len());
        assert!(self.pass.pending || (self.pass.next == 0 && !self.pass.again));
        assert!(self.pass.is_queued() || !self.pass.pending);
        assert!(self.lent_floor <= self.ring.floor());
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        account::release(Part::Channels, self.held());
    }
}

/// What the wire surface promises of a name: 1 to 128 bytes, no control characters, none of `/ , ? #`.
pub fn is_name(name: &str) -> bool {
    let forbidden = |c: char| c.is_control() || matches!(c, '/' | ',' | '?' | '#');
    (1..=CHANNEL_NAME_BYTES_MAX).contains(&name.len()) && !name.contains(forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(readers: u32) -> Channel {
        let mut channel = Channel::new("a".into(), None, 0);
        for reader in 0..readers {
            channel.attach(Subscriber { reader, back: 0 });
        }
        channel
    }

    fn rest(channel: &mut Channel) -> Vec<u32> {
        std::iter::from_fn(|| channel.step(true).map(|s| s.reader)).collect()
    }

    #[test]
    fn detach_in_a_pass_hides_nobody() {
        for visited in 0..=6 {
            for gone in 0..6 {
                let mut channel = channel(6);
                assert!(channel.mark(true));
                let mut seen: Vec<_> = (0..visited).filter_map(|_| channel.step(true)).collect();
                for index in channel.detach(gone).into_iter().flatten() {
                    assert_ne!(channel.subscribers[index].reader, index as u32);
                }
                channel.audit();
                seen.retain(|s| s.reader != gone as u32);
                let mut all: Vec<_> = seen.iter().map(|s| s.reader).collect();
                all.extend(rest(&mut channel));
                all.sort_unstable();
                let expected: Vec<_> = (0..6).filter(|&r| r != gone as u32).collect();
                assert_eq!(all, expected, "visited {visited}, gone {gone}");
            }
        }
    }

    #[test]
    fn one_reader_more_never_takes_as_much_as_all_before() {
        let mut channel = channel(0);
        for reader in 0..20_000 {
            let before = channel.held();
            channel.attach(Subscriber { reader, back: 0 });
            let step = (channel.held() - before) / size_of::<Subscriber>();
            assert!(step <= channel.subscribers.len() / 8 + 1, "{step} for reader {reader}");
        }
        while channel.subscribers.len() > 1_000 {
            channel.detach(0);
        }
        assert!(channel.subscribers.capacity() <= 2_000, "{}", channel.subscribers.capacity());
    }

    #[test]
    fn mark_in_a_pass_leads_to_another() {
        let mut channel = channel(3);
        assert!(channel.mark(true));
        assert!(!channel.mark(true));
        channel.step(true);
        assert!(!channel.mark(true));
        assert_eq!(rest(&mut channel), [1, 2, 0, 1, 2]);
        assert!(channel.mark(true));
        assert_eq!(rest(&mut channel), [0, 1, 2]);
    }

    #[test]
    fn urgent_news_overtake_those_that_can_wait() {
        let mut channel = channel(2);
        assert!(channel.mark(false), "it is queued among those that can wait");
        assert!(!channel.mark(false));
        assert!(channel.mark(true), "and among the urgent ones");
        assert!(!channel.mark(false));
        assert_eq!(rest(&mut channel), [0, 1]);
        assert!(!channel.is_unread() && channel.pass.in_late, "it still stands in the other queue");
        assert_eq!(channel.step(false), None, "with nothing left to do");
        assert!(!channel.pass.in_late);
        channel.audit();
    }

    #[test]
    fn emptied_channel_leaves_the_queue() {
        let mut channel = channel(1);
        channel.mark(true);
        channel.step(true);
        channel.mark(true);
        channel.detach(0);
        assert!(!channel.is_idle());
        assert_eq!(channel.step(true), None);
        assert!(channel.is_idle());
        assert!(!channel.mark(true));
    }

    #[test]
    fn names_kept_and_refused() {
        for name in ["a", "@ann", "a b", "é", "%2F", &"x".repeat(128)] {
            assert!(is_name(name), "{name:?}");
        }
        let long = "x".repeat(129);
        for name in ["", "a/b", "a,b", "a?", "#a", "a\n", "\u{7f}", "\u{85}", &long] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
