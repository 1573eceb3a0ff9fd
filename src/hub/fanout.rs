//! Fan-out: which reader is to be served next, after something was published.
//!
//! It knows who is due and in what order, not what serving means: the caller takes, or sends a run it has
//! made before, or leaves a reader whose outbox is full to take when that has drained.
//!
//! ```text
//!   urgent  lobby (100,000 readers)   tea (3)   news (800)
//!             64 ─────────────────▶     3 ───▶    64 ──▶   lobby 64, news 64, lobby 64 …
//!   late    flood (500)                                    … and after eight of those, flood 64
//! ```
//!
//! Dirty channels are served in turn, a slice of readers at a time, so a small channel never waits for a
//! large one. Channels whose news came from peers that ask for much wait in a second queue. Where the caller
//! stops, for want of budget, is where the next call goes on.

use std::collections::VecDeque;
use std::rc::Rc;

use super::message::Message;
use super::{ChannelId, Hub, ReaderId};
use crate::limits::{
    FANOUT_PASSED_OVER_MAX, FANOUT_SLICE, FANOUT_URGENT_SLICES, RUN_BYTES_MAX, RUN_MESSAGES_MAX,
};

/// A reader to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Who. Nearly always behind; now and then it has nothing left to take.
    pub reader: ReaderId,
    /// The channel that has news.
    pub channel: ChannelId,
    /// If the reader reads this channel alone and needs no gap: it is to be told exactly the entries after
    /// `.0` up to and with `.1`, at most `RUN_MESSAGES_MAX`, and may be behind still.
    /// All readers that are to be told the same have the same two numbers, so they can be sent one image
    /// made from `messages`, each moved by `advance`.
    pub run: Option<(u64, u64)>,
}

/// The run that was worked out last. In a crowd nearly everyone stands at the same place, so it is worked out
/// once and then only looked at; any change of any ring forgets it (see `Hub::change`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    channel: ChannelId,
    position: u64,
    run: (u64, u64),
}

impl Known {
    fn is_of(&self, channel: ChannelId, position: u64) -> bool {
        self.position == position && self.channel == channel
    }
}

/// Channels with a pass to go, in two queues, the one being served in front of its queue.
#[derive(Debug)]
pub(super) struct Dirty {
    urgent: VecDeque<u32>,
    /// Their news can wait. A channel may be in both queues: what the first has done the second passes over.
    late: VecDeque<u32>,
    /// Which of them a channel with news is put into.
    pub(super) is_urgent: bool,
    /// Readers served of the channel in front since it came there.
    served: usize,
    /// Slices served since the last of the late queue.
    slices: u32,
}

impl Dirty {
    pub(super) fn new() -> Dirty {
        Dirty { urgent: VecDeque::new(), late: VecDeque::new(), is_urgent: true, served: 0, slices: 0 }
    }

    pub(super) fn push(&mut self, id: u32) {
        if self.is_urgent { self.urgent.push_back(id) } else { self.late.push_back(id) }
    }

    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.late.is_empty()
    }

    /// The channel to serve next, and whether it stands in the urgent queue.
    fn front(&self) -> Option<(u32, bool)> {
        let is_late_due = self.slices >= FANOUT_URGENT_SLICES && !self.late.is_empty();
        let urgent = self.urgent.front().filter(|_| !is_late_due).map(|id| (*id, true));
        urgent.or_else(|| self.late.front().map(|id| (*id, false)))
    }

    /// A slice of the channel in front was served: another one comes, if there is one.
    fn rotate(&mut self, is_urgent: bool) {
        self.queue(is_urgent).rotate_left(1);
    }

    /// The channel in front is served.
    fn pop(&mut self, is_urgent: bool) {
        self.queue(is_urgent).pop_front();
    }

    /// The queue that a slice was served of.
    fn queue(&mut self, is_urgent: bool) -> &mut VecDeque<u32> {
        self.served = 0;
        self.slices = if is_urgent { self.slices.saturating_add(1) } else { 0 };
        if is_urgent { &mut self.urgent } else { &mut self.late }
    }

    /// The channels of both queues, in the order of their slots.
    pub(super) fn queued(&self) -> [Vec<usize>; 2] {
        [&self.urgent, &self.late].map(|queue| {
            let mut ids: Vec<_> = queue.iter().map(|&id| id as usize).collect();
            ids.sort_unstable();
            ids
        })
    }
}

