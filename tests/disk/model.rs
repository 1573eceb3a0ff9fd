//! A store under a seed, and a plain list that knows what it was told: nothing that was acknowledged is lost
//! beyond what the policy allows, no number is given twice, order is kept, and nothing comes back.
//!
//! Every batch begins with a message that says something nobody else says, so that it is seen whether the
//! batch is in the log.

use std::collections::{BTreeMap, BTreeSet};

use encke::journal::{
    Batch, Data, Entry, Expect, Fresh, Health, Lost, Opened, Options, Outcome, Presence, Proposal, Read,
    Refusal, Store, Sync, Target, Ticket, Time,
};

use super::super::rng::Rng;
use super::Folder;

const CHANNELS: [&str; 4] = ["lobby", "tearoom", "@ann", "@bob"];
const REDACTED: &[u8] = b"\"deleted\"";

/// What a batch says, as the model keeps it.
#[derive(Clone, Debug)]
struct Said {
    channel: &'static str,
    /// Its message, which is the first entry, and the copy of it, if there is one.
    text: String,
    copy_to: Option<&'static str>,
    key: Option<[u8; 16]>,
    record: Option<(String, Option<String>, Expect)>,
    presence: Option<(&'static str, Presence)>,
    redacts: Option<(&'static str, u64)>,
    clears: Option<&'static str>,
}

/// What became of a batch.
#[derive(Clone, Debug)]
struct Told {
    said: Said,
    at: u64,
    /// It must survive a loss of power.
    is_certain: bool,
}

/// See the top of this file.
pub struct Model {
    seed: u64,
    rng: Rng,
    folder: Folder,
    options: Options,
    store: Option<Store<Folder>>,
    time: Time,
    /// By the first number.
    told: BTreeMap<u64, Told>,
    unknown: Vec<Said>,
    /// What must never be seen.
    refused: BTreeSet<String>,
    told_head: u64,
    texts: u64,
    erased: BTreeSet<String>,
    lost: Option<Lost>,
    /// How often each thing happened, for a test that looks whether all do.
    pub seen: BTreeMap<&'static str, u64>,
}

impl Said {
    fn count(&self) -> u64 {
        let parts = [self.copy_to.is_some(), self.record.is_some(), self.presence.is_some()];
        let more = [self.redacts.is_some(), self.clears.is_some()];
        1 + parts.iter().chain(&more).map(|has| u64::from(*has)).sum::<u64>()
    }

    fn batch(&self) -> Batch {
        let is_kept = self.channel.starts_with('@');
        let data = Data::Json(self.text.as_bytes());
        let mut entries = vec![Entry::Message {
            channel: self.channel,
            from: Some("ann"),
            key: self.key,
            data,
            is_kept,
            link: None,
        }];
        if let Some(channel) = self.copy_to {
            entries.push(Entry::Message {
                channel,
                from: Some("ann"),
                key: None,
                data,
                is_kept: true,
                link: None,
            });
        }
        if let Some((key, value, expect)) = &self.record {
            entries.push(Entry::Record { key, value: value.as_ref().map(String::as_bytes), expect: *expect });
        }
        if let Some((user, what)) = self.presence {
            entries.push(Entry::Presence { channel: self.channel, user, what });
        }
        if let Some((channel, seq)) = self.redacts {
            entries.push(Entry::Redaction { channel, target: Target::Number(seq), data: REDACTED });
        }
        if let Some(channel) = self.clears {
            entries.push(Entry::Clear { channel });
        }
        Batch::emit(&entries).expect("a batch")
    }
}

impl Model {
    pub fn new(seed: u64) -> Model {
        let mut rng = Rng::new(seed);
        let sync = *rng.pick(&[Sync::Commit, Sync::Interval, Sync::Off]);
        let options = Options {
            sync,
            kept_ms: 40_000_000,
            kept_bytes: *rng.pick(&[20_000, 60_000, u64::MAX]),
            inbox_ms: u64::MAX,
            erase_within_ms: 20_000,
            segment_bytes: *rng.pick(&[600, 3_000, 20_000]),
            promise_numbers: *rng.pick(&[1, 16, 1_000]),
            ballast_bytes: 512,
            ..Options::default()
        };
        let mut model = Model {
            seed,
            folder: Folder::new(rng.next()),
            rng,
            options,
            store: None,
            time: Time { now: 0, wall: 1_800_000_000_000 },
            told: BTreeMap::new(),
            unknown: Vec::new(),
            refused: BTreeSet::new(),
            told_head: 0,
            texts: 0,
            erased: BTreeSet::new(),
            lost: None,
            seen: BTreeMap::new(),
        };
        model.open(false);
        model
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// Some doings, then an end at which all is looked at.
    pub fn run(&mut self, doings: usize) {
        for _ in 0..doings {
            match self.rng.weighted(&[60, 30, 10, 4, 3, 2, 2, 2]) {
                0 => self.append(),
                1 => self.tend(),
                2 => self.wait(),
                3 => self.light_the_fuse(),
                4 => self.look(),
                5 => self.stop(),
                6 => self.meet_a_fault(),
                _ => self.crash(),
            }
            if self.folder.world().has_died {
                self.crash();
            }
        }
        self.mend();
        self.settle();
        self.look();
        self.is_erased();
        self.must_take_more();
    }

    fn open(&mut self, lost_power: bool) {
        let fresh = Fresh { epoch: 7, secret: [9; 16] };
        self.time.now += 1;
        let opened = Store::open(self.folder.clone(), self.options, fresh, self.time);
        match opened {
            Ok((store, opened)) if !self.folder.world().has_died => {
                self.store = Some(store);
                self.compare(&opened, lost_power);
            }
            // A crash within the start: the next one goes well.
            _ if self.folder.world().has_died => self.note("died at start"),
            Err(trouble) => panic!("seed {}: {trouble}", self.seed),
            Ok(_) => unreachable!("it lives"),
        }
    }

    fn say(&mut self) -> Said {
        self.texts += 1;
        let text = format!("\"t{}.{}\"", self.texts, "x".repeat(self.rng.below(200)));
        let channel = *self.rng.pick(&CHANNELS);
        let one_in = |rng: &mut Rng, n: usize| rng.below(n) == 0;
        let copy_to = (channel == "@bob" && self.rng.coin()).then_some("@ann");
        let key = one_in(&mut self.rng, 3).then(|| {
            u128::from(self.texts).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes()
        });
        let expects = [Expect::Any, Expect::Absent, Expect::Version(self.rng.range(1, 40) as u64)];
        let record = one_in(&mut self.rng, 4).then(|| {
            let name = format!("name/{}", self.rng.below(5));
            let value = self.rng.coin().then(|| format!("v{}", self.texts));
            (name, value, *self.rng.pick(&expects))
        });
        let doing = [Presence::Join, Presence::Leave, Presence::Away, Presence::Back];
        let users = ["ann", "bob"];
        let presence = one_in(&mut self.rng, 4).then(|| (*self.rng.pick(&users), *self.rng.pick(&doing)));
        let known: Vec<_> = self.told.iter().map(|(seq, told)| (told.said.channel, *seq)).collect();
        let redacts = (one_in(&mut self.rng, 12) && !known.is_empty()).then(|| *self.rng.pick(&known));
        let clears = one_in(&mut self.rng, 60).then(|| *self.rng.pick(&CHANNELS));
        Said { channel, text, copy_to, key, record, presence, redacts, clears }
    }

    fn append(&mut self) {
        let Some(mut store) = self.store.take() else { return };
        let mut group: Vec<Said> = (0..self.rng.range(1, 5)).map(|_| self.say()).collect();
        // Alone, and of another channel: what is unknown must be seen to be there.
        let clears = group.iter().position(|said| {
            said.clears.is_some_and(|cleared| cleared != said.channel && Some(cleared) != said.copy_to)
        });
        match clears {
            Some(place) => group = vec![group.swap_remove(place)],
            None => group.iter_mut().for_each(|said| said.clears = None),
        }
        // What was cleared is erased with its key.
        let hidden = self.hidden();
        let is_keyed = |(seq, told): &(&u64, &Told)| told.said.key.is_some() && !hidden.contains(seq);
        let again: Vec<_> = self.told.iter().filter(is_keyed).collect();
        let mut repeated = None;
        if self.rng.below(4) == 0 && !again.is_empty() {
            let (seq, told) = *self.rng.pick(&again);
            repeated = Some(*seq);
            let text = group[0].text.clone();
            group[0] = Said { text, key: told.said.key, record: None, ..told.said.clone() };
        }
        let floor = self.floor(&store);
        let proposals = group.iter().map(|said| Proposal { batch: said.batch(), ticket: None }).collect();
        let settled = store.append(proposals, self.time);
        let has_died = self.folder.world().has_died;
        self.store = Some(store);
        let mut cut_off = Vec::new();
        for (n, (said, one)) in group.into_iter().zip(settled).enumerate() {
            if has_died {
                cut_off.push(said);
                continue;
            }
            match one.outcome {
                Outcome::Committed(first) => {
                    assert!(first > self.told_head, "seed {}: {first} was told before", self.seed);
                    // One whose segment was dropped may come again.
                    let may_repeat = n == 0 && repeated.is_some_and(|seq| seq > floor);
                    assert!(!may_repeat, "seed {}: a key was forgotten", self.seed);
                    self.told_head = first + said.count() - 1;
                    let is_certain = self.options.sync == Sync::Commit;
                    self.told.insert(first, Told { said, at: self.time.now, is_certain });
                    self.note("told");
                }
                Outcome::Repeated(seq) => {
                    // The message itself, or one that came when that was dropped.
                    let is_it = self.told.get(&seq).is_some_and(|told| told.said.key == said.key);
                    assert!(n == 0 && is_it, "seed {}: {seq} repeats nothing", self.seed);
                    self.refused.insert(said.text);
                    self.note("repeated");
                }
                Outcome::Refused(refusal) => {
                    self.refused.insert(said.text);
                    self.note(match refusal {
                        Refusal::Conflict(_) => "conflict",
                        Refusal::StorageFull => "full",
                        Refusal::ReadOnly => "read-only",
                        _ => "busy",
                    });
                }
                Outcome::Unknown => {
                    self.note("unknown");
                    cut_off.push(said);
                }
            }
        }
        self.unknown.extend(cut_off);
    }

    fn floor(&self, store: &Store<Folder>) -> u64 {
        let channel = "nothing is here".into();
        store.read(&Read { channel, after: 0, before: u64::MAX, newest: false, limit: 1 }, Ticket(0)).floor
    }

    fn tend(&mut self) {
        let Some(mut store) = self.store.take() else { return };
        for _ in 0..self.rng.range(1, 6) {
            if store.tend(self.time) > 0 {
                break;
            }
            self.note("worked");
        }
        let is_good = store.health() != Health::ReadOnly && !self.folder.world().has_died;
        self.store = Some(store);
        if is_good && self.options.sync == Sync::Interval {
            let now = self.time.now;
            self.told
                .values_mut()
                .filter(|told| told.at + 1_000 <= now)
                .for_each(|told| told.is_certain = true);
        }
    }

    fn wait(&mut self) {
        let by = *self.rng.pick(&[100, 900, 1_100, 15_000]);
        self.time = Time { now: self.time.now + by, wall: self.time.wall + by };
        self.tend();
    }

    fn light_the_fuse(&mut self) {
        let changes = *self.rng.pick(&[3, 10, 60]);
        self.folder.world().fuse = Some(self.rng.below(changes) as u32);
    }

    fn meet_a_fault(&mut self) {
        let used: usize = self.folder.contents().values().map(Vec::len).sum();
        let mut world = self.folder.world();
        match self.rng.below(5) {
            0 => world.capacity = used + self.rng.below(3_000),
            1 => world.failing = 200,
            2 => world.short = 300,
            3 => world.syncs_fail = self.rng.below(3) == 0,
            _ => (world.capacity, world.failing, world.short) = (usize::MAX, 0, 0),
        }
    }

    fn mend(&mut self) {
        let mut world = self.folder.world();
        (world.capacity, world.failing, world.short, world.syncs_fail) = (usize::MAX, 0, 0, false);
        world.fuse = None;
        drop(world);
        let is_read_only = self.store.as_ref().is_none_or(|store| store.health() == Health::ReadOnly);
        if is_read_only {
            self.crash();
        }
    }

    fn stop(&mut self) {
        if let Some(mut store) = self.store.take() {
            store.stop(self.time);
            let is_clean = store.health() != Health::ReadOnly && !self.folder.world().has_died;
            drop(store);
            if is_clean && self.folder.world().failing == 0 && self.unknown.is_empty() {
                self.told.values_mut().for_each(|told| told.is_certain = true);
            }
        }
        self.crash();
    }

    fn crash(&mut self) {
        self.store = None;
        let lost_power = self.rng.coin();
        let mut world = self.folder.world();
        // At a start the disk is well: what is not is refused, and tested elsewhere.
        (world.capacity, world.failing, world.short, world.syncs_fail) = (usize::MAX, 0, 0, false);
        if lost_power {
            world.lose_power();
        } else {
            world.restart();
        }
        // Now and then it dies again while it starts.
        let dies_again = self.rng.below(4) == 0;
        world.fuse = dies_again.then(|| self.rng.below(12) as u32);
        drop(world);
        self.note(if lost_power { "lost power" } else { "killed" });
        self.open(lost_power);
        if self.store.is_some() {
            self.folder.world().fuse = None;
            return;
        }
        let mut world = self.folder.world();
        let again = self.rng.coin();
        if again {
            world.lose_power();
        } else {
            world.restart();
        }
        drop(world);
        self.open(lost_power || again);
        assert!(self.store.is_some());
    }

    /// All that the store has, by number: channel and data.
    fn read_all(&self) -> (BTreeMap<u64, (&'static str, Vec<u8>)>, u64) {
        let store = self.store.as_ref().expect("open");
        let (mut all, mut floor) = (BTreeMap::new(), 0);
        for channel in CHANNELS {
            let mut after = 0;
            loop {
                let read = Read { channel: channel.into(), after, before: u64::MAX, newest: false, limit: 7 };
                let page = store.read(&read, Ticket(1));
                assert!(!page.failed, "seed {}: a page of {channel} failed", self.seed);
                floor = page.floor.max(floor);
                for found in &page.messages {
                    assert!(found.seq > after, "seed {}: order", self.seed);
                    after = found.seq;
                    let Ok(Entry::Message { channel: ch, data, .. }) = Entry::parse(&found.entry) else {
                        panic!("seed {}: no message", self.seed);
                    };
                    assert_eq!(ch, channel);
                    assert!(all.insert(found.seq, (channel, data.as_bytes().to_vec())).is_none());
                }
                if !page.more {
                    break;
                }
            }
        }
        (all, floor)
    }

    /// After a start: what is lost, what of the unknown is there, and whether the state is what the log says.
    fn compare(&mut self, opened: &Opened, lost_power: bool) {
        let (all, floor) = self.read_all();
        let seed = self.seed;
        assert!(opened.head >= self.told_head, "seed {seed}: numbers up to {} were told", self.told_head);
        // What was unknown is known now.
        for said in std::mem::take(&mut self.unknown) {
            let place =
                all.iter().find(|(_, (ch, data))| *ch == said.channel && **data == *said.text.as_bytes());
            if let Some((seq, _)) = place {
                self.note("unknown is there");
                self.told.insert(*seq, Told { said, at: self.time.now, is_certain: true });
            } else {
                // Nothing says whether it is there and was taken back in the same moment; such texts may be.
                self.refused.insert(said.text);
            }
        }
        let mut lost = Vec::new();
        let hidden = self.hidden();
        for (first, told) in &self.told {
            let is_kept = told.said.channel.starts_with('@');
            let is_gone = hidden.contains(first) || (*first <= floor && !is_kept);
            if !all.contains_key(first) && !is_gone {
                lost.push(*first);
            }
        }
        let is_new = opened.lost != self.lost;
        self.lost = opened.lost;
        if let Some(&least) = lost.first() {
            assert!(lost_power, "seed {seed}: {lost:?} were lost with nothing but the program");
            let is_told = is_new && opened.lost.is_some_and(|lost| lost.after < least);
            assert!(is_told, "seed {seed}: {least} lost in silence");
            self.note("lost");
        }
        assert!(lost_power || !is_new, "seed {seed}: a gap after a kill");
        let cut_from = opened.lost.filter(|_| is_new).map_or(u64::MAX, |lost| lost.after + 1);
        for (_, told) in self.told.split_off(&cut_from) {
            assert!(!told.is_certain, "seed {seed}: {:?} was on the medium", told.said);
            self.refused.insert(told.said.text);
        }
        // Numbers that may have been told are taken.
        self.told_head = self.told_head.max(opened.head);
        self.told.values_mut().for_each(|told| told.is_certain = true);
        self.look();
        self.compare_state(opened);
    }

    /// Numbers of messages that were cleared.
    fn hidden(&self) -> BTreeSet<u64> {
        let mut hidden = BTreeSet::new();
        for (by, told) in &self.told {
            let Some(cleared) = told.said.clears else { continue };
            let end = by + told.said.count() - 1;
            for (seq, other) in self.told.range(..=end) {
                if other.said.channel == cleared {
                    hidden.insert(*seq);
                }
                if other.said.copy_to == Some(cleared) {
                    hidden.insert(*seq + 1);
                }
            }
        }
        hidden
    }

    /// Whether what is read is what was told.
    fn look(&mut self) {
        if self.store.is_none() || self.folder.world().has_died {
            return;
        }
        let seed = self.seed;
        let (all, floor) = self.read_all();
        let hidden = self.hidden();
        let redacted: BTreeSet<(&str, u64)> =
            self.told.values().filter_map(|told| told.said.redacts).collect();
        let (mut expected, mut erased) = (BTreeMap::new(), BTreeSet::new());
        for (first, told) in &self.told {
            let copy = told.said.copy_to.map(|channel| (first + 1, channel));
            let mut is_all_gone = true;
            for (seq, channel) in [(*first, told.said.channel)].into_iter().chain(copy) {
                let is_taken_back = redacted.contains(&(channel, seq));
                let text = if is_taken_back { REDACTED } else { told.said.text.as_bytes() };
                let is_gone = hidden.contains(&seq);
                is_all_gone &= is_gone || is_taken_back;
                if !is_gone && (seq > floor || channel.starts_with('@')) {
                    expected.insert(seq, (channel, text.to_vec()));
                }
            }
            if is_all_gone {
                erased.insert(told.said.text.clone());
            }
        }
        for (seq, found) in &all {
            let is_unknown = self.unknown.iter().any(|said| said.text.as_bytes() == &*found.1);
            assert!(
                expected.get(seq) == Some(found) || is_unknown,
                "seed {seed}: {seq} is {:?} and not {:?}",
                (found.0, String::from_utf8_lossy(&found.1)),
                expected.get(seq).map(|(ch, data)| (ch, String::from_utf8_lossy(data)))
            );
        }
        for seq in expected.keys() {
            assert!(all.contains_key(seq), "seed {seed}: {seq} is missing, floor {floor}");
        }
        for (_, data) in all.values() {
            let text = String::from_utf8_lossy(data);
            assert!(!self.refused.contains(&*text), "seed {seed}: {text} was refused");
        }
        self.erased = erased;
    }

    fn compare_state(&self, opened: &Opened) {
        let mut records: BTreeMap<String, (u64, String)> = BTreeMap::new();
        let mut present = BTreeSet::new();
        for (first, told) in &self.told {
            let mut seq = first + 1 + u64::from(told.said.copy_to.is_some());
            if let Some((key, value, _)) = &told.said.record {
                match value {
                    Some(value) => records.insert(key.clone(), (seq, value.clone())),
                    None => records.remove(key),
                };
                seq += 1;
            }
            if let Some((user, what)) = told.said.presence {
                let place = (told.said.channel, user);
                if what == Presence::Leave {
                    present.remove(&place)
                } else {
                    present.insert(place)
                };
            }
            assert!(seq <= opened.head + 1);
        }
        let found: BTreeMap<String, (u64, String)> = (opened.records.iter())
            .map(|(key, value, seq)| (key.to_string(), (*seq, String::from_utf8_lossy(value).into_owned())))
            .collect();
        assert_eq!(found, records, "seed {}", self.seed);
        let found: BTreeSet<(&str, &str)> =
            opened.present.iter().map(|(ch, user)| (&**ch, &**user)).collect();
        assert_eq!(found, present, "seed {}", self.seed);
    }

    /// Lets the store do all that it has to do.
    fn settle(&mut self) {
        let mut store = self.store.take().expect("open");
        for _ in 0..40 {
            self.time = Time { now: self.time.now + 2_000, wall: self.time.wall + 2_000 };
            let is_done = (0..500).any(|_| store.tend(self.time) > 0);
            assert!(is_done, "seed {}: the work has no end", self.seed);
        }
        self.store = Some(store);
    }

    /// Nothing that was taken back is on disk.
    fn is_erased(&mut self) {
        for (name, bytes) in self.folder.contents() {
            for text in &self.erased {
                let is_there = bytes.windows(text.len()).any(|part| part == text.as_bytes());
                assert!(!is_there, "seed {}: {text} is in {name}", self.seed);
            }
        }
        if !self.erased.is_empty() {
            self.note("erased");
        }
    }

    fn must_take_more(&mut self) {
        let mut store = self.store.take().expect("open");
        let said = Said { record: None, key: None, ..self.say() };
        let settled = store.append(vec![Proposal { batch: said.batch(), ticket: None }], self.time);
        assert!(matches!(settled[0].outcome, Outcome::Committed(_)), "seed {}: {:?}", self.seed, settled[0]);
    }
}
