//! The hub against a model, a plain list of all that was ever published, and the hub audited after each
//! doing; and messages as they are told.
//!
//! The model does not know when something is evicted. It knows the promise: each reader is told every
//! message once and in order, or a gap over messages that are all gone.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use encke::hub::{
    Bounds, Cursor, Data, Due, Hub, Item, Message, Once, PresenceEvent, Published, ReaderId, Refusal, Start,
};
use encke::wire::json;
use serde_json::Value;

use super::Choices;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "@f"];
const GONE: &[u8] = b"\"gone\"";
const USERS: [&str; 4] = ["ann", "bob", "cyd", "dan"];

/// Channels, readers and keys under bounds so narrow that all of them are met.
pub fn hub(input: &[u8]) {
    let mut model = Model::new(input);
    while !model.choices.is_empty() {
        model.step();
    }
    model.settle();
    for at in 0..model.readers.len() {
        while model.take(at, 500) {}
    }
}

/// Whatever a channel, a user and the data are called, a message is inert JSON that says just that. A cursor
/// has one spelling.
pub fn message(input: &[u8]) {
    let mut choices = Choices::new(input);
    let (name, user) = (choices.text(), choices.text());
    let from = (choices.below(2) == 0).then_some(&*user);
    let is_text = choices.below(2) == 0;
    let data = choices.rest();
    let base64: String = data.iter().map(|byte| char::from(b"AQgw+/0="[usize::from(byte % 8)])).collect();
    let mut quoted = Vec::new();
    json::quote(&mut quoted, &String::from_utf8_lossy(data));

    let mut hub = Hub::new(0x0bad_cafe, [7; 16], Bounds::default());
    hub.set_time(1, 1_700_000_000_000);
    let published = if is_text { Data::Json(&quoted) } else { Data::Base64(&base64) };
    let Ok(message) = hub.publish(&name, from, published) else { return };
    assert!(json::is_inert(message.json()));
    let value: Value = serde_json::from_slice(message.json()).expect("a message is JSON");
    assert_eq!((value["ch"].as_str(), value["from"].as_str()), (Some(&*name), from));
    let said = value["data"].as_str().expect("a string");
    assert_eq!(said, if is_text { String::from_utf8_lossy(data) } else { base64.into() });
    assert_eq!(value["encoding"].as_str(), (!is_text).then_some("base64"));
    let id = value["id"].as_str().expect("an id");
    assert_eq!(Cursor::parse(id), Some(message.cursor()));

    if let Some(told) = hub.announce(&name, &user, PresenceEvent::Back) {
        assert!(json::is_inert(told.json()));
        let value: Value = serde_json::from_slice(told.json()).expect("a presence is JSON");
        assert_eq!((value["ch"].as_str(), value["user"].as_str()), (Some(&*name), Some(&*user)));
    }
    if let Some(cursor) = Cursor::parse(&user) {
        assert_eq!(cursor.to_string(), *user);
    }
    hub.audit();
}

/// What a reader was told, by channel.
struct Watched {
    id: ReaderId,
    told: BTreeMap<&'static str, u64>,
    /// All its channels were started from one cursor, and it never moved: it may resume.
    uniform: bool,
    /// The fan-out does not owe it a visit: the caller was told there is more.
    owed_by_caller: bool,
}

struct Model<'a> {
    choices: Choices<'a>,
    hub: Hub,
    now: u64,
    /// The numbers of all messages ever published, presences aside.
    published: BTreeMap<&'static str, Vec<u64>>,
    /// The last of them under each key, by channel, user and key, and when it was published.
    keyed: BTreeMap<(&'static str, &'static str, usize), (u64, u64)>,
    /// Those of them that say [`GONE`] since.
    redacted: BTreeSet<u64>,
    readers: Vec<Watched>,
}

