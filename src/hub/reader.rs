//! Readers: who reads which channels, and from where on.
//!
//! A reader is whatever the caller makes of it, a connection or a client that polls; this file knows a list
//! of subscriptions, a position in each, and a user's name if there is one.
//!
//! ```text
//!   Reader 4                               Channel 0 "lobby"
//!     subscriptions                          subscribers
//!       0  channel 2, index 0, position 31     0  reader 9, back 0
//!       1  channel 0, index 1, position 40     1  reader 4, back 1   ── each knows where the other is
//! ```
//!
//! Both ends are removed by swapping, so joining and leaving a channel costs the same in a crowd. An idle
//! reader is forty bytes and one entry in one array: most have one subscription, and that needs no list.

use std::rc::Rc;

use super::channel::Subscriber;
use super::{ChannelId, Hub, ReaderId, Refusal, Start, number};
use crate::account::{self, ALLOCATION_BYTES, Part};
use crate::limits::MEMORY_WEIGHED_MAX;

/// One channel of a reader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscription {
    pub(super) channel: u32,
    /// Where in the channel's subscribers the reader stands.
    pub(super) index: u32,
    /// All of the channel up to this number was delivered, told as a gap, or not asked for.
    pub(super) position: u64,
}

/// The channels of a reader: none, one in place, or more in a list.
#[derive(Debug, Default)]
pub(super) enum Subscriptions {
    #[default]
    None,
    One(Subscription),
    Many(Vec<Subscription>),
}

/// See the top of this file.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) subscriptions: Subscriptions,
    pub(super) user: Option<Rc<str>>,
}

const _: () = assert!(size_of::<Reader>() <= 40);

impl Reader {
    /// The one way to change what holds memory here: the account follows it.
    fn change<T>(&mut self, how: impl FnOnce(&mut Reader) -> T) -> T {
        let before = self.held();
        let told = how(self);
        account::change(Part::Channels, before, self.held());
        told
    }

    /// Bytes beyond its place in the table.
    pub(super) fn held(&self) -> usize {
        let list = match &self.subscriptions {
            Subscriptions::None | Subscriptions::One(_) => 0,
            Subscriptions::Many(list) => list.capacity() * size_of::<Subscription>() + ALLOCATION_BYTES,
        };
        let user = |user: &Rc<str>| user.len() + 2 * size_of::<usize>() + ALLOCATION_BYTES;
        list + self.user.as_ref().map_or(0, user)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        account::release(Part::Channels, self.held());
    }
}

impl Subscriptions {
    fn push(&mut self, subscription: Subscription) {
        match self {
            Subscriptions::None => *self = Subscriptions::One(subscription),
            Subscriptions::One(first) => {
                *self = Subscriptions::Many(vec![*first, subscription]);
            }
            Subscriptions::Many(list) => list.push(subscription),
        }
    }

    /// Removes the one at `place`; the last one takes it.
    fn swap_remove(&mut self, place: usize) -> Subscription {
        let gone = self.as_slice()[place];
        match self {
            Subscriptions::None | Subscriptions::One(_) => *self = Subscriptions::None,
            Subscriptions::Many(list) => {
                list.swap_remove(place);
                if let [last] = list[..] {
                    *self = Subscriptions::One(last);
                } else if list.len() < list.capacity() / 4 {
                    list.shrink_to(list.len() * 2);
                }
            }
        }
        gone
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Subscription] {
        match self {
            Subscriptions::None => &mut [],
            Subscriptions::One(only) => std::slice::from_mut(only),
            Subscriptions::Many(list) => list,
        }
    }

    pub(super) fn as_slice(&self) -> &[Subscription] {
        match self {
            Subscriptions::None => &[],
            Subscriptions::One(only) => std::slice::from_ref(only),
            Subscriptions::Many(list) => list,
        }
    }

    /// Linear, but in a list of at most `SUBSCRIPTIONS_MAX`.
    fn place_of(&self, channel: usize) -> Option<usize> {
        let is_it = |s: &Subscription| s.channel as usize == channel;
        self.as_slice().iter().position(is_it)
    }
}

/// Every method that takes a `ReaderId` panics if that reader has left: the caller owns its readers, so
/// no peer can bring that about.
impl Hub {
    /// A new reader, without a name, that reads nothing yet.
    pub fn join(&mut self) -> Result<ReaderId, Refusal> {
        if self.readers.len() >= self.bounds.readers {
            return Err(Refusal::TooManyReaders);
        }
        Ok(ReaderId(number(self.readers.insert(Reader::default()))))
    }

    /// Ends a reader and all its subscriptions. Its id may be given again.
    pub fn leave(&mut self, reader: ReaderId) {
        while let Some(last) = self.reader(reader).subscriptions.as_slice().len().checked_sub(1) {
            self.detach(reader, last);
        }
        self.readers.remove(reader.index());
    }

