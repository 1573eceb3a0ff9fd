//! People: they log in, read their inboxes, write to each other, and try to be somebody else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::commands::send;
use super::publishing::{asking_line, words};
use crate::scene::{Ask, Command, Scene, Start};

pub(super) fn secret(bytes: &[u8; 15]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Sends a command of a reader, over its WebSocket or beside whatever else it reads from.
pub(super) fn send_as(scene: &mut Scene, reader: usize, mut command: Command, object: Value) {
    let socket = scene.line_of(reader).filter(|place| scene.lines[*place].is_live_socket());
    if let Some(place) = socket {
        if let Command::Subscribe(.., sid) | Command::Login(_, sid, _) = &mut command {
            *sid = None;
        }
        return send(scene, place, command, object);
    }
    let Some(sid) = scene.model.readers[reader].sid.clone() else { return };
    let Some(place) = asking_line(scene) else { return };
    let (number, text) = scene.command(&command, object);
    let line = &mut scene.lines[place];
    line.conn.post(&format!("/send?sid={sid}"), "Content-Type: application/json\r\n", text.as_bytes(), None);
    line.asks.push_back(Ask::Commands(vec![(number, command)]));
}

/// A reader that has a sid to speak with.
pub(super) fn some_reader(scene: &mut Scene, which: impl Fn(&Scene, usize) -> bool) -> Option<usize> {
    let speaks = |reader: &usize| {
        let state = &scene.model.readers[*reader];
        let is_there = scene.line_of(*reader).is_some_and(|place| !scene.lines[place].ending);
        is_there && state.sid.is_some() && which(scene, *reader)
    };
    let readers: Vec<usize> = (0..scene.model.readers.len()).filter(speaks).collect();
    (!readers.is_empty()).then(|| *scene.rng.pick(&readers))
}

fn inbox(scene: &Scene, reader: usize) -> String {
    let person = scene.model.readers[reader].person.expect("it was asked for");
    format!("@{}", scene.people[person].nick)
}

pub(crate) fn login(scene: &mut Scene, reader: usize) {
    let state = &scene.model.readers[reader];
    let Some(person) = state.person else { return };
    let sid = state.sid.clone();
    let person = &scene.people[person];
    let knows = person.secret.is_some();
    let mut object = json!({"op": "login", "nick": person.nick});
    if let Some(secret) = &person.secret {
        object["secret"] = secret.as_str().into();
    }
    send_as(scene, reader, Command::Login(reader, sid, knows), object);
}

pub(super) fn log_in(scene: &mut Scene) {
    let is_nobody = |scene: &Scene, reader: usize| {
        let state = &scene.model.readers[reader];
        state.person.is_some() && !state.logged_in && !state.logging_in
    };
    match some_reader(scene, is_nobody) {
        Some(reader) => login(scene, reader),
        None => open_inbox(scene),
    }
}

/// Whether no request is under way that names all the channels it wants: it would undo a subscribe that overtakes it.
fn is_settled(scene: &Scene, reader: usize) -> bool {
    scene.line_of(reader).is_some_and(|place| scene.lines[place].is_settled())
}

/// Reads its own mail, from where it was left, or that of somebody else, which is refused.
pub(super) fn open_inbox(scene: &mut Scene) {
    let is_somebody =
        |scene: &Scene, reader: usize| scene.model.readers[reader].logged_in && is_settled(scene, reader);
    let Some(reader) = some_reader(scene, is_somebody) else { return };
    let (channel, sid) = (inbox(scene, reader), scene.model.readers[reader].sid.clone());
    if scene.rng.per_mille(100) {
        let other = format!("@not-{}", &channel[1..]);
        return send_as(scene, reader, Command::Nonsense, json!({"op": "subscribe", "ch": other}));
    }
    let state = &mut scene.model.readers[reader];
    if state.is_paused(&channel) {
        let Some(seq) = state.go_on(&channel) else { return };
        let object = json!({"op": "subscribe", "ch": channel, "since": scene.model.cursor_of(seq)});
        send_as(scene, reader, Command::Subscribe(reader, channel, Start::Since(seq), sid), object);
    } else if !state.known_channels().contains(&channel) {
        let object = json!({"op": "subscribe", "ch": channel});
        send_as(scene, reader, Command::Subscribe(reader, channel, Start::Now, sid), object);
    }
}

pub(super) fn write_to_somebody(scene: &mut Scene) {
    let is_somebody = |scene: &Scene, reader: usize| scene.model.readers[reader].logged_in;
    let reader = match some_reader(scene, is_somebody) {
        Some(reader) if scene.rng.per_mille(900) => Some(reader),
        _ => some_reader(scene, |_, _| true),
    };
    let Some(reader) = reader else { return };
    let life = scene.model.life();
    let known: Vec<String> = scene
        .people
        .iter()
        .filter(|person| person.known_in == Some(life))
        .map(|person| person.nick.clone())
        .collect();
    if known.is_empty() {
        return;
    }
    let to = scene.rng.pick(&known).clone();
    tell_privately(scene, reader, &to);
}

/// A message into somebody's inbox. Only people may write there.
fn tell_privately(scene: &mut Scene, reader: usize, to: &str) {
    let channel = format!("@{to}");
    let state = &scene.model.readers[reader];
    if !state.logged_in {
        // Who has no name to log in with is nobody for certain.
        if state.person.is_none() {
            let object = json!({"op": "publish", "ch": channel, "data": "of nobody"});
            send_as(scene, reader, Command::Nonsense, object);
        }
        return;
    }
    let author = scene.author(reader);
    let (text, pad) = words(scene);
    let nonce = scene.model.attempt(&channel, author, |nonce| json!({"n": nonce, "text": text, "pad": pad}));
    let object = json!({"op": "publish", "ch": channel, "data": scene.model.attempts[nonce].data});
    send_as(scene, reader, Command::Publish(nonce), object);
}

/// A name that is somebody's is nobody else's.
pub(super) fn impersonate(scene: &mut Scene) {
    let life = scene.model.life();
    let known = scene.people.iter().filter(|person| person.known_in == Some(life));
    let known: Vec<String> = known.map(|person| person.nick.to_uppercase()).collect();
    // One that has a name of its own may be that person by the time this is read.
    let stranger = some_reader(scene, |scene, reader| scene.model.readers[reader].person.is_none());
    if let (Some(reader), false) = (stranger, known.is_empty()) {
        let nick = scene.rng.pick(&known).clone();
        let object = json!({"op": "login", "nick": nick, "secret": secret(&[7; 15])});
        send_as(scene, reader, Command::Nonsense, object);
    }
}

/// A letter has come, or was read: its author is told, once. (Where memory is short that may be forgotten.)
pub(super) fn confirm(scene: &mut Scene) {
    if scene.is_short() {
        return;
    }
    let is_somebody = |scene: &Scene, reader: usize| scene.model.readers[reader].logged_in;
    let Some(reader) = some_reader(scene, is_somebody) else { return };
    let channel = inbox(scene, reader);
    let letters = scene.model.confirmable(reader, &channel);
    if !letters.is_empty() {
        let letter = *scene.rng.pick(&letters);
        let id = scene.model.cursor_of(letter);
        scene.model.confirm(letter);
        let op = if scene.rng.coin() { "read" } else { "received" };
        // It may be gone by now.
        send_as(scene, reader, Command::Any, json!({"op": op, "ch": channel, "id": id}));
    }
}

/// Things that are told and not kept, and lists.
pub(super) fn move_about(scene: &mut Scene) {
    let is_somebody = |scene: &Scene, reader: usize| scene.model.readers[reader].logged_in;
    let Some(reader) = some_reader(scene, is_somebody) else { return };
    let channel = scene.rng.pick(&scene.channels.clone()).clone();
    let away = scene.rng.coin();
    let objects = [
        json!({"op": "typing", "ch": channel}),
        json!({"op": "away", "away": away}),
        json!({"op": "people", "ch": channel}),
        json!({"op": "rooms"}),
    ];
    let object = scene.rng.pick(&objects).clone();
    // Whether it reads the room that it types in, when the command comes, is open.
    let command = if object["op"] == "typing" { Command::Any } else { Command::Other };
    send_as(scene, reader, command, object);
}