impl<'a> Model<'a> {
    fn new(input: &'a [u8]) -> Model<'a> {
        let bounds = Bounds {
            channel_messages: 12,
            channel_bytes: 2_500,
            log_bytes: 9_000,
            message_kept_ms: 3_000,
            presences_kept: 5,
            presence_told: 3,
            subscriptions: 5,
            readers: 40,
            keys: 20,
            key_kept_ms: 2_000,
            ..Bounds::default()
        };
        Model {
            choices: Choices::new(input),
            hub: Hub::new(0x0bad_cafe, [7; 16], bounds),
            now: 0,
            published: NAMES.map(|name| (name, Vec::new())).into(),
            keyed: BTreeMap::new(),
            redacted: BTreeSet::new(),
            readers: Vec::new(),
        }
    }

    fn step(&mut self) {
        match self.choices.below(100) {
            0..30 => self.publish(),
            30..36 => self.publish_once(),
            36..44 => self.join(),
            44..48 => self.leave(),
            48..54 => self.subscribe(),
            54..58 => self.unsubscribe(),
            58..60 => self.seek(),
            60..64 => self.rename(),
            64..76 => self.take_some(),
            76..82 => self.resume(),
            82..90 => self.fan_out(3),
            90..94 => self.settle(),
            94..96 => self.age(),
            96 => _ = self.hub.clear(self.choices.pick(&NAMES)),
            97 => self.announce(),
            98 if self.choices.below(2) == 0 => self.shed(),
            98 => self.redact(),
            _ => _ = self.hub.sweep(self.choices.below(4)),
        }
        self.hub.audit();
        assert!(self.hub.bytes() <= self.hub.bounds().log_bytes);
    }

    fn publish(&mut self) {
        let name = self.choices.pick(&NAMES);
        for _ in 0..=self.choices.below(4) {
            let data = vec![b'1'; 1 + self.choices.below(400)];
            let from = (self.choices.below(2) == 0).then_some("ann");
            let message = self.hub.publish(name, from, &data[..]).expect("published");
            self.note(name, message.seq());
        }
    }

    /// A key lives as long as its message, and for its time at least unless too many newer ones outlive theirs.
    fn publish_once(&mut self) {
        let (name, user, key) =
            (self.choices.pick(&NAMES), self.choices.pick(&USERS), self.choices.below(30));
        let text = key.to_string();
        let once = Once { scope: user, key: &text, is_back_end: true };
        let before = self.keyed.get(&(name, user, key)).copied();
        let must_be_known = before.is_some_and(|(seq, at)| {
            let is_young = self.now - at <= self.hub.bounds().key_kept_ms;
            self.is_kept(name, seq) || (is_young && self.evicted_after(seq) < self.hub.bounds().keys)
        });
        let Published { seq, repeated } = self.hub.publish_once(name, None, once, b"1").expect("published");
        assert!(repeated || !must_be_known, "number {before:?} is published again as {seq}");
        if repeated {
            assert_eq!(before.map(|(seq, _)| seq), Some(seq));
        } else {
            self.note(name, seq);
            self.keyed.insert((name, user, key), (seq, self.now));
        }
    }

    fn is_kept(&self, name: &str, seq: u64) -> bool {
        self.hub.history(name, Some(seq + 1), 1).first().is_some_and(|message| message.seq() == seq)
    }

    /// Keys of messages newer than that one which are not kept any more.
    fn evicted_after(&self, seq: u64) -> usize {
        let newer = self.keyed.iter().filter(|(_, (other, _))| *other > seq);
        newer.filter(|((name, ..), (other, _))| !self.is_kept(name, *other)).count()
    }

    /// Memory is short: history goes down to what is asked for, or to what is being handed out.
    fn shed(&mut self) {
        let (before, bytes) = (self.hub.bytes(), self.choices.below(6_000));
        self.hub.shed(bytes);
        assert!(self.hub.bytes() <= before);
        assert!(self.hub.bytes() <= bytes.max(before) && (before > bytes || self.hub.bytes() == before));
        assert!(self.hub.bytes() <= bytes || self.hub.has_due(), "{} is kept of {before}", self.hub.bytes());
    }

    /// A message that is kept says something else from now on, one that is not kept says nothing.
    fn redact(&mut self) {
        let name = self.choices.pick(&NAMES);
        let known = &self.published[name];
        let Some(&seq) = known.get(known.len().saturating_sub(1 + self.choices.below(12))) else { return };
        let is_kept = self.is_kept(name, seq);
        assert_eq!(self.hub.redact(name, seq, GONE), Ok(is_kept));
        if is_kept {
            self.redacted.insert(seq);
        }
    }

    fn note(&mut self, name: &str, seq: u64) {
        assert!(seq <= self.hub.head());
        let seqs = self.published.get_mut(name).expect("a known name");
        assert!(seqs.last().is_none_or(|&last| last < seq));
        seqs.push(seq);
    }

    /// A reader of a few channels, all from one cursor.
    fn join(&mut self) {
        let Ok(id) = self.hub.join() else {
            assert_eq!(self.readers.len(), self.hub.bounds().readers);
            return;
        };
        if self.choices.below(2) == 0 {
            let user = self.choices.pick(&USERS);
            self.hub.name(id, Some(user.into()));
        }
        let since = self.since();
        let mut told = BTreeMap::new();
        for _ in 0..self.choices.below(5) {
            let name = self.choices.pick(&NAMES);
            let start = Start::Since(since);
            self.hub.subscribe(id, name, start).expect("subscribed");
            told.insert(name, since);
        }
        self.readers.push(Watched { id, told, uniform: true, owed_by_caller: true });
    }

    /// Mostly a number near the head, as readers have.
    fn since(&mut self) -> u64 {
        let head = self.hub.head();
        match self.choices.below(3) {
            0 => head,
            1 => head.saturating_sub(self.choices.below(60) as u64),
            _ => self.choices.below((head as usize + 1).min(65_536)) as u64,
        }
    }

    fn leave(&mut self) {
        if let Some(at) = self.any_reader() {
            let reader = self.readers.swap_remove(at);
            self.hub.leave(reader.id);
        }
    }

    fn subscribe(&mut self) {
        let Some(at) = self.any_reader() else {
            return;
        };
        let name = self.choices.pick(&NAMES);
        let (start, told) = self.start(name);
        let reader = &mut self.readers[at];
        match self.hub.subscribe(reader.id, name, start) {
            Ok(_) => {
                reader.told.insert(name, told);
                reader.uniform = false;
                reader.owed_by_caller = true;
            }
            Err(refusal) => assert_eq!(refusal, Refusal::TooManySubscriptions),
        }
    }

    /// A start, and up to where it makes the reader one that was told.
    fn start(&mut self, name: &str) -> (Start, u64) {
        let head = self.hub.head();
        match self.choices.below(3) {
            0 => (Start::Now, head),
            1 => {
                let since = self.since();
                (Start::Since(since), since)
            }
            _ => {
                let n = self.choices.below(6);
                let last = self.hub.history(name, None, n);
                let told = last.first().map_or(head, |m| m.seq() - 1);
                (Start::Last(n as u32), told)
            }
        }
    }

    fn unsubscribe(&mut self) {
        if let Some(at) = self.any_reader() {
            let name = self.choices.pick(&NAMES);
            let reader = &mut self.readers[at];
            let was = reader.told.remove(name).is_some();
            assert_eq!(self.hub.unsubscribe(reader.id, name), was);
        }
    }

    fn seek(&mut self) {
        if let Some(at) = self.any_reader() {
            let since = self.since();
            let reader = &mut self.readers[at];
            self.hub.seek(reader.id, Start::Since(since));
            reader.told.values_mut().for_each(|told| *told = since);
            reader.uniform = true;
            reader.owed_by_caller = true;
        }
    }

    fn rename(&mut self) {
        if let Some(at) = self.any_reader() {
            let user = self.choices.pick(&USERS);
            let user = (self.choices.below(3) > 0).then(|| Rc::from(user));
            self.hub.name(self.readers[at].id, user);
        }
    }

    fn announce(&mut self) {
        let (name, user) = (self.choices.pick(&NAMES), self.choices.pick(&USERS));
        self.hub.announce(name, user, PresenceEvent::Away);
    }

    fn age(&mut self) {
        self.now += self.choices.below(1_500) as u64;
        // The wall clock jumps about, and nothing depends on it.
        let wall = self.choices.below(65_536) as u64;
        self.hub.set_time(self.now, wall);
    }

    fn any_reader(&mut self) -> Option<usize> {
        let readers = self.readers.len();
        (readers > 0).then(|| self.choices.below(readers))
    }

    fn take_some(&mut self) {
        if let Some(at) = self.any_reader() {
            let bytes_max = self.choices.below(1_500);
            self.take(at, bytes_max);
        }
    }

    /// Leaves and comes back with the cursor, as a reader that changes its transport does.
    fn resume(&mut self) {
        let Some(at) = self.any_reader() else {
            return;
        };
        if !self.readers[at].uniform {
            return;
        }
        let reader = &mut self.readers[at];
        let cursor = self.hub.position(reader.id);
        self.hub.leave(reader.id);
        reader.id = self.hub.join().expect("joined");
        reader.owed_by_caller = true;
        for name in reader.told.keys() {
            let start = Start::Since(cursor);
            self.hub.subscribe(reader.id, name, start).expect("resumed");
        }
    }

    fn fan_out(&mut self, most: usize) {
        for _ in 0..most {
            let Some(due) = self.hub.next_due() else {
                return;
            };
            let is_due = |reader: &Watched| reader.id == due.reader;
            let at = self.readers.iter().position(is_due).expect("a reader");
            if self.choices.below(4) == 0 || !self.advance(at, due) {
                while self.take(at, 300) {}
            }
        }
    }

    /// Serves all that are due; then nobody is behind but those who were told there is more.
    fn settle(&mut self) {
        while self.hub.has_due() {
            self.fan_out(100);
        }
        for reader in &self.readers {
            assert!(reader.owed_by_caller || !self.hub.is_behind(reader.id));
        }
    }

    fn advance(&mut self, at: usize, due: Due) -> bool {
        let Some((from, to)) = due.run else {
            return false;
        };
        let run = self.hub.messages(due.channel, from, to);
        let run: Vec<_> = run.cloned().collect();
        assert!(!run.is_empty());
        assert!(self.hub.advance(due.reader, due.channel, from, to));
        for message in &run {
            self.hear(at, message);
        }
        // A run is bounded: what lies behind it is the caller's to take.
        self.readers[at].owed_by_caller = self.hub.is_behind(due.reader);
        true
    }

    fn take(&mut self, at: usize, bytes_max: usize) -> bool {
        let id = self.readers[at].id;
        let was_behind = self.hub.is_behind(id);
        let mut out = Vec::new();
        let more = self.hub.take(id, bytes_max, &mut out);
        assert_eq!(was_behind, !out.is_empty());
        assert_eq!(more, self.hub.is_behind(id));
        let mut last = 0;
        for item in &out {
            let seq = match item {
                Item::Message(message) => {
                    assert!(last < message.seq(), "the order of the log");
                    self.hear(at, message);
                    message.seq()
                }
                Item::Gap { channel, seq } => {
                    assert!(last <= *seq, "a gap in its place");
                    let name = self.hub.channel(*channel).expect("open").name.clone();
                    self.hear_gap(at, &name, *seq);
                    *seq
                }
            };
            last = seq;
        }
        self.readers[at].owed_by_caller = more;
        self.check_position(at, more);
        more
    }

    fn hear(&mut self, at: usize, message: &Message) {
        let json = String::from_utf8_lossy(message.json()).into_owned();
        assert_eq!(json.contains("\"gone\""), self.redacted.contains(&message.seq()), "{json}");
        let name = json.split("\"ch\":\"").nth(1).and_then(|s| s.split('"').next());
        let name = name.expect("a channel");
        let missed = self.untold(at, name, message.seq() - 1);
        assert!(missed.is_empty(), "{missed:?} lost in {name}");
        self.tell(at, name, message.seq());
    }

    fn hear_gap(&mut self, at: usize, name: &str, seq: u64) {
        let missed = self.untold(at, name, seq);
        assert_eq!(missed.last(), Some(&seq), "a gap ends at what is missing");
        let kept = self.hub.history(name, None, usize::MAX);
        assert!(kept.iter().all(|m| !missed.contains(&m.seq())));
        self.tell(at, name, seq);
    }

    fn tell(&mut self, at: usize, name: &str, seq: u64) {
        let told = self.readers[at].told.get_mut(name).expect("subscribed");
        assert!(*told < seq, "{seq} twice in {name}");
        *told = seq;
    }

    /// The messages of a channel up to `to` that a reader was not told.
    fn untold(&self, at: usize, name: &str, to: u64) -> Vec<u64> {
        let told = self.readers[at].told[name];
        let seqs = self.published[name].iter().copied();
        seqs.filter(|&seq| told < seq && seq <= to).collect()
    }

    /// Whatever up to the cursor is untold lies below a floor beyond the cursor, so that who resumes is told
    /// the gap; and of what was told nothing lies after the cursor.
    fn check_position(&self, at: usize, more: bool) {
        let reader = &self.readers[at];
        let position = self.hub.position(reader.id);
        assert!(more || position == self.hub.head());
        for (name, &told) in &reader.told {
            if !self.untold(at, name, position).is_empty() {
                let channel = self.hub.find(name).and_then(|id| self.hub.channel(id));
                assert!(position < channel.expect("open").floor, "a cursor past {name}");
            }
            assert!(!reader.uniform || told <= position, "a cursor before what was told");
        }
    }
}
