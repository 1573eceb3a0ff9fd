//! What a store does beside appending: it syncs, seals, forgets what is old, erases what was taken back, and
//! gets going again when the disk was full.
//!
//! ```text
//!   tend ─▶ sync ─▶ cut a bad tail ─▶ room again? ─▶ seal ─▶ checkpoint ─▶ a step of the work ─▶ begin work
//!
//!   work    Keep    living inbox entries of the oldest segment ─▶ keeper ─▶ checkpoint ─▶ unlink the segment
//!           Merge   many keepers ─▶ one ─▶ checkpoint ─▶ unlink the others
//!           Erase   each file that has a message which was taken back ─▶ the same without it
//! ```
//!
//! Each call does one thing that is bounded, so that appending waits for no more than that. Whatever is cut
//! short by the end of the program begins again at the next start and comes to the same.

use super::catalog::Sealed;
use super::files::{Files, folder, keeper_name, replace, segment_name, write_all};
use super::filter::Filter;
use super::index::channels;
use super::keys;
use super::rewrite::{Copy, Footer, Guide, Mode};
use super::scan::index_of;
use super::segment::Kind;
use super::store::{Failure, Store, Sync, Time};
use crate::limits::{
    ERASURES_MAX, KEEPERS_MAX, SEGMENT_CHANNELS, SEGMENT_ENTRIES, SEGMENT_MS_MAX, SEGMENT_MS_MIN,
    SEGMENTS_PER_AGE, SYNC_INTERVAL_MS, TEND_MS,
};

/// The name of the file that is held for the moment in which the disk is full.
pub(super) const BALLAST: &str = "ballast";

/// What is under way.
pub(super) enum Work<F: Files> {
    Idle,
    /// The oldest segment's living entries go to a keeper.
    Keep(Copy<F>),
    /// All keepers become one.
    Merge(Copy<F>),
    /// What entries up to `upto` took back is erased.
    Erase {
        upto: u64,
        left: Vec<(Kind, Sealed)>,
        copy: Option<(Kind, Copy<F>)>,
        has_damage: bool,
    },
}

impl<F: Files> Store<F> {
    /// Does what is due, a step of it. Milliseconds after which it should be called again: 0 if there is more
    /// to do.
    pub fn tend(&mut self, time: Time) -> u64 {
        self.tell_time(time);
        self.catalog.lock().clock = self.clock;
        if self.is_read_only {
            return TEND_MS;
        }
        let is_dirty = self.active.synced < self.active.end;
        if is_dirty && self.options.sync == Sync::Interval && self.since >= self.dirty_at + SYNC_INTERVAL_MS {
            // A failure is final, and told by `health`.
            let _ = self.sync();
        }
        if self.since < self.retry_at {
            return self.until_next();
        }
        match self.step() {
            Ok(true) => return 0,
            Ok(false) => {}
            Err(failure) => {
                self.abandon_work();
                if failure == Failure::Full {
                    self.become_full();
                }
                self.retry_at = self.since + TEND_MS;
            }
        }
        self.until_next()
    }

    fn until_next(&self) -> u64 {
        let is_dirty = self.active.synced < self.active.end && self.options.sync == Sync::Interval;
        let sync = (self.dirty_at + SYNC_INTERVAL_MS).saturating_sub(self.since);
        if is_dirty { sync.clamp(1, TEND_MS) } else { TEND_MS }
    }

