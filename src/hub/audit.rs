//! The audit: everything the hub keeps twice is counted again and compared.
//!
//! It is as slow as the hub is large, for simulators and tests; it changes nothing, and its only answer is
//! a panic that names what doesn't hold.

use std::collections::BTreeMap;

use super::Hub;
use super::channel::Pass;
use crate::account::{self, Image, Part};

impl Hub {
    /// Panics unless every cross-reference, account and bound holds.
    pub fn audit(&self) {
        self.audit_channels();
        self.audit_readers();
        self.audit_fanout();
        let channels = self.channels.iter().map(|(_, channel)| channel.held());
        let readers = self.readers.iter().map(|(_, reader)| reader.held());
        let held: usize = channels.chain(readers).sum();
        assert_eq!(held, account::held(Part::Channels), "the account of channels and readers");
        self.keys.audit(&self.bounds);
        self.tombs.audit();
    }

    /// Shows the images that messages hold.
    pub fn each_image(&self, show: &mut dyn FnMut(&Image)) {
        for (_, channel) in &self.channels {
            channel.ring.entries_from(0).for_each(|message| message.each_image(show));
        }
    }

    fn audit_channels(&self) {
        let mut bytes = 0;
        assert_eq!(self.names.len(), self.channels.len());
        for (id, channel) in &self.channels {
            let indexed = self.names.get(&channel.name).map(|&id| id as usize);
            assert_eq!(indexed, Some(id), "the index of names");
            assert_eq!(self.slot_of(&channel.name), Some(id), "the slot of a name");
            assert!(!self.tombs.has(&channel.name), "no stone on an open grave");
            assert!(channel.ring.latest() <= self.log.head());
            channel.audit();
            channel.ring.audit(&self.bounds);
            for digest in channel.ring.entries_from(0).filter_map(|message| message.digest()) {
                assert_eq!(self.keys.remembered(digest), None, "a key is with its message, or evicted");
            }
            bytes += channel.ring.bytes();

            let mut users = BTreeMap::new();
            for (index, subscriber) in channel.subscribers.iter().enumerate() {
                let reader = &self.readers[subscriber.reader as usize];
                let there = reader.subscriptions.as_slice()[subscriber.back as usize];
                let there = (there.channel as usize, there.index as usize);
                assert_eq!(there, (id, index), "the way to a reader and back");
                if let Some(user) = &reader.user {
                    *users.entry(user.clone()).or_insert(0) += 1;
                }
            }
            assert_eq!(users, channel.users, "the users of a channel");
        }
        assert_eq!(bytes, self.bytes, "the account of the hub");
    }

    fn audit_readers(&self) {
        assert!(self.readers.len() <= self.bounds.readers);
        for (id, reader) in &self.readers {
            let list = reader.subscriptions.as_slice();
            assert!(list.len() <= self.bounds.subscriptions);
            for (place, subscription) in list.iter().enumerate() {
                let channel = &self.channels[subscription.channel as usize];
                let there = channel.subscribers[subscription.index as usize];
                let there = (there.reader as usize, there.back as usize);
                assert_eq!(there, (id, place), "the way to a channel and back");
                assert!(subscription.position <= self.log.head());
            }
        }
    }

    fn audit_fanout(&self) {
        let marked = |is_marked: fn(&Pass) -> bool| {
            let marked = self.channels.iter().filter(move |(_, channel)| is_marked(&channel.pass));
            marked.map(|(id, _)| id).collect::<Vec<_>>()
        };
        let [urgent, late] = self.dirty.queued();
        assert_eq!(urgent, marked(|pass| pass.in_urgent), "the queue of urgent channels");
        assert_eq!(late, marked(|pass| pass.in_late), "the queue of channels that can wait");
    }
}
