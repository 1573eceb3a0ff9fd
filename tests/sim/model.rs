//! What every reader must have been told, worked out from what clients saw alone.
//!
//! It knows the promises of the wire surface and nothing of how they are kept: one sequence for all messages
//! of a server's life; each reader gets every message of its channels once and in order, or a gap that says
//! what is missing; a gap is told only for messages that the channel no longer keeps, and why it doesn't must
//! follow from what was known when the gap was told.
//!
//! A message may be seen by a reader long before its publisher has the answer, or by no reader at all. So
//! completeness is judged at the end, when all that can be known is: until then each track only takes note of
//! the spans over which it was told to be complete.
//!
//! Numbers of messages are *places* here: the life of the server above, the number in its log below, so that
//! what is later is larger over restarts too.

use std::collections::{BTreeMap, BTreeSet};

use encke::limits::KEY_KEPT_MS;
use serde_json::Value;

pub(crate) use super::track::Reader;
use super::track::{Gap, Track};

/// Bits of a place that are the number in one life's log.
const NUMBER_BITS: u32 = 40;

/// Bytes that a message may count for in its channel beyond its data: the object around it with its names
/// escaped, and what the server adds for its own.
const MESSAGE_OVERHEAD_BYTES: usize = 700;

/// Who a message is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    Nobody,
    User(String),
    /// The login that decides it was under way.
    Either(String),
}

impl Author {
    fn may_be(&self, from: Option<&str>) -> bool {
        match self {
            Author::Nobody => from.is_none(),
            Author::User(nick) => from == Some(nick),
            Author::Either(nick) => from.is_none_or(|from| from == nick),
        }
    }
}

/// A publish that was tried.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) channel: String,
    pub(crate) data: Value,
    author: Author,
    /// When, and in which life of the server.
    pub(crate) at: u64,
    pub(crate) life: u64,
    /// Its place, once anyone has seen it.
    pub(crate) seq: Option<u64>,
    /// The server said no.
    pub(crate) refused: bool,
    /// Its author has asked that it be taken back, and since when that is done.
    taken_back: bool,
    gone_since: Option<u64>,
    /// The server published it by itself: an echo has announced it.
    derived: bool,
}

impl Attempt {
    /// Whether it is that author's for certain.
    pub(crate) fn is_from(&self, author: &Author) -> bool {
        self.author == *author
    }

    pub(crate) fn may_be_from(&self, nick: &str) -> bool {
        self.author.may_be(Some(nick))
    }

    /// At most so many bytes in its channel's account.
    fn bytes(&self) -> usize {
        // What is escaped takes six bytes at most for one.
        self.data.to_string().len() * 2 + 6 * self.channel.len() + MESSAGE_OVERHEAD_BYTES
    }
}

/// Somebody asked that a channel be emptied.
#[derive(Debug)]
struct Clearing {
    channel: String,
    asked_at: u64,
    answered_at: Option<u64>,
}

/// Something that the server may publish by itself, once, because somebody asked for something.
#[derive(Debug)]
struct Echo {
    channel: String,
    life: u64,
    /// When it was asked for, and the letter of which it is a copy, if it is one.
    at: u64,
    letter: Option<usize>,
    bytes: usize,
}

/// What a channel keeps, and all of them together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) all_bytes: usize,
    pub(crate) ms: u64,
    /// Every presence event is kept as long as the messages around it.
    pub(crate) presences: bool,
    /// Memory is short: history may be given up whenever the server says that it was.
    pub(crate) short: bool,
}

impl Default for Kept {
    fn default() -> Kept {
        let bytes = 1 << 40;
        Kept { messages: 1 << 20, bytes, all_bytes: bytes, ms: 1 << 40, presences: false, short: false }
    }
}

/// Everything that clients know together.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) now: u64,
    pub(crate) kept: Kept,
    /// The server's present life, and the epoch of each in which a cursor was seen.
    life: u64,
    epochs: BTreeMap<u64, String>,
    pub(crate) attempts: Vec<Attempt>,
    /// The attempt behind each place that anyone has seen.
    log: BTreeMap<u64, usize>,
    /// What the server publishes by itself because of an attempt: a copy, a receipt. By what it says.
    derived: BTreeMap<String, usize>,
    clearings: Vec<Clearing>,
    echoes: Vec<Echo>,
    /// When the server gave up history because memory was short.
    pub(crate) shed: Vec<u64>,
    /// What was said to all rooms.
    pub(crate) notices: BTreeSet<String>,
    /// The newest place that any reader was told of.
    pub(crate) newest: u64,
    /// Place, channel and user of each leave that any reader was told of.
    pub(crate) leaves: Vec<(u64, String, String)>,
    pub(crate) readers: Vec<Reader>,
}