impl Hub {
    /// The next reader to serve. Every subscriber comes up once after a publish; one that can't be served
    /// then is its caller's to serve when it can be, for nothing but the next publish brings it up again.
    pub fn next_due(&mut self) -> Option<Due> {
        let mut passed_over = 0;
        while let Some((id, is_urgent)) = self.dirty.front() {
            let Some(subscriber) = self.channels[id as usize].step(is_urgent) else {
                self.dirty.pop(is_urgent);
                continue;
            };
            self.dirty.served += 1;
            if self.dirty.served >= FANOUT_SLICE {
                self.dirty.rotate(is_urgent);
            }
            let list = self.readers[subscriber.reader as usize].subscriptions.as_slice();
            let position = list[subscriber.back as usize].position;
            let is_behind = position < self.channels[id as usize].ring.latest();
            if is_behind || passed_over >= FANOUT_PASSED_OVER_MAX {
                let (reader, channel) = (ReaderId(subscriber.reader), ChannelId(id));
                let run = self.run(reader, channel);
                return Some(Due { reader, channel, run });
            }
            passed_over += 1;
        }
        None
    }

    /// What a reader is to be told next as a run, like [`Due::run`], and of which channel.
    pub fn next_run(&mut self, reader: ReaderId) -> Option<(ChannelId, (u64, u64))> {
        let [only] = self.reader(reader).subscriptions.as_slice() else {
            return None;
        };
        let channel = ChannelId(only.channel);
        Some((channel, self.run(reader, channel)?))
    }

    /// Moves a reader over a run that it is sent. False, and nothing moved, unless the reader reads this
    /// channel alone and what it is to be told up to `to` is just what lies after `from`.
    pub fn advance(&mut self, reader: ReaderId, channel: ChannelId, from: u64, to: u64) -> bool {
        let list = self.readers[reader.index()].subscriptions.as_mut_slice();
        let [only] = list else {
            return false;
        };
        if only.channel != channel.0 {
            return false;
        }
        let is_known = |known: &Known| known.is_of(channel, only.position) && known.run == (from, to);
        if self.known.as_ref().is_some_and(is_known) {
            only.position = to;
            return true;
        }
        let ring = &self.channels[channel.index()].ring;
        let is_whole = from.min(only.position) >= ring.floor() && to <= ring.latest();
        let is_same = only.position < to && ring.after(only.position) == ring.after(from);
        if is_whole && is_same {
            only.position = to;
        }
        is_whole && is_same
    }

    /// What a channel keeps after `from`, up to and with `to`.
    pub fn messages(&self, channel: ChannelId, from: u64, to: u64) -> impl Iterator<Item = &Rc<Message>> {
        let ring = self.channels.get(channel.index()).map(|c| &c.ring);
        let entries = ring.into_iter().flat_map(move |r| r.entries_from(r.after(from)));
        entries.take_while(move |m| m.seq() <= to)
    }

