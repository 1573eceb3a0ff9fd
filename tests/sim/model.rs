//! What every reader must have been told, worked out from what clients saw alone.
//!
//! It knows the promises of the wire surface and nothing of how they are kept: one sequence for all messages;
//! each reader gets every message of its channels once and in order, or a gap that says what is missing; a gap
//! is told only for messages that the channel no longer keeps.
//!
//! A message may be seen by a reader long before its publisher has the answer, or by no reader at all. So
//! completeness is judged at the end, when all that can be known is: until then each track only takes note of
//! the spans over which it was told to be complete.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A publish that was tried.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) channel: String,
    pub(crate) data: Value,
    /// Its number, once anyone has seen it.
    pub(crate) seq: Option<u64>,
    /// The server said no.
    pub(crate) refused: bool,
}

/// One channel of one reader.
#[derive(Debug, Default)]
struct Track {
    /// All up to here was told. Unknown from a subscription to its first message.
    position: Option<u64>,
    /// `(from, to]`: over these all was told, as a message or as a gap.
    spans: Vec<(u64, u64)>,
    /// `(from, to]`: of these some may be missing.
    gaps: Vec<(u64, u64)>,
    got: BTreeSet<u64>,
    /// No more is asked for. What comes before the server knows is let pass.
    leaving: bool,
}

/// A logical reader: one lineage of cursors, whatever connections it has had.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) sid: Option<String>,
    /// Where it would go on from.
    pub(crate) cursor: Option<u64>,
    tracks: BTreeMap<String, Track>,
    /// Channels whose subscription ended, kept for the last judgement.
    past: Vec<(String, Track)>,
}

impl Reader {
    pub(crate) fn new(channels: &[String]) -> Reader {
        let tracks = channels.iter().map(|channel| (channel.clone(), Track::default())).collect();
        Reader { tracks, ..Reader::default() }
    }

    /// The channels it wants.
    pub(crate) fn channels(&self) -> Vec<String> {
        let wanted = self.tracks.iter().filter(|(_, track)| !track.leaving);
        wanted.map(|(channel, _)| channel.clone()).collect()
    }

    pub(crate) fn subscribe(&mut self, channel: &str) {
        self.forget(channel);
        self.tracks.insert(channel.to_owned(), Track::default());
    }

    pub(crate) fn unsubscribe(&mut self, channel: &str) {
        if let Some(track) = self.tracks.get_mut(channel) {
            track.leaving = true;
        }
    }

    /// The reader comes back with its cursor, for the channels it wants. Without a cursor it starts anew.
    pub(crate) fn come_back(&mut self) {
        for channel in self.tracks.keys().cloned().collect::<Vec<_>>() {
            if self.tracks[&channel].leaving || self.cursor.is_none() {
                let leaving = self.tracks[&channel].leaving;
                self.forget(&channel);
                if !leaving {
                    self.tracks.insert(channel, Track::default());
                }
            } else if let Some(track) = self.tracks.get_mut(&channel) {
                track.reach(self.cursor.expect("checked above"));
            }
        }
    }

    fn forget(&mut self, channel: &str) {
        if let Some(track) = self.tracks.remove(channel) {
            self.past.push((channel.to_owned(), track));
        }
    }

    /// Everything up to `seq` was told, on all channels.
    fn advance(&mut self, seq: u64) {
        let before = self.cursor.unwrap_or(seq);
        assert!(seq >= before, "the cursor goes back from {before} to {seq}");
        self.cursor = Some(seq);
        for track in self.tracks.values_mut().filter(|track| !track.leaving && track.position.is_some()) {
            track.reach(seq);
        }
    }

    /// Whether it was told of `seq` on `channel`, as a message or as a gap.
    pub(crate) fn is_past(&self, channel: &str, seq: u64) -> bool {
        self.tracks.get(channel).is_none_or(|track| {
            track.leaving || track.got.contains(&seq) || track.gaps.iter().any(|gap| gap.1 >= seq)
        })
    }
}

impl Track {
    fn reach(&mut self, seq: u64) {
        let from = self.position.unwrap_or(seq);
        if seq > from {
            match self.spans.last_mut() {
                Some(span) if span.1 == from => span.1 = seq,
                _ => self.spans.push((from, seq)),
            }
        }
        self.position = Some(from.max(seq));
    }
}

/// Everything that clients know together.
#[derive(Debug, Default)]
pub(crate) struct Model {
    epoch: Option<String>,
    pub(crate) attempts: Vec<Attempt>,
    /// The attempt behind each number that anyone has seen.
    log: BTreeMap<u64, usize>,
    pub(crate) readers: Vec<Reader>,
    /// Messages that a channel keeps.
    pub(crate) kept: usize,
}