impl Model {
    pub(crate) fn new(kept: Kept) -> Model {
        Model { kept, ..Model::default() }
    }

    // What clients do.

    /// A publish is tried: the data that goes with it.
    pub(crate) fn attempt(
        &mut self,
        channel: &str,
        author: Author,
        data: impl FnOnce(usize) -> Value,
    ) -> usize {
        let nonce = self.attempts.len();
        let data = data(nonce);
        let (channel, at, life) = (channel.to_owned(), self.now, self.life);
        let attempt = Attempt {
            channel,
            data,
            author,
            at,
            life,
            seq: None,
            refused: false,
            taken_back: false,
            gone_since: None,
            derived: false,
        };
        if let (true, Author::User(nick) | Author::Either(nick)) =
            (attempt.channel.starts_with('@'), &attempt.author)
        {
            // A copy for its author, a little longer.
            let (own, bytes) = (format!("@{nick}"), attempt.bytes() + MESSAGE_OVERHEAD_BYTES);
            self.echoes.push(Echo { channel: own, life, at, letter: Some(nonce), bytes });
        }
        self.attempts.push(attempt);
        nonce
    }

    /// Somebody asks for something after which the server may say so in a channel.
    pub(crate) fn echo(&mut self, channel: &str) {
        let (channel, at, life) = (channel.to_owned(), self.now, self.life);
        self.echoes.push(Echo { channel, life, at, letter: None, bytes: MESSAGE_OVERHEAD_BYTES });
    }

    /// The author of a message asks that it be taken back.
    pub(crate) fn take_back(&mut self, nonce: usize) {
        self.attempts[nonce].taken_back = true;
        let channel = self.attempts[nonce].channel.clone();
        self.echo(&channel);
        if let (true, Author::User(nick)) = (channel.starts_with('@'), self.attempts[nonce].author.clone()) {
            self.echo(&format!("@{nick}"));
        }
    }

    /// It was done: whoever asks from now on finds it gone.
    pub(crate) fn taken_back(&mut self, nonce: usize) {
        self.attempts[nonce].gone_since.get_or_insert(self.now);
    }

    /// A publisher was told the id of its message.
    pub(crate) fn acknowledged(&mut self, nonce: usize, id: &str) -> u64 {
        let seq = self.seq_of(id);
        self.number(seq, nonce);
        seq
    }

    /// A publisher was told no.
    pub(crate) fn refused(&mut self, nonce: usize) {
        self.attempts[nonce].refused = true;
    }

    /// Somebody asks that a channel be emptied. Returns what `cleared` wants.
    pub(crate) fn clear(&mut self, channel: &str) -> usize {
        let (channel, asked_at) = (channel.to_owned(), self.now);
        self.clearings.push(Clearing { channel, asked_at, answered_at: None });
        self.clearings.len() - 1
    }

    /// It was done.
    pub(crate) fn cleared(&mut self, clearing: usize) {
        self.clearings[clearing].answered_at = Some(self.now);
    }

    /// The server has died. What it had not told is lost, and another one begins.
    pub(crate) fn restart(&mut self) {
        self.life += 1;
        self.derived.clear();
        for reader in &mut self.readers {
            reader.forget_session();
            reader.forget_commands();
        }
    }

    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    // Places.

    fn number(&mut self, seq: u64, nonce: usize) {
        assert!(seq << (64 - NUMBER_BITS) != 0, "the first number of a log is 1");
        let attempt = &mut self.attempts[nonce];
        assert_eq!(attempt.life, seq >> NUMBER_BITS, "message {nonce} of another life is in the log");
        let before = attempt.seq.replace(seq);
        if let Some(before) = before.filter(|before| *before != seq) {
            assert!(
                self.may_be_forgotten(nonce, before.min(seq)),
                "message {nonce} is number {before} and {seq}"
            );
        }
        let other = self.log.insert(seq, nonce);
        assert!(other.is_none_or(|other| other == nonce), "number {seq} is message {other:?} and {nonce}");
    }