    /// Whether a fan-out is under way.
    #[must_use]
    pub fn has_due(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Readers that joined at different times stand at different numbers with the same entries before them;
    /// the run begins at the first of those, not at the reader's own position, so that they share it.
    fn run(&mut self, reader: ReaderId, channel: ChannelId) -> Option<(u64, u64)> {
        let [only] = self.readers[reader.index()].subscriptions.as_slice() else {
            return None;
        };
        if let Some(known) = self.known.as_ref().filter(|known| known.is_of(channel, only.position)) {
            return Some(known.run);
        }
        let ring = &self.channels[channel.index()].ring;
        if only.position < ring.floor() {
            return None;
        }
        let (mut run, mut bytes) = (None, 0);
        for message in ring.entries_from(ring.after(only.position)).take(RUN_MESSAGES_MAX) {
            bytes += message.json().len();
            // One message is a run whatever its length.
            if run.is_some() && bytes > RUN_BYTES_MAX {
                break;
            }
            let before = run.map_or(message.seq() - 1, |(before, _)| before);
            run = Some((before, message.seq()));
        }
        let run = run?;
        self.known = Some(Known { channel, position: only.position, run });
        Some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Bounds, Item, Start};
    use super::*;

    fn crowd(hub: &mut Hub, name: &str, readers: usize) -> Vec<ReaderId> {
        let mut join = || {
            let reader = hub.join().expect("joined");
            hub.subscribe(reader, name, Start::Now).expect("subscribed");
            reader
        };
        (0..readers).map(|_| join()).collect()
    }

    fn take(hub: &mut Hub, reader: ReaderId) -> usize {
        let mut out = Vec::new();
        while hub.take(reader, usize::MAX, &mut out) {}
        hub.audit();
        out.len()
    }

    fn publish(hub: &mut Hub, name: &str) {
        hub.publish(name, None, b"1").expect("published");
    }

    #[test]
    fn small_channel_does_not_wait_for_a_large_one() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        crowd(&mut hub, "lobby", 1000);
        let tea = crowd(&mut hub, "tea", 2);
        publish(&mut hub, "lobby");
        publish(&mut hub, "tea");
        let first = std::iter::from_fn(|| hub.next_due()).take(FANOUT_SLICE + 2);
        let first: Vec<_> = first.map(|due| due.reader).collect();
        assert_eq!(first[FANOUT_SLICE..], tea);
        assert_eq!(std::iter::from_fn(|| hub.next_due()).count(), 1000 - FANOUT_SLICE);
        assert!(!hub.has_due());
        hub.audit();
    }

