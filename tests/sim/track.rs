//! What one reader was told of each of its channels, and whether that is in order.
//!
//! It knows places in the log and nothing of who published what stands there. What it panics about can be judged
//! on the spot: something again, something late, someone who comes twice. The rest it notes for the judgement.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::model::text;

/// `(from, to]`: of these messages some may be missing.
#[derive(Clone, Debug)]
pub(super) struct Gap {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) told_at: u64,
    pub(super) restarted: bool,
    /// The reader went back behind what it was told before, and the server can't know that it was.
    pub(super) again: bool,
}

/// One channel of one reader.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// All up to here was told. Unknown from a subscription to its first message.
    position: Option<u64>,
    /// `(from, to]`: over these all was told, as a message or as a gap.
    spans: Vec<(u64, u64)>,
    pub(super) gaps: Vec<Gap>,
    pub(super) got: BTreeSet<u64>,
    /// Where the reader went back to, behind what it was told, until it is told something more.
    back_at: Option<u64>,
    /// It goes on from the past, as an answer on another connection said, and what was on its way on the stream by
    /// then says nothing of this channel: nothing is claimed of it until it is heard of itself.
    lagging: bool,
    /// It was asked for on a stream that reads already: the reply tells where it begins.
    joining: bool,
    /// No more is asked for. What comes before the server knows is let pass.
    leaving: bool,
    /// A subscribe may still be under way that nobody waits for: what comes of it is let pass, however late.
    unsure: bool,
    /// It is not read now, and will be gone on with from its position: an inbox whose owner is not logged in.
    paused: bool,
    /// The server's old life has ended and this channel's gap was not told yet on this connection.
    owed_restart: bool,
    /// Who was heard to come, and who to go.
    present: BTreeMap<String, bool>,
}

/// A logical reader: one lineage of cursors, whatever connections it has had.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) sid: Option<String>,
    /// When it last asked to read.
    pub(crate) asked_at: u64,
    /// Where it would go on from.
    pub(crate) cursor: Option<u64>,
    /// It asked for the last few messages of each channel: where each track begins, its first message tells.
    pub(crate) asked_for_last: bool,
    /// Who it is, or will be once logged in.
    pub(crate) person: Option<usize>,
    pub(crate) logged_in: bool,
    /// A login is under way, since when.
    pub(crate) logging_in: bool,
    pub(crate) login_at: u64,
    tracks: BTreeMap<String, Track>,
    /// Channels whose subscription ended, kept for the last judgement.
    past: Vec<(String, Track)>,
    /// Subscribes from a place in the past that are not answered. Until what they asked for has come, the
    /// cursor may go back.
    rewinding: usize,
    rewound: bool,
    /// The latest place it ever heard of.
    top: u64,
}

impl Reader {
    pub(crate) fn new(channels: &[String]) -> Reader {
        let tracks = channels.iter().map(|channel| (channel.clone(), Track::default())).collect();
        Reader { tracks, ..Reader::default() }
    }

    /// The channels it wants and may read.
    pub(crate) fn channels(&self) -> Vec<String> {
        let wanted = self.tracks.iter().filter(|(_, track)| !track.leaving && !track.paused);
        wanted.map(|(channel, _)| channel.clone()).collect()
    }

    /// The channels it wants, and those it has just left.
    pub(crate) fn known_channels(&self) -> Vec<String> {
        self.tracks.keys().cloned().collect()
    }