    /// Whether the key of a message may be forgotten, so that what is tried again is another message: it is
    /// old enough, and the channel need not keep the message any more.
    fn may_be_forgotten(&self, nonce: usize, seq: u64) -> bool {
        let gap = Gap { from: seq - 1, to: seq, told_at: self.now, restarted: false, again: false };
        self.now - self.attempts[nonce].at > KEY_KEPT_MS && self.is_excused(seq, nonce, &gap)
    }

    /// The place in a cursor, which must be of this life.
    pub(crate) fn seq_of(&mut self, cursor: &str) -> u64 {
        let (epoch, seq) = cursor.rsplit_once('-').unwrap_or_else(|| panic!("no cursor: {cursor:?}"));
        if !self.epochs.contains_key(&self.life) {
            assert!(
                self.epochs.values().all(|known| known != epoch),
                "an epoch of an earlier life: {cursor}"
            );
            self.epochs.insert(self.life, epoch.to_owned());
        }
        assert_eq!(self.epochs[&self.life], epoch, "another epoch in {cursor}");
        let number: u64 = seq.parse().unwrap_or_else(|_| panic!("no number: {cursor:?}"));
        assert!(number >> NUMBER_BITS == 0, "beyond all numbers: {cursor}");
        let seq = self.life << NUMBER_BITS | number;
        self.newest = self.newest.max(seq);
        seq
    }

    /// The cursor of a place.
    pub(crate) fn cursor_of(&self, seq: u64) -> String {
        let epoch = self.epochs.get(&(seq >> NUMBER_BITS)).expect("a place of a life that was seen");
        format!("{epoch}-{}", seq & ((1 << NUMBER_BITS) - 1))
    }

    // What readers hear.

    /// A reader was told something that concerns the log. Returns false for what doesn't.
    pub(crate) fn event(&mut self, reader: usize, event: &Value) -> bool {
        match text(event, "type") {
            "welcome" => {
                let cursor = self.seq_of(text(event, "cursor"));
                assert_eq!(self.epochs[&self.life], text(event, "epoch"));
                self.begin(reader, text(event, "sid"), cursor);
                if !self.readers[reader].asked_for_last {
                    self.readers[reader].start_tracks(cursor);
                }
            }
            "message" => self.message(reader, event),
            "gap" => {
                let seq = self.seq_of(text(event, "cursor"));
                let why = text(event, "why");
                assert!(matches!(why, "evicted" | "restarted"), "an unknown reason: {event}");
                let now = self.now;
                self.begin_epoch(reader, seq);
                self.readers[reader].hear_gap(text(event, "ch"), seq, why == "restarted", now);
            }
            "presence" => {
                let seq = self.seq_of(text(event, "id"));
                let channel = text(event, "ch");
                // Emptying a channel takes them along, without a gap if nothing else was there.
                let is_cleared = self.clearings.iter().any(|clearing| clearing.channel == channel);
                let is_kept = self.kept.presences && !is_cleared;
                if event["event"] == "leave" {
                    self.leaves.push((seq, channel.to_owned(), text(event, "user").to_owned()));
                }
                let reader = &mut self.readers[reader];
                reader.hear_presence(channel, seq, event, is_kept);
            }
            _ => return false,
        }
        true
    }

    /// A stream has begun, or a poll was answered.
    fn begin(&mut self, reader: usize, sid: &str, cursor: u64) {
        assert!(!sid.is_empty());
        self.begin_epoch(reader, cursor);
        let reader = &mut self.readers[reader];
        if reader.sid.replace(sid.to_owned()).is_none_or(|before| before != sid) {
            // Another client: it has no name, and reads no inbox.
            reader.forget_session();
            reader.sid = Some(sid.to_owned());
        }
        reader.advance(cursor);
    }

    /// The first cursor of a new life tells that all of the old one is gone.
    fn begin_epoch(&mut self, reader: usize, seq: u64) {
        let first = seq >> NUMBER_BITS << NUMBER_BITS;
        let now = self.now;
        let reader = &mut self.readers[reader];
        if reader.cursor.is_some_and(|cursor| cursor < first) {
            reader.begin_epoch(first, now);
        }
    }