    /// The same where memory is short: channels that keep nothing and that nobody else reads go with it, and
    /// not only when they are swept.
    pub fn evict(&mut self, reader: ReaderId) {
        let channels: Vec<ChannelId> = self.subscriptions(reader).collect();
        self.leave(reader);
        for id in channels {
            if self.channels[id.index()].is_idle() {
                self.drop_channel(id.index());
            }
        }
    }

    /// What the end of a reader would free: its own bytes, and its share of those of the channels that it
    /// reads. Of many channels only some are looked at.
    #[must_use]
    pub fn weight(&self, reader: ReaderId) -> usize {
        let reader = self.reader(reader);
        let list = reader.subscriptions.as_slice();
        let step = list.len().div_ceil(MEMORY_WEIGHED_MAX).max(1);
        let share = |subscription: &Subscription| {
            let channel = &self.channels[subscription.channel as usize];
            channel.held() / channel.subscribers.len().max(1)
        };
        reader.held() + step * list.iter().step_by(step).map(share).sum::<usize>()
    }

    /// Subscribes to the channel `name`, which is opened if need be, or moves to `start` where it is
    /// subscribed to already. The fan-out tells a reader what is published from now on; what lies before
    /// that, if `start` reaches back, is the caller's to `take`.
    pub fn subscribe(&mut self, reader: ReaderId, name: &str, start: Start) -> Result<ChannelId, Refusal> {
        let known = self.slot_of(name);
        let subscriptions = &self.reader(reader).subscriptions;
        if let Some(id) = known
            && let Some(place) = subscriptions.place_of(id)
        {
            let position = self.start_position(id, start);
            self.readers[reader.index()].subscriptions.as_mut_slice()[place].position = position;
            return Ok(ChannelId(number(id)));
        }
        if subscriptions.as_slice().len() >= self.bounds.subscriptions {
            return Err(Refusal::TooManySubscriptions);
        }
        let id = known.map_or_else(|| self.open(name), Ok)?;
        self.attach(reader, id, start);
        Ok(ChannelId(number(id)))
    }

    /// Whether the reader was subscribed to `name` until now.
    pub fn unsubscribe(&mut self, reader: ReaderId, name: &str) -> bool {
        let id = self.slot_of(name);
        let subscriptions = &self.reader(reader).subscriptions;
        match id.and_then(|id| subscriptions.place_of(id)) {
            Some(place) => {
                self.detach(reader, place);
                true
            }
            None => false,
        }
    }

    /// Where a reader stands in one channel: it was told of all that the channel had up to this number, or
    /// did not ask for it. None if it doesn't read that channel.
    #[must_use]
    pub fn position_in(&self, reader: ReaderId, name: &str) -> Option<u64> {
        let subscriptions = &self.reader(reader).subscriptions;
        let place = subscriptions.place_of(self.slot_of(name)?)?;
        Some(subscriptions.as_slice()[place].position)
    }

    /// Moves all subscriptions of a reader to `start`.
    pub fn seek(&mut self, reader: ReaderId, start: Start) {
        for place in 0..self.reader(reader).subscriptions.as_slice().len() {
            let id = self.reader(reader).subscriptions.as_slice()[place].channel;
            let position = self.start_position(id as usize, start);
            self.readers[reader.index()].subscriptions.as_mut_slice()[place].position = position;
        }
    }

    /// Says who reads: a user from now on present in the reader's channels, or nobody in particular.
    pub fn name(&mut self, reader: ReaderId, user: Option<Rc<str>>) {
        let old = self.reader(reader).user.clone();
        if old == user {
            return;
        }
        for place in 0..self.reader(reader).subscriptions.as_slice().len() {
            let id = self.reader(reader).subscriptions.as_slice()[place].channel as usize;
            if let Some(old) = &old {
                self.exit(id, old);
            }
            if let Some(user) = &user {
                self.enter(id, user);
            }
        }
        self.readers[reader.index()].change(|reader| reader.user = user);
    }

