//! What is taken back, what is shown, and what those may do who keep order.

use serde_json::json;

use super::people::{send_as, some_reader};
use super::publishing::asking_line;
use crate::scene::{Ask, Command, Order, Scene};
use crate::sim::model::Author;

/// Somebody takes back one of their messages, from a room or from somebody's inbox.
pub(super) fn take_back(scene: &mut Scene) {
    let is_somebody = |scene: &Scene, reader: usize| scene.model.readers[reader].logged_in;
    let Some(reader) = some_reader(scene, is_somebody) else { return };
    let person = scene.model.readers[reader].person.expect("it is logged in");
    let (author, life) = (Author::User(scene.people[person].nick.clone()), scene.model.life());
    let own: Vec<usize> = (0..scene.model.attempts.len())
        .filter(|nonce| {
            let attempt = &scene.model.attempts[*nonce];
            let is_told = attempt.seq.is_some() && attempt.life == life && attempt.data["n"].is_u64();
            is_told && attempt.is_from(&author)
        })
        .collect();
    if !own.is_empty() {
        let nonce = *scene.rng.pick(&own);
        let attempt = &scene.model.attempts[nonce];
        let id = scene.model.cursor_of(attempt.seq.expect("asked for above"));
        let object = json!({"op": "delete", "ch": attempt.channel, "id": id});
        send_as(scene, reader, Command::TakeBack(nonce), object);
    }
}

fn order(scene: &mut Scene, what: &str, body: &serde_json::Value, ask: Ask) {
    if let Some(place) = asking_line(scene) {
        let line = &mut scene.lines[place];
        line.conn.ask_with_key("POST", &format!("/admin/{what}"), body.to_string().as_bytes());
        line.asks.push_back(ask);
    }
}

/// Somebody is silenced or kept out for a while, or let go on.
pub(super) fn sentence(scene: &mut Scene) {
    if scene.people.is_empty() {
        return;
    }
    let person = scene.rng.below(scene.people.len());
    let is_ban = scene.rng.coin();
    let seconds = *scene.rng.pick(&[0, 1, 5, 60, 600]);
    let asked_at = scene.now();
    let somebody = &mut scene.people[person];
    let sentence = if is_ban { &mut somebody.banned } else { &mut somebody.muted };
    if sentence.is_open {
        // Which of two orders comes first nobody could say.
        return;
    }
    sentence.ask();
    somebody.sent_away |= is_ban;
    let body = json!({"user": somebody.nick, "seconds": seconds});
    let order_ = Order { person, is_ban, seconds, asked_at };
    order(scene, if is_ban { "ban" } else { "mute" }, &body, Ask::Order(order_));
}

/// Somebody is sent away, and may come back at once.
pub(super) fn kick(scene: &mut Scene) {
    if !scene.people.is_empty() {
        let person = scene.rng.below(scene.people.len());
        scene.people[person].sent_away = true;
        let body = json!({"user": scene.people[person].nick});
        order(scene, "kick", &body, Ask::Any);
    }
}

/// All rooms are told something.
pub(super) fn notice(scene: &mut Scene) {
    let text = format!("notice {}", scene.model.notices.len());
    scene.model.notices.insert(text.clone());
    for channel in scene.channels.clone() {
        scene.model.echo(&channel);
    }
    order(scene, "notice", &json!({"text": text}), Ask::Any);
}

/// A room is emptied, and told so.
pub(super) fn clear_room(scene: &mut Scene) {
    let channel = scene.rng.pick(&scene.channels.clone()).clone();
    let clearing = scene.model.clear(&channel);
    scene.model.echo(&channel);
    order(scene, "clear", &json!({"ch": channel}), Ask::ClearRoom(clearing));
}

/// Somebody leaves a picture.
pub(super) fn leave_picture(scene: &mut Scene) {
    let is_somebody = |scene: &Scene, reader: usize| scene.model.readers[reader].logged_in;
    let Some(reader) = some_reader(scene, is_somebody) else { return };
    let Some(sid) = scene.model.readers[reader].sid.clone() else { return };
    // A whole one, and nothing else: what is no part of a picture is not kept.
    let mut bytes = b"GIF89a\x02\x01\x03\0\0\0\0\x2c\0\0\0\0\x02\x01\x03\0\0\x02".to_vec();
    let block = [&[100][..], &[scene.rng.next() as u8; 100]].concat();
    for _ in 0..scene.rng.below(90) {
        bytes.extend(&block);
    }
    bytes.extend(b"\0;");
    if let Some(place) = asking_line(scene) {
        scene.has_pictures = true;
        let line = &mut scene.lines[place];
        line.conn.post(&format!("/pictures?sid={sid}"), "", &bytes, None);
        line.asks.push_back(Ask::Picture(bytes));
    }
}

/// A picture that was left is looked at.
pub(super) fn look_at_picture(scene: &mut Scene) {
    if !scene.pictures.is_empty()
        && let Some(place) = asking_line(scene)
    {
        let number = scene.rng.below(scene.pictures.len());
        let target = format!("/pictures/{}", scene.pictures[number].0);
        scene.lines[place].conn.get(&target);
        scene.lines[place].asks.push_back(Ask::GetPicture(number));
    }
}
