//! Commands over a WebSocket, and by sid; looking in from outside.

use serde_json::{Value, json};

use super::publishing::{asking_line, draft};
use super::readers::socket;
use crate::scene::{Ask, Command, Scene, Start, escape};
use crate::sim::client::Use;

pub(super) fn ping(scene: &mut Scene) {
    if let Some(place) = socket(scene) {
        let payload = scene.rng.next().to_le_bytes()[..scene.rng.range(0, 8)].to_vec();
        let line = &mut scene.lines[place];
        line.conn.send_ping(&payload);
        line.pings.push_back(payload);
    }
}

pub(super) fn close_socket(scene: &mut Scene) {
    if let Some(place) = socket(scene) {
        let line = &mut scene.lines[place];
        line.conn.send_close(1000);
        line.ending = true;
    }
}

pub(super) fn send(scene: &mut Scene, place: usize, command: Command, object: Value) {
    let (number, text) = scene.command(&command, object);
    let line = &mut scene.lines[place];
    line.commands.insert(number, command);
    line.conn.send_text(&text, &mut scene.rng);
}

/// Sometimes under a key, and then twice: it is one message.
pub(super) fn publish_over_socket(scene: &mut Scene) {
    let Some(place) = socket(scene) else { return };
    let reader = scene.lines[place].reader.expect("asked for above");
    let author = scene.author(reader);
    let (nonce, channel) = draft(scene, author);
    let mut object = json!({"op": "publish", "ch": channel, "data": scene.model.attempts[nonce].data});
    if scene.rng.per_mille(300) {
        object["key"] = format!("k{nonce}").into();
        send(scene, place, Command::Publish(nonce), object.clone());
    }
    send(scene, place, Command::Publish(nonce), object);
}

fn new_channel(scene: &mut Scene, reader: usize) -> Option<String> {
    let known = scene.model.readers[reader].known_channels();
    let new: Vec<String> =
        scene.channels.iter().filter(|channel| !known.contains(channel)).cloned().collect();
    (!new.is_empty()).then(|| scene.rng.pick(&new).clone())
}

pub(super) fn subscribe(scene: &mut Scene) {
    let Some(place) = socket(scene) else { return };
    let reader = scene.lines[place].reader.expect("asked for above");
    if let Some(channel) = new_channel(scene, reader) {
        let object = json!({"op": "subscribe", "ch": channel});
        send(scene, place, Command::Subscribe(reader, channel, Start::Now, None), object);
    }
}

/// From a place in the past, while the stream goes on.
pub(super) fn subscribe_back(scene: &mut Scene) {
    let Some(place) = socket(scene) else { return };
    let reader = scene.lines[place].reader.expect("asked for above");
    let Some(channel) = new_channel(scene, reader) else { return };
    let back = scene.rng.range(0, 30);
    let mut object = json!({"op": "subscribe", "ch": channel});
    let start = match scene.model.recent(back) {
        Some(seq) if scene.rng.coin() => {
            object["since"] = scene.model.cursor_of(seq).into();
            Start::Since(seq)
        }
        _ => {
            object["last"] = back.into();
            Start::Last(back)
        }
    };
    send(scene, place, Command::Subscribe(reader, channel, start, None), object);
}

pub(super) fn unsubscribe(scene: &mut Scene) {
    let Some(place) = socket(scene) else { return };
    let reader = scene.lines[place].reader.expect("asked for above");
    let channels = scene.model.readers[reader].channels();
    if channels.len() > 1 {
        let channel = scene.rng.pick(&channels).clone();
        scene.model.readers[reader].unsubscribe(&channel);
        send(scene, place, Command::Other, json!({"op": "unsubscribe", "ch": channel}));
    }
}

pub(super) fn look_around(scene: &mut Scene) {
    let channel = scene.rng.pick(&scene.channels.clone()).clone();
    let objects = [
        (Command::Other, json!({"op": "ping"})),
        (Command::Other, json!({"op": "who", "ch": channel})),
        (Command::History(scene.now()), json!({"op": "history", "ch": channel, "limit": 5})),
        (Command::Nonsense, json!({"op": "dance"})),
        (Command::Nonsense, json!({"op": "subscribe", "ch": "a/b"})),
        (Command::Nonsense, json!({"op": "publish", "ch": channel})),
    ];
    let (command, object) = scene.rng.pick(&objects).clone();
    if let Some(place) = socket(scene) {
        send(scene, place, command, object);
    } else if let Some(place) = scene.connect(Use::Asking) {
        let channel = escape(&channel);
        let target = match scene.rng.below(4) {
            0 => "/channels".to_owned(),
            1 => format!("/channels/{channel}"),
            2 => format!("/channels/{channel}/history?limit=3"),
            _ => "/metrics".to_owned(),
        };
        let now = scene.now();
        let conn = &mut scene.lines[place].conn;
        if target == "/metrics" {
            conn.ask_with_key("GET", &target, b"");
        } else {
            conn.get(&target);
        }
        scene.lines[place].asks.push_back(if target.contains("/history") {
            Ask::History(now)
        } else {
            Ask::Any
        });
    }
}

/// The commands of a client that reads over something else: `POST /send`.
pub(super) fn publish_by_sid(scene: &mut Scene) {
    let has_sid = |reader: &usize| scene.model.readers[*reader].sid.is_some();
    let readers: Vec<usize> = (0..scene.model.readers.len()).filter(has_sid).collect();
    if readers.is_empty() {
        return;
    }
    let reader = *scene.rng.pick(&readers);
    let sid = scene.model.readers[reader].sid.clone().expect("it has one");
    let author = scene.author(reader);
    let Some(place) = asking_line(scene) else { return };
    let count = scene.rng.range(1, 4);
    let mut commands = Vec::new();
    let mut texts = Vec::new();
    for _ in 0..count {
        let (nonce, channel) = draft(scene, author.clone());
        let command = Command::Publish(nonce);
        let object = json!({"op": "publish", "ch": channel, "data": scene.model.attempts[nonce].data});
        let (number, text) = scene.command(&command, object);
        commands.push((number, command));
        texts.push(text);
    }
    let body = if count == 1 { texts.remove(0) } else { format!("[{}]", texts.join(",")) };
    let chunk = scene.rng.coin().then(|| scene.rng.range(1, 300));
    let line = &mut scene.lines[place];
    line.conn.post(&format!("/send?sid={sid}"), "Content-Type: application/json\r\n", body.as_bytes(), chunk);
    line.asks.push_back(Ask::Commands(commands));
}