    /// The channels of a reader, in no particular order.
    pub fn subscriptions(&self, reader: ReaderId) -> impl Iterator<Item = ChannelId> + '_ {
        let list = self.reader(reader).subscriptions.as_slice();
        list.iter().map(|s| ChannelId(s.channel))
    }

    /// The user a reader reads for.
    #[must_use]
    pub fn user(&self, reader: ReaderId) -> Option<&Rc<str>> {
        self.reader(reader).user.as_ref()
    }

    /// Whether that reader has joined, and not left.
    #[must_use]
    pub fn is_joined(&self, reader: ReaderId) -> bool {
        self.readers.contains(reader.index())
    }

    /// Readers joined.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.readers.len()
    }

    pub(super) fn reader(&self, reader: ReaderId) -> &Reader {
        &self.readers[reader.index()]
    }

    /// The subscription comes first and the news of it after, so that a user sees its own coming in its
    /// place among everybody else's.
    fn attach(&mut self, reader: ReaderId, id: usize, start: Start) {
        let position = self.start_position(id, start);
        let slot = &mut self.readers[reader.index()];
        let index = self.channels[id]
            .attach(Subscriber { reader: reader.0, back: number(slot.subscriptions.as_slice().len()) });
        let subscription = Subscription { channel: number(id), index: number(index), position };
        slot.change(|reader| reader.subscriptions.push(subscription));
        if let Some(user) = slot.user.clone() {
            self.enter(id, &user);
        }
    }

    /// Takes both ends of a subscription away, and mends the other end of whatever moved into the holes.
    fn detach(&mut self, reader: ReaderId, place: usize) {
        let slot = &mut self.readers[reader.index()];
        let gone = slot.change(|reader| reader.subscriptions.swap_remove(place));
        let user = slot.user.clone();
        if let Some(moved) = slot.subscriptions.as_slice().get(place) {
            let channel = &mut self.channels[moved.channel as usize];
            channel.subscribers[moved.index as usize].back = number(place);
        }
        let id = gone.channel as usize;
        let channel = &mut self.channels[id];
        for index in channel.detach(gone.index as usize).into_iter().flatten() {
            let Subscriber { reader, back } = channel.subscribers[index];
            let list = self.readers[reader as usize].subscriptions.as_mut_slice();
            list[back as usize].index = number(index);
        }
        if let Some(user) = user {
            self.exit(id, &user);
        }
    }

    /// A number beyond the head can only come from garbage, for a restart has a new epoch. Taken as it is it
    /// would silence the channel until the head has passed it.
    fn start_position(&self, id: usize, start: Start) -> u64 {
        let head = self.log.head();
        match start {
            Start::Now => head,
            Start::Since(seq) => seq.min(head),
            Start::Last(n) => self.channels[id].ring.before_last(n).unwrap_or(head),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bounds;
    use super::*;

    #[test]
    fn list_shrinks_back_into_its_reader() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        let reader = hub.join().expect("joined");
        for name in ["a", "b", "c"] {
            hub.subscribe(reader, name, Start::Now).expect("subscribed");
        }
        let list = &hub.reader(reader).subscriptions;
        assert!(matches!(list, Subscriptions::Many(_)));
        for (name, left) in [("a", 2), ("c", 1), ("b", 0)] {
            assert!(hub.unsubscribe(reader, name));
            assert_eq!(hub.subscriptions(reader).count(), left);
            hub.audit();
            let list = &hub.reader(reader).subscriptions;
            assert_eq!(matches!(list, Subscriptions::One(_)), left == 1);
        }
        assert!(matches!(hub.reader(reader).subscriptions, Subscriptions::None));
    }

    #[test]
    fn readers_weigh_what_their_end_frees() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        let ids: Vec<ReaderId> = (0..10).map(|_| hub.join().expect("joined")).collect();
        for (number, reader) in ids.iter().enumerate() {
            for place in 0..MEMORY_WEIGHED_MAX * 5 / 2 {
                let name = if number < 9 { format!("all-{place:02}") } else { format!("one-{place:02}") };
                hub.subscribe(*reader, &name, Start::Now).expect("subscribed");
            }
        }
        let (alone, shared) = (hub.weight(ids[9]), hub.weight(ids[0]));
        assert!(shared < alone * 2 / 3, "{shared} beside {alone}");
        let before = account::held(Part::Channels);
        hub.evict(ids[9]);
        hub.audit();
        let freed = before - account::held(Part::Channels);
        assert!(alone.abs_diff(freed) < freed / 4, "{alone} for {freed}");
        hub.publish("all-00", None, b"1").expect("published");
        while hub.next_due().is_some() {}
        ids[..9].iter().for_each(|reader| hub.evict(*reader));
        hub.audit();
        assert_eq!(hub.channels().count(), 1, "what keeps a message stays");
    }

    #[test]
    fn leave_frees_every_channel_of_a_reader() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        let (first, second) = (hub.join().expect("joined"), hub.join().expect("joined"));
        for reader in [first, second] {
            for name in ["a", "b", "c"] {
                hub.subscribe(reader, name, Start::Now).expect("subscribed");
            }
        }
        hub.leave(first);
        hub.audit();
        assert!(hub.channels().all(|channel| channel.readers == 1));
        assert_eq!(hub.readers(), 1);
        assert_eq!(hub.join(), Ok(first), "the slot is given again");
    }
}