    /// A whole answer to a poll.
    pub(crate) fn poll(&mut self, reader: usize, body: &Value) {
        if self.readers[reader].sid.as_deref() != Some(text(body, "sid")) {
            self.readers[reader].forget_people();
        }
        for event in body["events"].as_array().expect("a poll has events") {
            self.event(reader, event);
        }
        let cursor = self.seq_of(text(body, "cursor"));
        self.begin(reader, text(body, "sid"), cursor);
        self.readers[reader].start_tracks(cursor);
    }

    fn message(&mut self, reader: usize, event: &Value) {
        let asked_at = self.readers[reader].asked_at;
        let seq = self.recorded(event, asked_at);
        self.begin_epoch(reader, seq);
        self.readers[reader].hear_message(text(event, "ch"), seq, event);
    }

    /// A message as anybody is told it who asked at that time: somebody must have published just that, or have taken
    /// it back since.
    pub(crate) fn recorded(&mut self, event: &Value, asked_at: u64) -> u64 {
        let (seq, channel) = (self.seq_of(text(event, "id")), text(event, "ch"));
        assert!(event["at"].is_u64(), "no time: {event}");
        let (mut data, letter) = (event["data"].clone(), self.letter_of(event));
        let is_gone = is_gone(&data) || is_gone(&data["data"]);
        if let (true, Some(letter)) = (is_gone, letter) {
            data["data"] = self.attempts[letter].data.clone();
        }
        let nonce = match self.log.get(&seq) {
            Some(nonce) if is_gone => *nonce,
            _ if self::is_gone(&data) => panic!("nobody published what is gone: {event}"),
            _ => self.nonce_of(event, &data),
        };
        let attempt = self.attempts.get(nonce).unwrap_or_else(|| panic!("nobody published {event}"));
        assert_eq!(attempt.channel, channel, "a message in another channel: {event}");
        let original = &self.attempts[letter.unwrap_or(nonce)];
        if is_gone {
            assert!(original.taken_back, "nobody has taken back {event}");
        } else {
            assert_eq!(attempt.data, data, "a message was changed");
            let is_late = original.gone_since.is_some_and(|since| since < asked_at);
            assert!(!is_late, "it was taken back before anybody asked: {event}");
        }
        assert!(!attempt.refused, "a message was refused and published: {event}");
        assert!(attempt.author.may_be(event["from"].as_str()), "from {:?}: {event}", attempt.author);
        self.number(seq, nonce);
        seq
    }

    /// The letter of which something is the copy, if it is one.
    fn letter_of(&mut self, event: &Value) -> Option<usize> {
        let data = &event["data"];
        data["to"].as_str()?;
        let seq = self.seq_of(text(data, "id"));
        data["data"]["n"].as_u64().map(|nonce| nonce as usize).or_else(|| self.log.get(&seq).copied())
    }

    /// Which attempt a message belongs to whose data, as they were, are these.
    fn nonce_of(&mut self, event: &Value, data: &Value) -> usize {
        if let Some(nonce) = data["n"].as_u64() {
            return nonce as usize;
        }
        let (key, author) = self.derivation(event, data);
        if let Some(nonce) = self.derived.get(&key) {
            return *nonce;
        }
        let nonce = self.attempt(text(event, "ch"), author, |_| data.clone());
        // It was published some time after what it follows from; how long ago is not known.
        (self.attempts[nonce].at, self.attempts[nonce].derived) = (0, true);
        self.derived.insert(key, nonce);
        nonce
    }

