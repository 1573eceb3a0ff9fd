//! The journal that keeps nothing: a batch is committed in the moment in which it is proposed.
//!
//! It knows no file and no thread. Of records it knows the version alone, because a condition on a record
//! has to be judged where numbers are given.

use std::collections::HashMap;

use super::{Batch, Entry, Expect, Health, Journal, Page, Proposed, Read, Refusal, Settled, Ticket};
use crate::limits::RECORDS_MAX;

/// See the top of this file.
#[derive(Debug)]
pub struct Memory {
    epoch: u32,
    head: u64,
    records: HashMap<Box<str>, u64>,
    is_closed: bool,
}

impl Memory {
    /// A log that begins now. `epoch` is drawn at random.
    #[must_use]
    pub fn new(epoch: u32) -> Memory {
        Memory { epoch, head: 0, records: HashMap::new(), is_closed: false }
    }

    fn check(&self, batch: &Batch) -> Result<(), Refusal> {
        let mut added = 0;
        for entry in batch.entries() {
            let Entry::Record { key, value, expect } = entry else { continue };
            let version = self.records.get(key).copied().unwrap_or(0);
            let is_expected = match expect {
                Expect::Any => true,
                Expect::Absent => version == 0,
                Expect::Version(seq) => version == seq,
            };
            if !is_expected {
                return Err(Refusal::Conflict(version));
            }
            added += usize::from(version == 0 && value.is_some());
        }
        if added > 0 && self.records.len() + added > RECORDS_MAX {
            return Err(Refusal::TooManyRecords);
        }
        Ok(())
    }
}

impl Journal for Memory {
    fn epoch(&self) -> Option<u32> {
        Some(self.epoch)
    }

    fn head(&self) -> u64 {
        self.head
    }

    fn propose(&mut self, batch: Batch, _ticket: Option<Ticket>) -> Proposed {
        if self.is_closed {
            return Proposed::Refused(Refusal::Closed);
        }
        if let Err(refusal) = self.check(&batch) {
            return Proposed::Refused(refusal);
        }
        let first = self.head + 1;
        for (seq, entry) in (first..).zip(batch.entries()) {
            match entry {
                Entry::Record { key, value: Some(_), .. } => {
                    self.records.insert(key.into(), seq);
                }
                Entry::Record { key, value: None, .. } => {
                    self.records.remove(key);
                }
                _ => {}
            }
        }
        self.head += u64::from(batch.count());
        Proposed::Now(first)
    }

    fn withdraw(&mut self, _ticket: Ticket) -> bool {
        false
    }

    fn settled(&mut self, _out: &mut Vec<Settled>) {}

    fn read(&mut self, _read: Read, _ticket: Ticket) -> Result<(), Refusal> {
        Err(Refusal::NotKept)
    }

    fn pages(&mut self, _out: &mut Vec<Page>) {}

    fn health(&self) -> Health {
        Health::Good
    }

    fn close(&mut self) {
        self.is_closed = true;
    }

    fn is_idle(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn propose(journal: &mut Memory, entries: &[Entry<'_>]) -> Proposed {
        journal.propose(Batch::emit(entries).expect("a batch"), Some(Ticket(1)))
    }

    #[test]
    fn a_batch_takes_numbers_that_follow_each_other() {
        let mut journal = Memory::new(7);
        assert_eq!(propose(&mut journal, &[Entry::Clear { channel: "a" }; 3]), Proposed::Now(1));
        assert_eq!(propose(&mut journal, &[Entry::Hole]), Proposed::Now(4));
        assert_eq!((journal.epoch(), journal.head(), journal.is_idle()), (Some(7), 4, true));
        journal.close();
        assert_eq!(propose(&mut journal, &[Entry::Hole]), Proposed::Refused(Refusal::Closed));
    }

    #[test]
    fn the_first_of_two_records_wins() {
        let mut journal = Memory::new(7);
        let set = |value, expect| Entry::Record { key: "name/ann", value, expect };
        assert_eq!(propose(&mut journal, &[set(Some(b"1"), Expect::Absent)]), Proposed::Now(1));
        let second = propose(&mut journal, &[Entry::Hole, set(Some(b"2"), Expect::Absent)]);
        assert_eq!(second, Proposed::Refused(Refusal::Conflict(1)));
        assert_eq!(journal.head(), 1, "all of a batch or nothing");
        assert_eq!(propose(&mut journal, &[set(None, Expect::Version(1))]), Proposed::Now(2));
        assert_eq!(propose(&mut journal, &[set(Some(b"3"), Expect::Absent)]), Proposed::Now(3));
    }
}
