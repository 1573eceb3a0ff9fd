//! Publishing: one message and many, once and again under a key, too much, and what clears it all away.

use serde_json::json;

use super::readers::some_line;
use crate::scene::{Ask, Scene, escape};
use crate::sim::client::Use;
use crate::sim::model::Author;

/// All that is awkward on some transport, and something long behind it or not.
pub(super) fn words(scene: &mut Scene) -> (&'static str, String) {
    let awkward =
        ["", "plain", "</script><!--", "a\nb\r\nc", "\u{2028}\u{2029}\u{0}\u{1f}", "\"\\/é😀", "data: x\n\n"];
    let text = *scene.rng.pick(&awkward);
    (text, "x".repeat(*scene.rng.pick(&[0, 0, 0, 50, 200, 3_000])))
}

/// A message to a random channel.
pub(super) fn draft(scene: &mut Scene, author: Author) -> (usize, String) {
    let channel = scene.rng.pick(&scene.channels.clone()).clone();
    let (text, pad) = words(scene);
    let nonce = scene.model.attempt(&channel, author, |nonce| json!({"n": nonce, "text": text, "pad": pad}));
    (nonce, channel)
}

/// A line for requests: an old one if it is idle, or else a new one.
pub(super) fn asking_line(scene: &mut Scene) -> Option<usize> {
    let idle = some_line(scene, |line| {
        line.conn.role == Use::Asking && !line.ending && line.asks.is_empty() && line.dies_within.is_none()
    });
    match idle {
        // An idle connection may be closed by the server just now, as with every keep-alive.
        Some(place) if scene.rng.coin() && !scene.healed => Some(place),
        _ => scene.connect(Use::Asking),
    }
}

pub(super) fn publish_one(scene: &mut Scene) {
    let (nonce, _) = draft(scene, Author::Nobody);
    if let Some(place) = asking_line(scene) {
        post(scene, place, nonce, "");
    }
}

/// Publishes a message to a channel and tells which it is.
pub(crate) fn publish_to(scene: &mut Scene, channel: &str) -> usize {
    let nonce = scene.model.attempt(channel, Author::Nobody, |nonce| json!({ "n": nonce, "last": true }));
    publish_again(scene, nonce);
    nonce
}

/// The same once more: under its key it is one message, however often it is published.
pub(crate) fn publish_again(scene: &mut Scene, nonce: usize) {
    if let Some(place) = scene.connect(Use::Asking) {
        post(scene, place, nonce, &format!("Idempotency-Key: key-{nonce}\r\n"));
    }
}

pub(super) fn post(scene: &mut Scene, place: usize, nonce: usize, fields: &str) {
    let attempt = &scene.model.attempts[nonce];
    let (target, body) = (format!("/publish/{}", escape(&attempt.channel)), attempt.data.to_string());
    let chunk = scene.rng.per_mille(300).then(|| scene.rng.range(1, 100));
    let line = &mut scene.lines[place];
    line.conn.post(&target, &format!("Content-Type: application/json\r\n{fields}"), body.as_bytes(), chunk);
    line.asks.push_back(Ask::Publish(nonce));
}

pub(super) fn publish_many(scene: &mut Scene) {
    let Some(place) = asking_line(scene) else { return };
    let (mut body, mut nonces) = (String::new(), Vec::new());
    for _ in 0..scene.rng.range(1, 20) {
        let (nonce, channel) = draft(scene, Author::Nobody);
        body += &format!("{}\n", json!({"ch": channel, "data": scene.model.attempts[nonce].data}));
        nonces.push(nonce);
    }
    let line = &mut scene.lines[place];
    line.conn.post("/publish", "Content-Type: application/x-ndjson\r\n", body.as_bytes(), None);
    line.asks.push_back(Ask::Batch(nonces));
}

/// A publisher that never got its answer, or can't know, tries again with the same key: one message.
pub(super) fn publish_twice(scene: &mut Scene) {
    let channel = scene.rng.pick(&scene.channels.clone()).clone();
    let nonce = scene.model.attempt(&channel, Author::Nobody, |nonce| json!({ "n": nonce, "keyed": true }));
    publish_again(scene, nonce);
    publish_again(scene, nonce);
}

/// More than the rings keep, at once.
pub(super) fn flood(scene: &mut Scene) {
    for _ in 0..scene.rng.range(2, 8) {
        publish_many(scene);
    }
}

pub(crate) fn publish_too_much(scene: &mut Scene) {
    let Some(place) = scene.connect(Use::Asking) else { return };
    let channel = scene.channels[0].clone();
    let pad = "x".repeat(70_000);
    let nonce = scene.model.attempt(&channel, Author::Nobody, |nonce| json!({"n": nonce, "pad": pad}));
    post(scene, place, nonce, "");
}

/// The answer got lost long ago, and the publisher still tries. A key is good as long as its message is kept.
pub(super) fn publish_late(scene: &mut Scene) {
    let life = scene.model.life();
    let keyed = |nonce: &usize| {
        let attempt = &scene.model.attempts[*nonce];
        attempt.data["keyed"] == true && attempt.life == life
    };
    let nonces: Vec<usize> = (0..scene.model.attempts.len()).filter(keyed).collect();
    if !nonces.is_empty() {
        let nonce = *scene.rng.pick(&nonces);
        publish_again(scene, nonce);
    }
}

/// A channel is emptied. Readers that were behind are told of the gap.
pub(super) fn clear(scene: &mut Scene) {
    let channel = scene.rng.pick(&scene.channels.clone()).clone();
    if let Some(place) = scene.connect(Use::Asking) {
        let clearing = scene.model.clear(&channel);
        let line = &mut scene.lines[place];
        line.conn.ask_with_key("DELETE", &format!("/channels/{}", escape(&channel)), b"");
        line.asks.push_back(Ask::Clear(clearing));
    }
}