impl Model {
    /// A publish is tried: the data that goes with it.
    pub(crate) fn attempt(&mut self, channel: &str, data: impl FnOnce(usize) -> Value) -> usize {
        let nonce = self.attempts.len();
        let data = data(nonce);
        self.attempts.push(Attempt { channel: channel.to_owned(), data, seq: None, refused: false });
        nonce
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

    fn number(&mut self, seq: u64, nonce: usize) {
        assert!(seq > 0, "the first number of a log is 1");
        let before = self.attempts[nonce].seq.replace(seq);
        assert!(before.is_none_or(|before| before == seq), "message {nonce} is number {before:?} and {seq}");
        let other = self.log.insert(seq, nonce);
        assert!(other.is_none_or(|other| other == nonce), "number {seq} is message {other:?} and {nonce}");
    }

    /// The number in a cursor, which must be of the one epoch there is.
    pub(crate) fn seq_of(&mut self, cursor: &str) -> u64 {
        let (epoch, seq) = cursor.rsplit_once('-').unwrap_or_else(|| panic!("no cursor: {cursor:?}"));
        let known = self.epoch.get_or_insert_with(|| epoch.to_owned());
        assert_eq!(known, epoch, "another epoch in {cursor}");
        seq.parse().unwrap_or_else(|_| panic!("no number: {cursor:?}"))
    }

    pub(crate) fn cursor_of(&self, seq: u64) -> String {
        format!("{}-{seq}", self.epoch.as_deref().expect("a number has been seen"))
    }

    /// A reader was told something that concerns the log. Returns false for what doesn't.
    pub(crate) fn event(&mut self, reader: usize, event: &Value) -> bool {
        match text(event, "type") {
            "welcome" => {
                let cursor = self.seq_of(text(event, "cursor"));
                assert_eq!(self.epoch.as_deref(), Some(text(event, "epoch")));
                self.begin(reader, text(event, "sid"), cursor);
            }
            "message" => self.message(reader, event),
            "gap" => {
                let seq = self.seq_of(text(event, "cursor"));
                let channel = text(event, "ch");
                let reader = &mut self.readers[reader];
                let track = reader.tracks.get_mut(channel);
                let track = track.unwrap_or_else(|| panic!("a gap of a channel that isn't read: {event}"));
                let from = track.position.unwrap_or(0);
                assert!(track.leaving || seq > from, "a gap before {seq}, and {from} was told: {event}");
                track.gaps.push((from, seq));
                track.position = track.position.or(Some(seq));
                if seq > reader.cursor.unwrap_or(0) {
                    reader.advance(seq);
                }
            }
            "presence" => {
                let seq = self.seq_of(text(event, "id"));
                self.readers[reader].advance(seq);
            }
            _ => return false,
        }
        true
    }

    /// A stream has begun, or a poll was answered: from here on nothing may be missing.
    fn begin(&mut self, reader: usize, sid: &str, cursor: u64) {
        assert!(!sid.is_empty());
        let reader = &mut self.readers[reader];
        reader.sid = Some(sid.to_owned());
        reader.advance(cursor);
        for track in reader.tracks.values_mut() {
            track.position.get_or_insert(cursor);
        }
    }

    /// A whole answer to a poll.
    pub(crate) fn poll(&mut self, reader: usize, body: &Value) {
        for event in body["events"].as_array().expect("a poll has events") {
            self.event(reader, event);
        }
        let cursor = self.seq_of(text(body, "cursor"));
        self.begin(reader, text(body, "sid"), cursor);
    }

    fn message(&mut self, reader: usize, event: &Value) {
        let (seq, channel) = (self.seq_of(text(event, "id")), text(event, "ch").to_owned());
        assert!(event["at"].is_u64(), "no time: {event}");
        let nonce = nonce_of(&event["data"]);
        let attempt = self.attempts.get(nonce).unwrap_or_else(|| panic!("nobody published {event}"));
        assert_eq!(attempt.channel, channel, "a message in another channel: {event}");
        assert_eq!(attempt.data, event["data"], "a message was changed");
        assert!(!attempt.refused, "a message was refused and published: {event}");
        self.number(seq, nonce);
        let reader = &mut self.readers[reader];
        let track = reader.tracks.get_mut(&channel);
        let track = track.unwrap_or_else(|| panic!("a channel that isn't read: {event}"));
        if track.leaving {
            return;
        }
        let told = track.position.unwrap_or(0);
        assert!(seq > told, "number {seq} of {channel} again, or late: {told} was told");
        track.got.insert(seq);
        track.position.get_or_insert(seq);
        let cursor = reader.cursor.unwrap_or(0);
        assert!(seq > cursor, "number {seq} of {channel} comes after the cursor {cursor}");
        reader.advance(seq);
    }

    /// Judges every reader, now that all is known.
    pub(crate) fn judge(&self) {
        for (number, reader) in self.readers.iter().enumerate() {
            let tracks = reader.tracks.iter().map(|(channel, track)| (channel, track));
            for (channel, track) in tracks.chain(reader.past.iter().map(|(channel, track)| (channel, track)))
            {
                self.judge_track(number, channel, track);
            }
        }
    }

    fn judge_track(&self, reader: usize, channel: &str, track: &Track) {
        let of_channel = |nonce: &usize| self.attempts[*nonce].channel == channel;
        let all: Vec<u64> =
            self.log.iter().filter(|(_, nonce)| of_channel(nonce)).map(|(seq, _)| *seq).collect();
        // Those that may have been published without anyone having seen it.
        let unknown = self
            .attempts
            .iter()
            .filter(|attempt| attempt.channel == channel && attempt.seq.is_none() && !attempt.refused);
        let unknown = unknown.count();
        for (place, seq) in all.iter().enumerate() {
            let asked = track.spans.iter().any(|(from, to)| from < seq && seq <= to);
            if !asked || track.got.contains(seq) {
                continue;
            }
            let gap = track.gaps.iter().find(|(from, to)| from < seq && seq <= to);
            assert!(gap.is_some(), "reader {reader} was never told of number {seq} of {channel}: {track:?}");
            let newer = all.len() - place - 1;
            assert!(
                newer + unknown >= self.kept,
                "reader {reader} was told that number {seq} of {channel} is gone, and it is among the last {newer}"
            );
        }
        for (from, to) in &track.gaps {
            let lost = all.iter().any(|seq| from < seq && seq <= to && !track.got.contains(seq));
            assert!(
                lost || unknown > 0,
                "reader {reader} was told of a gap in {channel} where nothing is missing"
            );
        }
    }

    /// Numbers that anyone has seen.
    pub(crate) fn len(&self) -> usize {
        self.log.len()
    }
}

/// Which attempt some data belongs to.
fn nonce_of(data: &Value) -> usize {
    data["n"].as_u64().unwrap_or_else(|| panic!("data that nobody published: {data}")) as usize
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// Publishes `count` messages to "a" and returns a model with one reader that has been welcomed at 0.
#[cfg(test)]
fn example(count: u64, kept: usize) -> Model {
    let mut model = Model { kept, readers: vec![Reader::new(&["a".to_owned()])], ..Model::default() };
    model.event(0, &serde_json::json!({"type":"welcome","sid":"s","cursor":"e-0","epoch":"e"}));
    for seq in 1..=count {
        let nonce = model.attempt("a", |nonce| serde_json::json!({ "n": nonce }));
        model.acknowledged(nonce, &format!("e-{seq}"));
    }
    model
}

#[cfg(test)]
fn tell(model: &mut Model, seq: u64) {
    let data = serde_json::json!({ "n": seq - 1 });
    let id = format!("e-{seq}");
    model.event(0, &serde_json::json!({"type":"message","ch":"a","id":id,"at":1,"from":null,"data":data}));
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
fn a_gap_explains_what_the_ring_has_lost() {
    let mut model = example(5, 2);
    model.event(0, &serde_json::json!({"type":"gap","ch":"a","why":"evicted","cursor":"e-3"}));
    tell(&mut model, 4);
    tell(&mut model, 5);
    model.judge();
}

#[test]
#[should_panic(expected = "it is among the last 2")]
fn a_gap_over_what_is_kept_is_found() {
    let mut model = example(5, 3);
    model.event(0, &serde_json::json!({"type":"gap","ch":"a","why":"evicted","cursor":"e-3"}));
    tell(&mut model, 4);
    tell(&mut model, 5);
    model.judge();
}

#[test]
#[should_panic(expected = "where nothing is missing")]
fn a_gap_over_nothing_is_found() {
    let mut model = example(2, 1);
    (1..=2).for_each(|seq| tell(&mut model, seq));
    model.event(0, &serde_json::json!({"type":"gap","ch":"a","why":"evicted","cursor":"e-3"}));
    model.judge();
}