    /// What something is that the server publishes by itself, and from whom it must be: there is one copy of a
    /// private message, in its author's inbox, and one receipt of each kind from each of its readers.
    fn derivation(&mut self, event: &Value, data: &Value) -> (String, Author) {
        let (channel, owner) = (text(event, "ch"), text(event, "ch").strip_prefix('@'));
        if let Some(notice) = data["notice"].as_str() {
            assert!(self.notices.contains(notice), "a notice that nobody gave: {event}");
            return (format!("notice {} in {channel}", text(data, "nonce")), Author::Nobody);
        }
        if data["cleared"] == true {
            let is_asked = self.clearings.iter().any(|clearing| clearing.channel == channel);
            assert!(is_asked, "a room that nobody cleared: {event}");
            return (format!("cleared at {}", text(event, "id")), Author::Nobody);
        }
        if let Some(id) = data["deletes"].as_str() {
            let seq = self.seq_of(id);
            // Of a letter's copy nobody may have seen more than the letter, whose place is the one before.
            let of = |seq: u64| self.log.get(&seq).map(|nonce| &self.attempts[*nonce]);
            let known = of(seq).filter(|attempt| attempt.taken_back && attempt.channel == channel);
            let letter = || of(seq - 1).filter(|letter| letter.taken_back && letter.channel.starts_with('@'));
            let original = known.or_else(letter);
            let original = original.unwrap_or_else(|| panic!("nobody has taken back what is gone: {event}"));
            return (format!("deletes {seq}"), original.author.clone());
        }
        let owner = owner.unwrap_or_else(|| panic!("data that nobody published: {event}")).to_owned();
        if let Some(nonce) = data["data"]["n"].as_u64() {
            let seq = self.seq_of(text(data, "id"));
            self.number(seq, nonce as usize);
            // It came right before its copy, if that was asked for when the letter was.
            let original = &self.attempts[nonce as usize];
            assert_eq!(
                original.channel,
                format!("@{}", text(data, "to")),
                "a copy of something else: {event}"
            );
            assert_eq!(original.data, data["data"], "a copy was changed");
            assert!(original.author.may_be(Some(&owner)), "a copy for {owner}: {:?}", original.author);
            return (format!("copy of {nonce}"), Author::User(owner));
        }
        let (kind, channel) = (text(data, "receipt").to_owned(), text(data, "ch").to_owned());
        let reader = channel.strip_prefix('@').unwrap_or_else(|| panic!("a receipt of no inbox: {event}"));
        let seq = self.seq_of(text(data, "id"));
        let read = self.log.get(&seq).map(|nonce| &self.attempts[*nonce]);
        let read = read.unwrap_or_else(|| panic!("a receipt for what nobody has seen: {event}"));
        assert!(read.channel == channel && read.author.may_be(Some(&owner)), "{event} for {read:?}");
        (format!("{kind} of {seq} by {reader}"), Author::User(reader.to_owned()))
    }

    /// A message in an inbox, by somebody who reads receipts: what may be confirmed there.
    pub(crate) fn confirmable(&self, reader: usize, inbox: &str) -> Vec<u64> {
        let got = self.readers[reader].got(inbox);
        let is_letter = |seq: &u64| {
            let attempt = &self.attempts[self.log[seq]];
            matches!(attempt.author, Author::User(_)) && attempt.data["n"].is_u64()
        };
        got.filter(|seq| seq >> NUMBER_BITS == self.life).filter(is_letter).collect()
    }

    /// A letter is confirmed: its author may be told.
    pub(crate) fn confirm(&mut self, seq: u64) {
        if let Author::User(nick) = self.attempts[self.log[&seq]].author.clone() {
            self.echo(&format!("@{nick}"));
        }
    }

    // The judgement.

    /// Judges every reader, now that all is known.
    pub(crate) fn judge(&self) {
        for (number, reader) in self.readers.iter().enumerate() {
            for (channel, track) in reader.all_tracks() {
                self.judge_track(number, channel, track);
                self.judge_copies(number, channel, track);
            }
        }
    }

    /// Who was told all of an inbox was told of what its owner wrote to others: the copy is the next place after
    /// the message itself.
    fn judge_copies(&self, reader: usize, channel: &str, track: &Track) {
        let Some(owner) = channel.strip_prefix('@') else { return };
        for (seq, nonce) in &self.log {
            let attempt = &self.attempts[*nonce];
            let is_letter =
                attempt.channel.starts_with('@') && attempt.channel != channel && attempt.data["n"].is_u64();
            // There may have been no memory for a copy.
            let is_due = is_letter && !self.kept.short && attempt.author == Author::User(owner.to_owned());
            if is_due && track.owes(seq + 1) {
                let is_told = track.got.contains(&(seq + 1));
                let is_gone = track.gaps.iter().any(|gap| gap.from <= *seq && *seq < gap.to);
                assert!(
                    is_told || is_gone,
                    "reader {reader} has no copy of number {seq}, which {owner} wrote"
                );
            }
        }
    }