    /// Whether it did something.
    fn step(&mut self) -> Result<bool, Failure> {
        if self.has_bad_tail {
            return self.cut_tail().map(|()| true);
        }
        if self.is_full {
            self.write_ballast()?;
            self.is_full = false;
            log::info!("the journal's disk has room again");
            return Ok(true);
        }
        if self.is_due_to_seal() {
            return self.seal(self.head + 1).map(|()| true);
        }
        if self.checkpoint_due {
            return self.write_checkpoint().map(|()| true);
        }
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Idle => self.begin_work(),
            Work::Keep(copy) => self.keep(copy).map(|()| true),
            Work::Merge(copy) => self.merge(copy).map(|()| true),
            Work::Erase { upto, left, copy, has_damage } => {
                self.erase(upto, left, copy, has_damage).map(|()| true)
            }
        }
    }

    fn is_due_to_seal(&self) -> bool {
        let Some(oldest) = self.active.oldest else { return false };
        let age_max = (self.options.kept_ms / SEGMENTS_PER_AGE).clamp(SEGMENT_MS_MIN, SEGMENT_MS_MAX);
        let catalog = self.catalog.lock();
        self.active.end >= self.options.segment_bytes
            || catalog.index.messages() >= SEGMENT_ENTRIES
            || catalog.index.channels() >= SEGMENT_CHANNELS
            || self.clock >= oldest.saturating_add(age_max)
    }

    /// Ends the segment that is written, and begins the next one, with the number `first`.
    pub(super) fn seal(&mut self, first: u64) -> Result<(), Failure> {
        self.sync()?;
        let header = self.header(Kind::Log, first, self.head);
        let name = segment_name(first);
        let next = match Self::begin(&self.files, header) {
            Ok(next) => next,
            Err(error) => {
                let _ = self.files.unlink(&name);
                return Err(self.failure(&error));
            }
        };
        let oldest = self.active.oldest.unwrap_or(self.active.newest);
        let (end, check, newest) = (self.active.end, self.active.check, self.active.newest);
        let footer = Footer { end, check, last: self.head, oldest, newest };
        let bytes = footer.emit(self.active.header.salt, &self.catalog.lock().index);
        if let Err(error) = write_all(&self.files, &self.active.file, end, &bytes) {
            self.has_bad_tail = true;
            // An empty segment that stays is removed at the next start.
            let _ = self.files.unlink(&name);
            self.cut_tail()?;
            return Err(self.failure(&error));
        }
        self.active.end += bytes.len() as u64;
        self.sync()?;
        let mut catalog = self.catalog.lock();
        let index = std::mem::take(&mut catalog.index);
        let bytes = self.active.end;
        let (own, messages) = (self.active.header.first, index.messages());
        let keys = index.keys();
        self.filters.insert(own, Filter::new(keys.len(), keys));
        catalog.sealed.push(Sealed { first: own, last: self.head, bytes, oldest, newest, messages });
        catalog.active = first;
        drop(catalog);
        self.active = next;
        self.head = first - 1;
        self.write_checkpoint()
    }

    pub(super) fn become_full(&mut self) {
        if !self.is_full {
            log::error!("the journal's disk is full: publishes are refused until it has room");
            self.is_full = true;
        }
        // It may be gone already.
        let _ = self.files.unlink(BALLAST);
        self.retry_at = self.since + TEND_MS;
    }

    /// Holds some room. The bytes are no zeros, and no two alike: a file system that shares or shrinks them
    /// would hold nothing.
    pub(super) fn write_ballast(&mut self) -> Result<(), Failure> {
        let mut word = u64::from_le_bytes([self.meta.secret[0]; 8]) | 1;
        let words = (0..self.options.ballast_bytes / 8).flat_map(|_| {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            word.to_le_bytes()
        });
        let bytes: Vec<u8> = words.collect();
        replace(&self.files, BALLAST, &bytes).map_err(|error| self.failure(&error))
    }

    fn begin_work(&mut self) -> Result<bool, Failure> {
        self.state.kept.expire(self.clock.saturating_sub(self.options.inbox_ms));
        if self.is_due_to_erase() {
            return self.begin_erasing().map(|()| true);
        }
        let catalog = self.catalog.lock();
        let (oldest, is_over) = (catalog.sealed.first().copied(), self.is_over(&catalog.sealed));
        let dead = catalog.keepers.iter().find(|one| !self.state.kept.any(one.first, one.last)).copied();
        let keepers = catalog.keepers.clone();
        drop(catalog);
        if let Some(dead) = dead {
            let mut catalog = self.catalog.lock();
            catalog.keepers.retain(|one| one.first != dead.first);
            catalog.generation += 1;
            drop(catalog);
            self.write_checkpoint()?;
            return self.unlink(&keeper_name(dead.first)).map(|()| true);
        }
        if keepers.len() > KEEPERS_MAX {
            let header = self.header(Kind::Keeper, keepers[0].first, 0);
            let sources = keepers.iter().map(|one| keeper_name(one.first)).collect();
            let copy = Copy::new(&self.files, Mode::Keep, sources, keeper_name(header.first), header);
            self.work = Work::Merge(copy.map_err(|error| self.failure(&error))?);
            return Ok(true);
        }
        let Some(oldest) = oldest.filter(|_| is_over) else { return Ok(self.make_filter()) };
        if self.state.kept.any(oldest.first, oldest.last) {
            let header = self.header(Kind::Keeper, oldest.first, 0);
            let sources = [segment_name(oldest.first)].into();
            let copy = Copy::new(&self.files, Mode::Keep, sources, keeper_name(oldest.first), header);
            self.work = Work::Keep(copy.map_err(|error| self.failure(&error))?);
        } else {
            self.drop_oldest(oldest)?;
        }
        Ok(true)
    }

    /// Makes the filter of the newest segment that has none, after a start. Whether it made one.
    fn make_filter(&mut self) -> bool {
        let catalog = self.catalog.lock();
        let mut newest = catalog.sealed.iter().rev();
        let lacking = newest.find(|one| self.filters.lacks(one.first, one.messages as usize));
        let Some(first) = lacking.map(|one| one.first) else { return false };
        drop(catalog);
        match keys::filter(&self.files, first) {
            Ok(Some(filter)) => self.filters.insert(first, filter),
            // Damaged keys find nothing, whoever looks.
            Ok(None) => self.filters.insert(first, Filter::new(0, [].iter())),
            Err(_) => return false,
        }
        true
    }

    /// Whether the oldest segment is more than is to be kept.
    fn is_over(&self, sealed: &[Sealed]) -> bool {
        let Some(oldest) = sealed.first() else { return false };
        let bytes: u64 = sealed.iter().map(|one| one.bytes).sum::<u64>() + self.active.end;
        let messages: u64 = sealed[1..].iter().map(|one| u64::from(one.messages)).sum();
        oldest.newest.saturating_add(self.options.kept_ms) < self.clock
            || bytes > self.options.kept_bytes
            || messages >= self.options.kept_messages
    }

    fn drop_oldest(&mut self, oldest: Sealed) -> Result<(), Failure> {
        self.unlink(&segment_name(oldest.first))?;
        let mut catalog = self.catalog.lock();
        catalog.sealed.retain(|one| one.first != oldest.first);
        catalog.generation += 1;
        drop(catalog);
        self.filters.remove(oldest.first);
        Ok(())
    }

    /// One at a time is on the medium, so that a loss of power leaves no hole among those that are left.
    fn unlink(&mut self, name: &str) -> Result<(), Failure> {
        let unlinked = self
            .files
            .unlink(name)
            .or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) });
        unlinked.map_err(|_| Failure::Refused)?;
        self.files.sync_folder(folder(name)).map_err(|error| self.failure(&error))
    }

    /// A piece of a copy; the copy itself, until it is done.
    fn copy(&mut self, mut copy: Copy<F>) -> Result<(Copy<F>, Option<Sealed>), Failure> {
        if self.active.synced < self.active.end {
            // What says that a message goes must not be lost where the message is gone.
            self.sync()?;
        }
        let erasures = self.catalog.lock().erasures.clone();
        let guide = Guide { erasures: &erasures, kept: &self.state.kept };
        match copy.step(&self.files, &self.files, &guide) {
            Ok(done) => Ok((copy, done)),
            Err(error) => {
                copy.abandon(&self.files);
                Err(self.failure(&error))
            }
        }
    }

    fn keep(&mut self, copy: Copy<F>) -> Result<(), Failure> {
        let (copy, done) = self.copy(copy)?;
        let Some(keeper) = done else {
            self.work = Work::Keep(copy);
            return Ok(());
        };
        let mut catalog = self.catalog.lock();
        let Some(oldest) = catalog.sealed.first().copied() else { return Ok(()) };
        // One may be there already, if dropping the segment failed.
        catalog.keepers.retain(|one| one.first != keeper.first);
        catalog.keepers.push(keeper);
        drop(catalog);
        self.write_checkpoint()?;
        self.drop_oldest(oldest)
    }

    fn merge(&mut self, copy: Copy<F>) -> Result<(), Failure> {
        let (copy, done) = self.copy(copy)?;
        let Some(keeper) = done else {
            self.work = Work::Merge(copy);
            return Ok(());
        };
        let mut catalog = self.catalog.lock();
        let old = std::mem::replace(&mut catalog.keepers, vec![keeper]);
        catalog.generation += 1;
        drop(catalog);
        self.write_checkpoint()?;
        for one in &old[1..] {
            self.unlink(&keeper_name(one.first))?;
        }
        Ok(())
    }

    fn is_due_to_erase(&self) -> bool {
        let catalog = self.catalog.lock();
        let due = self.clock.saturating_sub(self.options.erase_within_ms / 2);
        catalog.erasures.oldest().is_some_and(|oldest| oldest <= due) || catalog.erasures.len() > ERASURES_MAX
    }

    fn begin_erasing(&mut self) -> Result<(), Failure> {
        if self.active.oldest.is_some() {
            self.seal(self.head + 1)?;
        }
        let catalog = self.catalog.lock();
        let all = catalog.sealed.iter().map(|one| (Kind::Log, *one));
        let all = all.chain(catalog.keepers.iter().map(|one| (Kind::Keeper, *one)));
        let erasures = &catalog.erasures;
        let concerns = |one: &Sealed| {
            erasures.redactions.range(one.first..=one.last).next().is_some()
                || erasures.clears.values().any(|clear| clear.by > one.first)
        };
        let left = all.filter(|(_, one)| concerns(one)).collect();
        drop(catalog);
        self.work = Work::Erase { upto: self.head, left, copy: None, has_damage: false };
        Ok(())
    }

    fn erase(
        &mut self,
        upto: u64,
        mut left: Vec<(Kind, Sealed)>,
        copy: Option<(Kind, Copy<F>)>,
        mut has_damage: bool,
    ) -> Result<(), Failure> {
        let mut current = None;
        if let Some((kind, copy)) = copy {
            let (copy, done) = self.copy(copy)?;
            match done {
                Some(file) => self.replaced(kind, file),
                None if copy.has_damage => {
                    log::error!("{} is damaged: what was taken back stays in it", copy.name);
                    has_damage = true;
                    copy.abandon(&self.files);
                }
                None => current = Some((kind, copy)),
            }
        } else if let Some((kind, file)) = left.pop() {
            current = self.begin_copy(kind, file)?;
        } else {
            if has_damage {
                self.retry_at = self.since + 60 * TEND_MS;
                return Ok(());
            }
            let mut catalog = self.catalog.lock();
            catalog.erasures.forget(upto);
            catalog.generation += 1;
            drop(catalog);
            return self.write_checkpoint();
        }
        self.work = Work::Erase { upto, left, copy: current, has_damage };
        Ok(())
    }

    /// A file that was rewritten is in its place.
    fn replaced(&mut self, kind: Kind, file: Sealed) {
        let mut catalog = self.catalog.lock();
        catalog.generation += 1;
        let files = if kind == Kind::Log { &mut catalog.sealed } else { &mut catalog.keepers };
        let old = files.iter_mut().find(|one| one.first == file.first);
        old.into_iter().for_each(|old| *old = Sealed { last: old.last, ..file });
        self.checkpoint_due = true;
    }

    /// Begins to rewrite a file, if a message in it was taken back.
    fn begin_copy(&mut self, kind: Kind, file: Sealed) -> Result<Option<(Kind, Copy<F>)>, Failure> {
        let name = if kind == Kind::Log { segment_name(file.first) } else { keeper_name(file.first) };
        let opened = index_of(&self.files, &name).map_err(|_| Failure::Refused)?;
        let Some((old, index)) = opened else {
            log::error!("{name} is damaged: what was taken back stays in it");
            return Ok(None);
        };
        let catalog = self.catalog.lock();
        let erasures = &catalog.erasures;
        let is_cleared = |(channel, first): &(&str, u64)| {
            erasures.clears.get(*channel).is_some_and(|clear| *first < clear.by)
        };
        let concerns = erasures.redactions.range(file.first..=file.last).next().is_some()
            || channels(&index).unwrap_or_default().iter().any(is_cleared);
        drop(catalog);
        if !concerns {
            return Ok(None);
        }
        let mut header = self.header(kind, file.first, old.before);
        header.clock = old.clock;
        let copy = Copy::new(&self.files, Mode::Erase, [name.clone()].into(), name, header);
        Ok(Some((kind, copy.map_err(|error| self.failure(&error))?)))
    }

    fn abandon_work(&mut self) {
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Keep(copy) | Work::Merge(copy) | Work::Erase { copy: Some((_, copy)), .. } => {
                copy.abandon(&self.files);
            }
            Work::Idle | Work::Erase { copy: None, .. } => {}
        }
    }

    /// Ends in order: all is on the medium, and the next start has nothing to scan for.
    pub fn stop(&mut self, time: Time) {
        self.tell_time(time);
        self.abandon_work();
        if self.is_read_only || self.has_bad_tail || self.sync().is_err() {
            return;
        }
        let mut promise = self.promise.promise;
        (promise.through, promise.is_clean) = (self.head, true);
        // Without it the next start after a loss of power skips some numbers, and says that it does.
        let _ = self.promise.write(&self.files, promise);
    }
}