    /// The messages it got of a channel that it reads.
    pub(super) fn got<'a>(&'a self, channel: &str) -> impl Iterator<Item = u64> + use<'a> {
        self.tracks.get(channel).into_iter().flat_map(|track| track.got.iter().copied())
    }

    pub(super) fn all_tracks(&self) -> impl Iterator<Item = (&String, &Track)> {
        self.tracks.iter().chain(self.past.iter().map(|(channel, track)| (channel, track)))
    }

    /// A subscribe is sent: from where it begins is not known before the answer.
    pub(crate) fn subscribe(&mut self, channel: &str, is_from_past: bool) {
        self.forget(channel);
        self.tracks.insert(channel.to_owned(), Track { joining: true, ..Track::default() });
        self.rewinding += usize::from(is_from_past);
    }

    /// A subscribe is sent for a channel that is paused. Returns the place to go on from.
    pub(crate) fn go_on(&mut self, channel: &str) -> Option<u64> {
        let track = self.tracks.get_mut(channel).filter(|track| track.paused && !track.joining)?;
        let position = track.position?;
        track.joining = true;
        self.rewinding += 1;
        Some(position)
    }

    /// Whether a channel waits to be gone on with.
    pub(crate) fn is_paused(&self, channel: &str) -> bool {
        self.tracks.get(channel).is_some_and(|track| track.paused && !track.joining)
    }

    pub(crate) fn unsubscribe(&mut self, channel: &str) {
        if let Some(track) = self.tracks.get_mut(channel) {
            track.leaving = true;
            // A gap that was still to come would have covered all since the last thing told.
            let told = track.told();
            track.spans.retain(|(from, _)| *from < told);
            track.spans.iter_mut().for_each(|(_, to)| *to = told.min(*to));
        }
    }

    /// It is another client from now on, or none: without a name, and without what only a name may read.
    pub(crate) fn forget_session(&mut self) {
        (self.sid, self.logged_in, self.logging_in) = (None, false, false);
        self.forget_people();
        let inboxes: Vec<String> = self.tracks.keys().filter(|name| name.starts_with('@')).cloned().collect();
        for name in inboxes {
            match self.tracks.get_mut(&name) {
                Some(track) if track.position.is_some() => {
                    (track.paused, track.joining) = (true, false);
                }
                _ => self.forget(&name),
            }
        }
    }

    /// Its place in its rooms has ended. One that nobody else read may be gone since, and with it who came and
    /// went there: a presence is not missed.
    pub(super) fn forget_people(&mut self) {
        self.tracks.values_mut().for_each(|track| track.present.clear());
    }

    /// No answer will come to what it has asked for.
    pub(super) fn forget_commands(&mut self) {
        self.rewinding = 0;
    }

    /// The reader comes back with its cursor, for the channels it wants. Without a cursor it starts anew.
    pub(crate) fn come_back(&mut self) {
        for channel in self.tracks.keys().cloned().collect::<Vec<_>>() {
            let track = self.tracks.get_mut(&channel).expect("listed just now");
            if track.paused && track.joining {
                // Whether the subscribe is still under way nobody can say: what comes of it is let pass.
                self.forget(&channel);
                self.tracks.insert(channel, Track { leaving: true, unsure: true, ..Track::default() });
            } else if track.paused || track.unsure {
                continue;
            } else if track.leaving || self.cursor.is_none() {
                let leaving = track.leaving;
                self.forget(&channel);
                if !leaving {
                    self.tracks.insert(channel, Track::default());
                }
            } else if let Some(cursor) = self.cursor {
                if !std::mem::take(&mut track.lagging) {
                    track.reach(cursor);
                }
                // A channel that was subscribed to in between may have started after the cursor, and what was told
                // beyond a cursor that went back is told again.
                if track.position != Some(cursor) {
                    track.present.clear();
                    track.back_at = Some(cursor);
                }
                track.position = Some(cursor);
                (track.joining, track.owed_restart) = (false, false);
            }
        }
    }

    /// The server said from where on it is told of a channel, and where to go on from.
    pub(crate) fn subscribed(
        &mut self,
        channel: &str,
        since: u64,
        cursor: u64,
        is_from_past: bool,
        is_beside: bool,
    ) {
        if is_from_past {
            self.rewinding = self.rewinding.saturating_sub(1);
            self.rewound = true;
        }
        // Who has come back since has said itself from where.
        if let Some(track) = self.tracks.get_mut(channel).filter(|track| track.joining) {
            (track.joining, track.paused) = (false, false);
            track.lagging = is_from_past && is_beside && track.got.last().is_none_or(|last| *last <= since);
            match track.position {
                None => track.position = Some(since),
                // Its first message was faster than the answer.
                Some(position) if position > since => track.spans.push((since, position)),
                Some(position) => assert!(
                    position == since || track.gaps.last().is_some_and(|gap| gap.restarted),
                    "{channel} goes on from {since} and was left at {position}"
                ),
            }
        }
        if is_from_past && self.cursor.is_some_and(|before| cursor < before) {
            self.cursor = Some(cursor);
        }
    }

    /// A subscribe was refused.
    pub(crate) fn not_subscribed(&mut self, channel: &str, is_from_past: bool) {
        self.rewinding = self.rewinding.saturating_sub(usize::from(is_from_past));
        if let Some(track) = self.tracks.get_mut(channel) {
            track.joining = false;
            if !track.paused {
                self.forget(channel);
            }
        }
    }

    fn forget(&mut self, channel: &str) {
        if let Some(track) = self.tracks.remove(channel) {
            self.past.push((channel.to_owned(), track));
        }
    }

    /// Everything up to `seq` was told, on all channels.
    pub(super) fn advance(&mut self, seq: u64) {
        let before = self.cursor.unwrap_or(seq);
        let may_go_back = self.rewinding > 0 || self.rewound;
        assert!(seq >= before || may_go_back, "the cursor goes back from {before} to {seq}");
        self.cursor = Some(seq);
        self.top = self.top.max(seq);
        self.rewound &= seq < self.top || self.tracks.values().any(|track| track.lagging);
        let reading = |track: &&mut Track| {
            !track.leaving && !track.paused && !track.lagging && track.position.is_some()
        };
        for track in self.tracks.values_mut().filter(reading) {
            track.reach(seq);
        }
    }

    /// The log of another life begins: what was not told of the old one is gone.
    pub(super) fn begin_epoch(&mut self, first: u64, now: u64) {
        for track in self.tracks.values_mut().filter(|track| !track.leaving && track.position.is_some()) {
            let from = track.told();
            track.gaps.push(Gap { from, to: first, told_at: now, restarted: true, again: false });
            track.owed_restart = !track.joining && !track.paused;
            track.present.clear();
            track.reach(first);
        }
        (self.rewinding, self.rewound) = (0, false);
        (self.cursor, self.top) = (Some(first), first);
    }

    /// From here on nothing may be missing on any channel that was asked for at the beginning.
    pub(super) fn start_tracks(&mut self, seq: u64) {
        for track in self.tracks.values_mut().filter(|track| !track.joining) {
            track.position.get_or_insert(seq);
        }
    }

    fn track(&mut self, channel: &str, event: &dyn std::fmt::Display) -> &mut Track {
        let track =
            self.tracks.get_mut(channel).unwrap_or_else(|| panic!("a channel that isn't read: {event}"));
        assert!(!track.paused || track.joining, "a channel that isn't read any more: {event}");
        (track.paused, track.lagging) = (false, false);
        track
    }

    pub(super) fn hear_gap(&mut self, channel: &str, seq: u64, restarted: bool, now: u64) {
        let cursor = self.cursor.unwrap_or(0);
        let may_go_back = self.rewinding > 0 || self.rewound;
        let track = self.track(channel, &format!("a gap of {channel} before {seq}"));
        track.present.clear();
        if restarted {
            track.owed_restart = false;
            // It was noted when the new life began, unless the channel came to it only now.
            if track.gaps.last().is_none_or(|gap| gap.to < seq) {
                let from = track.told();
                track.gaps.push(Gap { from, to: seq, told_at: now, restarted, again: false });
                track.position = track.position.or(Some(seq));
            }
            return;
        }
        // A gap stands in the order where the last of the missing messages stood. So it covers all since the last
        // thing told of this very channel.
        let from = track.told();
        assert!(!track.owed_restart, "a gap in {channel} without a word of the restart");
        assert!(track.leaving || seq > from, "a gap of {channel} before {seq}, and {from} was told");
        track.back_at = None;
        let again = from < track.got.last().copied().unwrap_or(0);
        track.gaps.push(Gap { from, to: seq, told_at: now, restarted, again });
        track.position = track.position.or(Some(seq));
        if seq > cursor || may_go_back {
            self.advance(seq);
        }
    }

    pub(super) fn hear_message(&mut self, channel: &str, seq: u64, event: &Value) {
        let cursor = self.cursor.unwrap_or(0);
        let may_go_back = self.rewinding > 0 || self.rewound;
        let track = self.track(channel, event);
        if track.leaving {
            return;
        }
        assert!(!track.owed_restart, "a message without a word of the restart: {event}");
        let told = track.position.unwrap_or(0);
        assert!(seq > told, "number {seq} of {channel} again, or late: {told} was told");
        track.got.insert(seq);
        track.back_at = None;
        track.position.get_or_insert(seq);
        assert!(seq > cursor || may_go_back, "number {seq} of {channel} comes after the cursor {cursor}");
        self.advance(seq);
    }

    pub(super) fn hear_presence(&mut self, channel: &str, seq: u64, event: &Value, is_kept: bool) {
        let track = self.track(channel, event);
        if track.leaving {
            return;
        }
        let (user, what) = (text(event, "user").to_owned(), text(event, "event"));
        let count = event["count"].as_u64().unwrap_or_else(|| panic!("no count: {event}")) as usize;
        let is_again = track.position.is_some_and(|told| seq <= told);
        assert!(!is_again, "{event} again, or late");
        if is_kept && matches!(what, "join" | "leave") {
            let comes = what == "join";
            let was = track.present.insert(user, comes);
            assert!(was != Some(comes), "{event} comes though it is there, or goes though it is not");
            let known = track.present.values().filter(|is_there| **is_there).count();
            assert!(count >= known, "{known} are known to be there: {event}");
        }
        self.advance(seq);
    }

    /// Whether it was told of `seq` on `channel`, as a message or as a gap.
    pub(crate) fn is_past(&self, channel: &str, seq: u64) -> bool {
        self.tracks.get(channel).is_none_or(|track| {
            track.leaving
                || track.paused
                || track.got.contains(&seq)
                || track.gaps.iter().any(|gap| gap.to >= seq)
        })
    }
}

impl Track {
    /// The last thing told of this very channel; where the reader went back behind it, the place it went to.
    fn told(&self) -> u64 {
        let got = self.got.last().copied().unwrap_or(0);
        let told = got.max(self.gaps.last().map_or(0, |gap| gap.to));
        told.min(self.position.unwrap_or(told)).min(self.back_at.unwrap_or(told))
    }

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

    /// Whether it must have been told of a place.
    pub(super) fn owes(&self, seq: u64) -> bool {
        self.spans.iter().any(|(from, to)| *from < seq && seq <= *to)
    }
}