    fn judge_track(&self, reader: usize, channel: &str, track: &Track) {
        let of_channel = |nonce: &usize| self.attempts[*nonce].channel == channel;
        let all: Vec<(u64, usize)> = self
            .log
            .iter()
            .filter(|(_, nonce)| of_channel(nonce))
            .map(|(seq, nonce)| (*seq, *nonce))
            .collect();
        for (seq, nonce) in &all {
            if !track.owes(*seq) || track.got.contains(seq) {
                continue;
            }
            let gaps: Vec<&Gap> = track.gaps.iter().filter(|gap| gap.from < *seq && *seq <= gap.to).collect();
            assert!(
                !gaps.is_empty(),
                "reader {reader} was never told of number {seq} of {channel}: {track:?}"
            );
            assert!(
                gaps.iter().any(|gap| self.is_excused(*seq, *nonce, gap)),
                "reader {reader} was told that number {seq} of {channel} is gone, and it must be there: {gaps:?}"
            );
        }
        for gap in &track.gaps {
            let lost =
                all.iter().any(|(seq, _)| gap.from < *seq && *seq <= gap.to && !track.got.contains(seq));
            // What the server said by itself nobody may have seen.
            let unseen =
                self.unseen(channel, gap).next().is_some() || self.echoes_of(channel, gap).next().is_some();
            assert!(
                lost || gap.restarted || gap.again || unseen,
                "reader {reader} was told of a gap in {channel} where nothing is missing: {gap:?}"
            );
        }
    }

    /// Attempts that may have been published before a gap was told without anyone having seen them.
    fn unseen<'a>(&'a self, channel: &'a str, gap: &'a Gap) -> impl Iterator<Item = &'a Attempt> {
        let life = gap.to >> NUMBER_BITS;
        self.attempts.iter().filter(move |attempt| {
            attempt.channel == channel
                && attempt.seq.is_none()
                && !attempt.refused
                && attempt.life == life
                && attempt.at <= gap.told_at
        })
    }

    /// What the server may have published in a channel by itself before a gap was told.
    fn echoes_of<'a>(&'a self, channel: &'a str, gap: &'a Gap) -> impl Iterator<Item = &'a Echo> {
        let life = gap.to >> NUMBER_BITS;
        let of_channel = move |echo: &&Echo| echo.channel == channel && echo.life == life;
        self.echoes.iter().filter(of_channel).filter(move |echo| echo.at <= gap.told_at)
    }

    /// Whether the channel may have lost the message by the time a gap was told over it.
    fn is_excused(&self, seq: u64, nonce: usize, gap: &Gap) -> bool {
        let attempt = &self.attempts[nonce];
        let channel = attempt.channel.as_str();
        if seq >> NUMBER_BITS < gap.to >> NUMBER_BITS {
            return true;
        }
        if self.shed.iter().any(|at| attempt.at <= *at && *at <= gap.told_at) {
            return true;
        }
        let may_be_cleared = |clearing: &Clearing| {
            clearing.channel == channel
                && clearing.asked_at <= gap.told_at
                && clearing.answered_at.is_none_or(|answered_at| answered_at >= attempt.at)
        };
        if gap.told_at - attempt.at >= self.kept.ms || self.clearings.iter().any(may_be_cleared) {
            return true;
        }
        let newer = self.log.range(seq + 1..).map(|(_, nonce)| &self.attempts[*nonce]);
        let newer = newer.filter(|newer| newer.at <= gap.told_at && newer.life == attempt.life);
        let newer: Vec<&Attempt> = newer.collect();
        // What was published because of something else is counted where that was asked for.
        let here = newer.iter().copied().filter(|newer| newer.channel == channel && !newer.derived);
        let here: Vec<&Attempt> = here.chain(self.unseen(channel, gap)).collect();
        let is_newer = |echo: &&Echo| {
            let letter = echo.letter.and_then(|nonce| self.attempts[nonce].seq);
            letter.is_none_or(|letter| letter + 1 > seq)
        };
        let echoes: Vec<usize> =
            self.echoes_of(channel, gap).filter(is_newer).map(|echo| echo.bytes).collect();
        let bytes = here.iter().map(|newer| newer.bytes()).sum::<usize>() + echoes.iter().sum::<usize>();
        if here.len() + echoes.len() >= self.kept.messages || bytes + attempt.bytes() > self.kept.bytes {
            return true;
        }
        // The bound on all channels together: which of them gives up what is the server's affair.
        let life = attempt.life;
        let all = self.attempts.iter().filter(|one| one.life == life && one.at <= gap.told_at);
        let echoes = self.echoes.iter().filter(|echo| echo.life == life && echo.at <= gap.told_at);
        let bytes = all.map(Attempt::bytes).sum::<usize>() + echoes.map(|echo| echo.bytes).sum::<usize>();
        bytes > self.kept.all_bytes
    }

    /// Messages and gaps that readers were told of, all together.
    pub(crate) fn told(&self) -> (usize, usize) {
        let all = self.readers.iter().flat_map(Reader::all_tracks);
        let all = all.map(|(_, track)| (track.got.len(), track.gaps.len()));
        all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Places that anyone has seen.
    pub(crate) fn len(&self) -> usize {
        self.log.len()
    }

    /// A place of this life somewhere below its newest that anyone has seen.
    pub(crate) fn recent(&self, back: usize) -> Option<u64> {
        let (newest, _) = self.log.range(self.life << NUMBER_BITS..).next_back()?;
        let number = newest & ((1 << NUMBER_BITS) - 1);
        Some(newest - (back as u64).min(number))
    }
}