    #[test]
    fn news_of_those_who_ask_for_much_come_after_all_others() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        let crowd_of = FANOUT_SLICE * 20;
        let flood = crowd(&mut hub, "flood", crowd_of);
        let tea = crowd(&mut hub, "tea", FANOUT_SLICE * (FANOUT_URGENT_SLICES as usize + 2));
        hub.set_urgent(false);
        publish(&mut hub, "flood");
        hub.set_urgent(true);
        publish(&mut hub, "tea");
        hub.audit();
        let due: Vec<_> = std::iter::from_fn(|| hub.next_due()).map(|due| due.reader).collect();
        let urgent = FANOUT_SLICE * FANOUT_URGENT_SLICES as usize;
        assert_eq!(due[..urgent], tea[..urgent]);
        assert_eq!(due[urgent..urgent + FANOUT_SLICE], flood[..FANOUT_SLICE], "which are not starved");
        assert_eq!(due.len(), flood.len() + tea.len());
        hub.audit();
    }

    #[test]
    fn publish_inside_a_pass_reaches_the_visited_again() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        let readers = crowd(&mut hub, "a", 4);
        publish(&mut hub, "a");
        let mut told = vec![0; 4];
        let mut due = Vec::new();
        while let Some(Due { reader, .. }) = hub.next_due() {
            told[reader.index()] += take(&mut hub, reader);
            due.push(reader);
            if due.len() == 2 {
                publish(&mut hub, "a");
            }
        }
        assert_eq!(told, [2; 4]);
        assert_eq!(due[..4], readers, "the last two are told both at once");
        assert_eq!(due[4..], readers[..2]);
    }

    #[test]
    fn leaving_inside_a_pass_skips_nobody() {
        for gone in 0..5 {
            let mut hub = Hub::new(1, [7; 16], Bounds::default());
            let readers = crowd(&mut hub, "a", 5);
            publish(&mut hub, "a");
            for _ in 0..3 {
                let due = hub.next_due().expect("due");
                take(&mut hub, due.reader);
            }
            hub.leave(readers[gone]);
            hub.audit();
            while let Some(due) = hub.next_due() {
                take(&mut hub, due.reader);
            }
            let mut left = readers.clone();
            left.remove(gone);
            assert!(left.iter().all(|&reader| !hub.is_behind(reader)), "{gone}");
        }
    }

    #[test]
    fn joining_inside_a_pass_is_no_trouble() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        crowd(&mut hub, "a", 2);
        publish(&mut hub, "a");
        let first = hub.next_due().expect("due");
        take(&mut hub, first.reader);
        let new = crowd(&mut hub, "a", 1);
        let due: Vec<_> = std::iter::from_fn(|| hub.next_due()).collect();
        assert_eq!(due.len(), 1, "who joined after has nothing to take");
        publish(&mut hub, "a");
        assert!(hub.is_behind(new[0]));
    }

    #[test]
    fn run_is_shared_by_readers_at_different_numbers() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        crowd(&mut hub, "a", 1);
        publish(&mut hub, "other");
        crowd(&mut hub, "a", 1);
        publish(&mut hub, "other");
        publish(&mut hub, "a");
        publish(&mut hub, "a");
        let due: Vec<_> = std::iter::from_fn(|| hub.next_due()).collect();
        assert_eq!(due[0].run, Some((2, 4)));
        assert_eq!(due[1].run, Some((2, 4)));
        let channel = due[0].channel;
        let seqs = hub.messages(channel, 2, 4).map(|m| m.seq());
        assert_eq!(seqs.collect::<Vec<_>>(), [3, 4]);
        for Due { reader, .. } in due {
            assert!(!hub.advance(reader, channel, 3, 4), "3 would be lost");
            assert!(hub.advance(reader, channel, 2, 4));
            assert!(!hub.advance(reader, channel, 2, 4), "nothing twice");
            assert!(!hub.is_behind(reader));
        }
        hub.audit();
    }

    #[test]
    fn no_run_across_a_gap_or_for_two_channels() {
        let bounds = Bounds { channel_messages: 1, ..Bounds::default() };
        let mut hub = Hub::new(1, [7; 16], bounds);
        let readers = crowd(&mut hub, "a", 2);
        hub.subscribe(readers[1], "b", Start::Now).expect("subscribed");
        publish(&mut hub, "a");
        let due: Vec<_> = std::iter::from_fn(|| hub.next_due()).collect();
        assert_eq!(due[0].run, Some((0, 1)));
        assert_eq!(due[1].run, None);
        assert!(!hub.advance(readers[1], due[1].channel, 0, 1));
        // The run was made, and then its message was evicted.
        publish(&mut hub, "a");
        assert!(!hub.advance(readers[0], due[0].channel, 0, 1));
        assert_eq!(hub.next_due().map(|due| due.run), Some(None));
        let mut out = Vec::new();
        assert!(!hub.take(readers[0], usize::MAX, &mut out));
        assert!(matches!(out[0], Item::Gap { seq: 1, .. }));
    }

    #[test]
    fn passing_over_comes_back_to_its_caller() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        let readers = crowd(&mut hub, "a", 1000);
        publish(&mut hub, "a");
        for &reader in &readers {
            take(&mut hub, reader);
        }
        let due = std::iter::from_fn(|| hub.next_due());
        assert_eq!(due.count(), 1000 / (FANOUT_PASSED_OVER_MAX + 1));
    }
    /// The length of each run in which a reader that is behind is served.
    fn runs(hub: &mut Hub, reader: ReaderId) -> Vec<usize> {
        std::iter::from_fn(|| {
            let (channel, run) = hub.next_run(reader)?;
            let count = hub.messages(channel, run.0, run.1).count();
            assert!(hub.advance(reader, channel, run.0, run.1));
            Some(count)
        })
        .collect()
    }

    #[test]
    fn a_run_has_so_many_messages() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        let reader = crowd(&mut hub, "a", 1)[0];
        (0..=RUN_MESSAGES_MAX).for_each(|_| publish(&mut hub, "a"));
        let due = hub.next_due().expect("it is behind");
        let (from, to) = due.run.expect("it reads one channel");
        assert_eq!(hub.messages(due.channel, from, to).count(), RUN_MESSAGES_MAX);
        assert_eq!(runs(&mut hub, reader), [RUN_MESSAGES_MAX, 1]);
    }

    #[test]
    fn a_run_has_so_many_bytes() {
        let mut hub = Hub::new(1, [7; 16], Bounds::default());
        let reader = crowd(&mut hub, "a", 1)[0];
        let mut publish = |length: usize| {
            hub.publish("a", None, "1".repeat(length).as_bytes()).expect("published");
            hub.history("a", None, 1)[0].json().len()
        };
        let around = publish(100) - 100;
        let half = RUN_BYTES_MAX / 2 - around;
        // The first takes its place in the first run.
        publish(half - 100 - around);
        publish(half);
        for length in [half, half, half + 1, half, RUN_BYTES_MAX, 1] {
            publish(length);
        }
        assert_eq!(
            runs(&mut hub, reader),
            [3, 2, 1, 1, 1, 1],
            "what fits is joined, a longer one goes alone"
        );
    }
}