/// Whether that is all that is left of a message.
fn is_gone(data: &Value) -> bool {
    data.as_object().is_some_and(|members| members.len() == 1) && data["deleted"] == true
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// Publishes `count` messages to "a" and returns a model with one reader that has been welcomed at 0.
#[cfg(test)]
fn example(count: u64, messages: usize) -> Model {
    let kept = Kept { messages, presences: true, ..Kept::default() };
    let mut model = Model { readers: vec![Reader::new(&["a".to_owned()])], ..Model::new(kept) };
    welcome(&mut model, "e");
    for seq in 1..=count {
        let nonce = model.attempt("a", Author::Nobody, |nonce| serde_json::json!({ "n": nonce }));
        model.acknowledged(nonce, &format!("e-{seq}"));
    }
    model
}

#[cfg(test)]
fn welcome(model: &mut Model, epoch: &str) {
    let cursor = format!("{epoch}-0");
    model.event(0, &serde_json::json!({"type":"welcome","sid":"s","cursor":cursor,"epoch":epoch}));
}

#[cfg(test)]
fn tell(model: &mut Model, seq: u64) {
    let data = serde_json::json!({ "n": seq - 1 });
    let id = format!("e-{seq}");
    model.event(0, &serde_json::json!({"type":"message","ch":"a","id":id,"at":1,"from":null,"data":data}));
}

#[cfg(test)]
fn tell_gap(model: &mut Model, why: &str, cursor: &str) {
    model.event(0, &serde_json::json!({"type":"gap","ch":"a","why":why,"cursor":cursor}));
}

#[cfg(test)]
fn tell_presence(model: &mut Model, event: &str, seq: u64, count: u64) {
    let id = format!("e-{seq}");
    let object = serde_json::json!(
        {"type":"presence","id":id,"ch":"a","event":event,"user":"ann","count":count});
    model.event(0, &object);
}

#[test]
fn a_reader_that_is_told_everything_is_content() {
    let mut model = example(3, 10);
    (1..=3).for_each(|seq| tell(&mut model, seq));
    model.judge();
}

#[test]
#[should_panic(expected = "was never told of number 2")]
fn a_message_left_out_is_found() {
    let mut model = example(3, 10);
    tell(&mut model, 1);
    tell(&mut model, 3);
    model.judge();
}

#[test]
#[should_panic(expected = "again, or late")]
fn a_message_told_twice_is_found() {
    let mut model = example(3, 10);
    tell(&mut model, 1);
    tell(&mut model, 1);
}

#[test]
#[should_panic(expected = "again, or late")]
fn two_messages_in_the_wrong_order_are_found() {
    let mut model = example(3, 10);
    tell(&mut model, 2);
    tell(&mut model, 1);
}

#[test]
#[should_panic(expected = "from User")]
fn a_message_from_another_is_found() {
    let mut model = example(0, 10);
    model.attempt("a", Author::User("ann".into()), |nonce| serde_json::json!({ "n": nonce }));
    tell(&mut model, 1);
}

#[test]
fn a_gap_explains_what_the_ring_has_lost() {
    let mut model = example(5, 2);
    tell_gap(&mut model, "evicted", "e-3");
    tell(&mut model, 4);
    tell(&mut model, 5);
    model.judge();
}

#[test]
#[should_panic(expected = "and it must be there")]
fn a_gap_over_what_is_kept_is_found() {
    let mut model = example(5, 3);
    tell_gap(&mut model, "evicted", "e-3");
    tell(&mut model, 4);
    tell(&mut model, 5);
    model.judge();
}

#[test]
#[should_panic(expected = "and it must be there")]
fn a_gap_that_only_later_messages_would_explain_is_found() {
    let mut model = example(3, 3);
    tell_gap(&mut model, "evicted", "e-1");
    model.now = 1;
    for seq in 4..=9 {
        let nonce = model.attempt("a", Author::Nobody, |nonce| serde_json::json!({ "n": nonce }));
        model.acknowledged(nonce, &format!("e-{seq}"));
    }
    (2..=9).for_each(|seq| tell(&mut model, seq));
    model.judge();
}

#[test]
#[should_panic(expected = "where nothing is missing")]
fn a_gap_over_nothing_is_found() {
    let mut model = example(2, 1);
    (1..=2).for_each(|seq| tell(&mut model, seq));
    tell_gap(&mut model, "evicted", "e-3");
    model.judge();
}

#[test]
fn age_bytes_and_clearing_excuse_a_gap() {
    type Excuse = fn(&mut Model);
    let excuses: [Excuse; 3] = [
        |model| (model.kept.ms, model.now) = (50, 60),
        |model| model.kept.bytes = 1000,
        |model| {
            let clearing = model.clear("a");
            model.cleared(clearing);
        },
    ];
    for excuse in excuses {
        let mut model = example(3, 10);
        excuse(&mut model);
        tell_gap(&mut model, "evicted", "e-2");
        tell(&mut model, 3);
        model.judge();
    }
}

#[test]
#[should_panic(expected = "and it must be there")]
fn what_was_cleared_before_excuses_nothing_after() {
    let mut model = example(0, 10);
    let clearing = model.clear("a");
    model.cleared(clearing);
    model.now = 1;
    let nonce = model.attempt("a", Author::Nobody, |nonce| serde_json::json!({ "n": nonce }));
    model.acknowledged(nonce, "e-1");
    tell_gap(&mut model, "evicted", "e-1");
    model.judge();
}

#[test]
fn after_a_restart_a_gap_and_the_new_log() {
    let mut model = example(2, 10);
    tell(&mut model, 1);
    model.restart();
    welcome(&mut model, "f");
    tell_gap(&mut model, "restarted", "f-0");
    model.judge();
}

#[test]
#[should_panic(expected = "without a word of the restart")]
fn a_restart_that_is_not_told_is_found() {
    let mut model = example(2, 10);
    tell(&mut model, 1);
    model.restart();
    welcome(&mut model, "f");
    let nonce = model.attempt("a", Author::Nobody, |nonce| serde_json::json!({ "n": nonce }));
    model.event(
        0,
        &serde_json::json!({"type":"message","ch":"a","id":"f-1","at":1,"from":null,"data":{"n":nonce}}),
    );
}

#[test]
#[should_panic(expected = "an epoch of an earlier life")]
fn a_restart_under_the_old_epoch_is_found() {
    let mut model = example(2, 10);
    model.restart();
    welcome(&mut model, "e");
}

#[test]
#[should_panic(expected = "comes though it is there")]
fn a_join_of_someone_who_is_there_is_found() {
    let mut model = example(0, 10);
    tell_presence(&mut model, "join", 1, 1);
    tell_presence(&mut model, "leave", 2, 0);
    tell_presence(&mut model, "join", 3, 1);
    tell_presence(&mut model, "join", 4, 1);
}
