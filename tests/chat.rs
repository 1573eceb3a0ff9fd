//! The chat over real sockets: people, private messages, receipts, deletion, pictures, moderation.

mod common;

use common::writer::{WAYS, Writer, writer};
use common::{Reader, Response, Running, Way, serve};
use serde_json::{Value, json};

#[track_caller]
fn is(response: &Response, status: u16, code: &str) {
    assert_eq!((response.status, &*response.code()), (status, code), "{response:?}");
}

/// Somebody who is logged in and reads a room and the own inbox.
#[track_caller]
fn person<'a>(server: &'a Running, way: Way, nick: &str) -> Writer<'a> {
    let mut person = writer(server, way, "ch=lobby");
    person.login(nick);
    person.ok(json!({"op": "subscribe", "ch": format!("@{nick}")}));
    person
}

/// The data of all that a channel keeps.
fn kept(server: &Running, channel: &str) -> Vec<Value> {
    let answer = server.get(&format!("/channels/{channel}/history?limit=1000"));
    let messages = answer.json()["messages"].as_array().expect("messages").clone();
    messages.into_iter().map(|mut message| message["data"].take()).collect()
}

fn string(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// A request of a moderator.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a story reads better without the ampersand")]
fn order(server: &Running, action: &str, order: Value) -> Value {
    let response = server.post_as_operator(&format!("/admin/{action}"), order.to_string());
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

const GIF: &[u8] = b"GIF89a\x02\x01\x03\0\x80\0\0colour\x2c\0\0\0\0\x02\x01\x03\0\0\x02\x06pixels\0;";

#[test]
fn rooms_are_listed_by_how_many_are_in_them() {
    let server = serve(|_| {});
    server.publish("silent", "1");
    server.publish("@inbox", "1");
    let mut ann = person(&server, WAYS[0], "ann");
    let listed = |ann: &mut Writer<'_>| {
        let rooms = ann.ok(json!({"op": "rooms"}))["rooms"].clone();
        let line = |room: &Value| format!("{} {} {}", string(&room["name"]), room["users"], room["readers"]);
        rooms.as_array().expect("rooms").iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(listed(&mut ann), ["lobby 1 1", "silent 0 0"]);
    let mut bob = person(&server, WAYS[1], "bob");
    for who in [&mut ann, &mut bob] {
        who.ok(json!({"op": "subscribe", "ch": "tea"}));
    }
    ann.ok(json!({"op": "unsubscribe", "ch": "lobby"}));
    assert_eq!(listed(&mut ann), ["tea 2 2", "lobby 1 1", "silent 0 0"]);
    bob.ok(json!({"op": "unsubscribe", "ch": "lobby"}));
    assert_eq!(listed(&mut bob), ["tea 2 2", "lobby 0 0", "silent 0 0"], "the lobby is always there");
}

#[test]
fn people_are_away_when_none_of_their_tabs_is_looked_at() {
    let server = serve(|_| {});
    server.world.freeze();
    let mut bob = person(&server, Way::WebSocket, "bob");
    let mut first = writer(&server, Way::Sse, "ch=lobby");
    let secret = first.ok(json!({"op": "login", "nick": "ann", "avatar": 210}))["secret"].clone();
    let mut second = writer(&server, Way::WebSocket, "ch=lobby&ch=tea");
    second.ok(json!({"op": "login", "nick": "ann", "secret": secret}));
    let state = |bob: &mut Writer<'_>| bob.ok(json!({"op": "people", "ch": "lobby"}));
    let told = state(&mut bob);
    assert_eq!(told["people"][0], json!({"nick": "ann", "away": false, "avatar": 210}));
    assert_eq!(told["people"][1], json!({"nick": "bob", "away": false}));
    assert_eq!((&told["count"], &told["readers"]), (&json!(2), &json!(3)));

    first.ok(json!({"op": "away", "away": true}));
    assert_eq!(state(&mut bob)["people"][0]["away"], false);
    second.ok(json!({"op": "away", "away": true}));
    let news = |bob: &mut Writer<'_>, event: &str| {
        let told = bob.wait_for(|told| told["event"] == "away" || told["event"] == "back");
        assert_eq!(
            (&told["event"], &told["user"], &told["ch"]),
            (&json!(event), &json!("ann"), &json!("lobby"))
        );
    };
    news(&mut bob, "away");
    assert_eq!(state(&mut bob)["people"][0]["away"], true);
    // Each of their rooms is told.
    let tea = second.wait_for(|told| told["event"] == "away" && told["ch"] == "tea");
    assert_eq!(tea["user"], "ann");

    server.skip(encke::limits::AWAY_MS);
    let mut third = writer(&server, Way::Sse, "ch=lobby");
    third.ok(json!({"op": "login", "nick": "ann", "secret": secret}));
    news(&mut bob, "back");
    // It closes without a word, and after the grace period only those are left that nobody looks at.
    drop(third);
    server.settle();
    server.skip(15_000);
    news(&mut bob, "away");
    server.skip(encke::limits::AWAY_MS);
    second.ok(json!({"op": "away", "away": false}));
    news(&mut bob, "back");
}

#[test]
fn what_the_commands_refuse() {
    let server = serve(|_| {});
    for way in WAYS {
        let mut stranger = writer(&server, way, "ch=lobby");
        for (command, code) in [
            (json!({"op": "away", "away": true}), "login_first"),
            (json!({"op": "away"}), "missing_value"),
            (json!({"op": "away", "away": 1}), "bad_value"),
            (json!({"op": "typing", "ch": "lobby"}), "login_first"),
            (json!({"op": "read", "ch": "lobby", "id": "x"}), "login_first"),
            (json!({"op": "received", "ch": "lobby", "id": "x"}), "login_first"),
            (json!({"op": "received", "id": "x"}), "missing_value"),
            (json!({"op": "delete", "ch": "lobby", "id": "x"}), "login_first"),
            (json!({"op": "delete", "ch": "lobby"}), "missing_value"),
            (json!({"op": "people"}), "missing_value"),
            (json!({"op": "people", "ch": "@ann"}), "not_yours"),
            (json!({"op": "login", "nick": "eve", "avatar": 360}), "bad_value"),
            (json!({"op": "login", "nick": "eve", "avatar": "red"}), "bad_value"),
        ] {
            assert_eq!(stranger.refused(command.clone()), code, "{command}");
        }
        let nick = if way == Way::Sse { "sue" } else { "wes" };
        let mut user = person(&server, way, nick);
        let mine = user.ok(json!({"op": "publish", "ch": "lobby", "data": 1}))["id"].clone();
        let other = server.publish("lobby", "2");
        for (command, code) in [
            (json!({"op": "delete", "ch": "lobby", "id": other}), "not_yours"),
            (json!({"op": "delete", "ch": "lobby", "id": "00000000-1"}), "no_message"),
            (json!({"op": "delete", "ch": "lobby", "id": "x"}), "no_message"),
            (json!({"op": "delete", "ch": "tea", "id": mine}), "no_message"),
            (json!({"op": "read", "ch": "@nobody", "id": mine}), "not_yours"),
            (json!({"op": "publish", "ch": "@nobody", "data": 1}), "no_such_user"),
            (json!({"op": "typing", "ch": "@nobody"}), "no_such_user"),
            (json!({"op": "publish", "ch": format!("@{}", nick.to_uppercase()), "data": 1}), "no_such_user"),
            (
                json!({"op": "publish", "ch": format!("@{nick}"), "data": "x".repeat(65_000)}),
                "message_too_long",
            ),
        ] {
            assert_eq!(user.refused(command.clone()), code, "{command:.100}");
        }
    }
}

#[test]
fn a_private_message_is_seen_in_every_tab_of_both() {
    let server = serve(|_| {});
    let mut ann = writer(&server, Way::WebSocket, "ch=lobby");
    let secret = ann.login("ann");
    let mut other = writer(&server, Way::Sse, "ch=tea");
    other.ok(json!({"op": "login", "nick": "ann", "secret": secret}));
    for tab in [&mut ann, &mut other] {
        tab.ok(json!({"op": "subscribe", "ch": "@ann"}));
    }
    let mut bob = person(&server, Way::Stream, "bob");
    let message = json!({"op": "publish", "ch": "@bob", "data": {"text": "<psst>"}, "key": "k1"});
    let id = ann.ok(message.clone())["id"].clone();
    // It is sent again, since the answer was lost: neither the message nor the copy comes twice.
    let again = ann.ok(message);
    assert_eq!((&again["id"], &again["repeated"]), (&id, &json!(true)));
    assert_eq!(bob.told("@bob"), json!({"text": "<psst>"}));
    let copy = json!({"to": "bob", "id": id, "data": {"text": "<psst>"}});
    assert_eq!((ann.told("@ann"), other.told("@ann")), (copy.clone(), copy.clone()));
    is(&server.get("/channels/@ann/history"), 401, "unauthorized");
    let history = ann.ok(json!({"op": "history", "ch": "@ann"}));
    assert_eq!(history["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!((&history["messages"][0]["data"], &history["messages"][0]["from"]), (&copy, &json!("ann")));
    // To oneself it is one message, and to a back end nobody owes a copy.
    ann.ok(json!({"op": "publish", "ch": "@ann", "data": "note"}));
    server.publish("@bob", "\"from a back end\"");
    assert_eq!((ann.told("@ann"), bob.told("@bob")), (json!("note"), json!("from a back end")));
    assert_eq!(ann.ok(json!({"op": "history", "ch": "@ann"}))["messages"].as_array().map(Vec::len), Some(2));
}

#[test]
fn an_offline_message_waits() {
    let server = serve(|_| {});
    server.world.freeze();
    let secret = writer(&server, Way::Sse, "ch=lobby").login("bob");
    server.settle();
    server.skip(15_000);
    let mut ann = person(&server, Way::WebSocket, "ann");
    let people = ann.ok(json!({"op": "people", "ch": "lobby"}));
    assert_eq!(people["count"], 1, "bob is gone: {people}");
    ann.ok(json!({"op": "publish", "ch": "@bob", "data": "one"}));
    ann.ok(json!({"op": "publish", "ch": "@bob", "data": "two"}));
    let mut bob = writer(&server, Way::WebSocket, "ch=lobby");
    bob.ok(json!({"op": "login", "nick": "bob", "secret": secret}));
    bob.ok(json!({"op": "subscribe", "ch": "@bob", "last": 50}));
    assert_eq!((bob.told("@bob"), bob.told("@bob")), (json!("one"), json!("two")));
}

#[test]
fn receipts_for_private_messages_are_told_once_and_kept() {
    let server = serve(|_| {});
    let mut ann = person(&server, Way::WebSocket, "ann");
    let mut bob = person(&server, Way::Sse, "bob");
    let mut send = || ann.ok(json!({"op": "publish", "ch": "@bob", "data": 1}))["id"].clone();
    let ids = [send(), send(), send()];
    let mut confirm = |op: &str, id: &Value| bob.ok(json!({"op": op, "ch": "@bob", "id": id}));
    confirm("received", &ids[1]);
    confirm("received", &ids[0]);
    confirm("received", &ids[1]);
    confirm("read", &ids[1]);
    confirm("received", &ids[1]);
    confirm("read", &ids[0]);
    confirm("read", &json!("00000000-1"));
    confirm("read", &ids[2]);
    confirm("received", &ids[2]);
    ann.ok(json!({"op": "publish", "ch": "@ann", "data": "end"}));
    let mut told = Vec::new();
    loop {
        let event = ann.wait_for(|event| event["ch"] == "@ann" && event["type"] == "message");
        match event["data"]["receipt"].as_str() {
            Some(receipt) => {
                assert_eq!((&event["from"], &event["data"]["ch"]), (&json!("bob"), &json!("@bob")));
                told.push((receipt.to_owned(), event["data"]["id"].clone()));
            }
            None if event["data"] == "end" => break,
            None => assert_eq!(event["data"]["to"], "bob", "{event}"),
        }
    }
    let expected = [("delivered", 1), ("read", 1), ("read", 2)];
    assert_eq!(told, expected.map(|(receipt, at)| (receipt.to_owned(), ids[at].clone())));
    // A receipt for a receipt would never end.
    let history = ann.ok(json!({"op": "history", "ch": "@ann"}));
    let receipt = history["messages"].as_array().expect("messages").iter().find(|m| m["from"] == "bob");
    ann.ok(json!({"op": "read", "ch": "@ann", "id": receipt.expect("a receipt")["id"]}));
    let inbox = bob.ok(json!({"op": "history", "ch": "@bob"}));
    assert!(inbox["messages"].as_array().expect("messages").iter().all(|m| m["data"] == 1), "{inbox}");
}

#[test]
fn a_small_room_is_told_who_has_read() {
    let server = serve(|_| {});
    let mut ann = person(&server, Way::WebSocket, "ann");
    let mut bob = person(&server, Way::Sse, "bob");
    let id = ann.ok(json!({"op": "publish", "ch": "lobby", "data": 1}))["id"].clone();
    for _ in 0..2 {
        bob.ok(json!({"op": "received", "ch": "lobby", "id": id}));
        bob.ok(json!({"op": "read", "ch": "lobby", "id": id}));
    }
    bob.ok(json!({"op": "publish", "ch": "lobby", "data": "end"}));
    let receipt = json!({"type": "receipt", "ch": "lobby", "receipt": "read", "user": "bob", "id": id});
    let told = ann.wait_for(|event| event["type"] == "receipt");
    assert_eq!(told, receipt);
    assert_eq!(ann.event()["data"], "end", "once, and nothing is kept");
    assert_eq!(kept(&server, "lobby"), [json!(1), json!("end")]);

    let crowd: Vec<Reader> = (0..31)
        .map(|number| {
            let mut one = writer(&server, Way::WebSocket, "ch=lobby");
            one.login(&format!("user {number}"));
            one.reader
        })
        .collect();
    let id = ann.ok(json!({"op": "publish", "ch": "lobby", "data": 2}))["id"].clone();
    bob.ok(json!({"op": "read", "ch": "lobby", "id": id}));
    bob.ok(json!({"op": "publish", "ch": "lobby", "data": "end"}));
    let next = ann.wait_for(|event| event["type"] == "receipt" || event["data"] == "end");
    assert_eq!(next["data"], "end", "33 are too many to tell");
    drop(crowd);
}

#[test]
fn a_deleted_message_is_gone_on_every_transport() {
    let server = serve(|_| {});
    let mut ann = person(&server, Way::WebSocket, "ann");
    let mut bob = person(&server, Way::Sse, "bob");
    let behind = bob.reader.cursor.clone();
    let mut publish =
        |data: Value| ann.ok(json!({"op": "publish", "ch": "lobby", "data": data}))["id"].clone();
    let ids = [publish(json!({"text": "secret"})), publish(json!({"text": "other"}))];
    let before = bob.wait_for(|event| event["id"] == ids[0]);
    assert_eq!(before["data"]["text"], "secret");
    for _ in 0..2 {
        ann.ok(json!({"op": "delete", "ch": "lobby", "id": ids[0]}));
    }
    bob.told("lobby");
    assert_eq!(bob.told("lobby"), json!({"deletes": ids[0]}));
    let expected = [json!({"deleted": true}), json!({"text": "other"}), json!({"deletes": ids[0]})];
    assert_eq!(kept(&server, "lobby"), expected, "deleted once");
    for way in Way::ALL {
        if way == Way::Jsonp {
            continue;
        }
        let mut late = writer(&server, way, &format!("ch=lobby&since={behind}"));
        let first = late.wait_for(|event| event["type"] == "message");
        assert_eq!((&first["id"], &first["from"], &first["at"]), (&ids[0], &json!("ann"), &before["at"]));
        let told = [first["data"].clone(), late.told("lobby"), late.told("lobby")];
        assert_eq!(told, expected, "{way:?}");
        let page =
            server.command(&late.reader.sid, &json!({"op": "history", "ch": "lobby", "before": ids[1]}));
        assert_eq!(page["messages"][0]["data"], json!({"deleted": true}));
    }
    assert_eq!(bob.refused(json!({"op": "delete", "ch": "lobby", "id": ids[1]})), "not_yours");
}

#[test]
fn a_deleted_private_message_is_gone_on_both_sides() {
    let server = serve(|_| {});
    let mut ann = person(&server, Way::WebSocket, "ann");
    let mut bob = person(&server, Way::Sse, "bob");
    let mut eve = person(&server, Way::Sse, "eve");
    let send = |ann: &mut Writer<'_>, text: &str| {
        ann.ok(json!({"op": "publish", "ch": "@bob", "data": {"text": text}}))["id"].clone()
    };
    let (id, other) = (send(&mut ann, "secret"), send(&mut ann, "other"));
    for (thief, code) in [(&mut bob, "not_yours"), (&mut eve, "no_message")] {
        assert_eq!(thief.refused(json!({"op": "delete", "ch": "@bob", "id": id})), code);
    }
    ann.ok(json!({"op": "delete", "ch": "@bob", "id": id}));
    let data = |who: &mut Writer<'_>, channel: &str| {
        let history = who.ok(json!({"op": "history", "ch": channel}));
        let messages = history["messages"].as_array().expect("messages").clone();
        messages
            .into_iter()
            .map(|message| (message["id"].clone(), message["data"].clone()))
            .collect::<Vec<_>>()
    };
    let theirs: Vec<Value> = data(&mut bob, "@bob").into_iter().map(|(_, data)| data).collect();
    assert_eq!(theirs, [json!({"deleted": true}), json!({"text": "other"}), json!({"deletes": id})]);
    let mine = data(&mut ann, "@ann");
    let copy = mine[0].0.clone();
    let mine: Vec<Value> = mine.into_iter().map(|(_, data)| data).collect();
    assert_eq!(
        mine,
        [
            json!({"to": "bob", "id": id, "data": {"deleted": true}}),
            json!({"to": "bob", "id": other, "data": {"text": "other"}}),
            json!({"deletes": copy}),
        ]
    );
}

#[test]
fn typing_in_private_reaches_the_owner_alone() {
    let server = serve(|_| {});
    let mut ann = person(&server, Way::WebSocket, "ann");
    let mut bob = person(&server, Way::Sse, "bob");
    ann.ok(json!({"op": "typing", "ch": "@bob"}));
    let told = bob.wait_for(|event| event["type"] == "typing");
    assert_eq!(told, json!({"type": "typing", "ch": "@bob", "user": "ann"}));
}

#[test]
fn a_picture_is_kept_and_handed_out() {
    let server = serve(|_| {});
    let mut ann = person(&server, Way::Sse, "ann");
    let upload = format!("/pictures?sid={}&name=x.html", ann.reader.sid);
    let mut client = server.connect();
    let answer = client.ask("POST", &upload, "Content-Type: text/html\r\n", GIF);
    assert_eq!(answer.status, 200, "{answer:?}");
    let picture = answer.json();
    assert_eq!((&picture["width"], &picture["height"]), (&json!(258), &json!(3)));
    assert_eq!((&picture["ok"], &picture["type"]), (&json!(true), &json!("image/gif")));
    let path = format!("/pictures/{}", string(&picture["id"]));
    let got = client.get(&path);
    assert_eq!((got.status, &got.body[..]), (200, GIF));
    for (name, value) in [
        ("content-type", "image/gif"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("cache-control", "private, max-age=31536000, immutable"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(got.header(name), Some(value));
    }
    assert_eq!(client.ask("HEAD", &path, "", b"").status, 200);
    // It goes with the message that shows it.
    let data = json!({"picture": {"id": picture["id"], "name": "<x>", "width": 258, "height": 3}});
    let id = ann.ok(json!({"op": "publish", "ch": "lobby", "data": data}))["id"].clone();
    ann.ok(json!({"op": "delete", "ch": "lobby", "id": id}));
    is(&server.get(&path), 404, "no_picture");
}

#[test]
fn a_picture_is_kept_without_what_a_camera_wrote() {
    let server = serve(|_| {});
    let ann = person(&server, Way::Sse, "ann");
    let upload = format!("/pictures?sid={}", ann.reader.sid);
    let trailer = GIF.len() - 1;
    let noted = [&GIF[..trailer], b"\x21\xfe\x0b50.06,19.93\0;", b"PK\x03\x04 at home"].concat();
    let id = server.post(&upload, &noted).json()["id"].clone();
    assert_eq!(server.get(&format!("/pictures/{}", string(&id))).body, GIF);
}

#[test]
fn another_persons_picture_does_not_go_with_ones_own_message() {
    let server = serve(|_| {});
    let (ann, mut bob) = (person(&server, Way::Sse, "ann"), person(&server, Way::Sse, "bob"));
    let picture = server.post(&format!("/pictures?sid={}", ann.reader.sid), GIF).json();
    let data = json!({"picture": {"id": picture["id"]}});
    let id = bob.ok(json!({"op": "publish", "ch": "lobby", "data": data}))["id"].clone();
    bob.ok(json!({"op": "delete", "ch": "lobby", "id": id}));
    assert_eq!(server.get(&format!("/pictures/{}", string(&picture["id"]))).status, 200);
}

#[test]
fn what_is_no_picture_is_refused() {
    let server = serve(|_| {});
    let ann = person(&server, Way::Sse, "ann");
    let upload = format!("/pictures?sid={}", ann.reader.sid);
    is(&server.post(&upload, "<svg onload=alert(1)>"), 415, "not_a_picture");
    is(&server.post(&upload, ""), 415, "not_a_picture");
    is(&server.post(&upload, [GIF, &vec![0; 512 * 1024]].concat()), 413, "too_big");
    is(&server.post(&upload, b"GIF89a\xff\xff\xff\xff\x80\0\0"), 413, "too_big");
    is(&server.post("/pictures", GIF), 400, "missing_value");
    is(&server.post("/pictures?sid=AAAAAAAAAAAAAAAAAAAAAA", GIF), 410, "unknown_sid");
    let stranger = Reader::open(&server, Way::Sse, "ch=lobby");
    is(&server.post(&format!("/pictures?sid={}", stranger.sid), GIF), 403, "login_first");
    is(&server.get("/pictures"), 405, "method_not_allowed");
    is(&server.get("/pictures/AAAAAAAAAAAAAAAAAAAAAA"), 404, "no_picture");
    is(&server.get("/pictures/../config"), 404, "no_picture");
    is(&server.connect().ask("DELETE", "/pictures/x", "", b""), 405, "method_not_allowed");
    let foreign = server.connect().ask("POST", &upload, "Origin: https://evil.example\r\n", GIF);
    is(&foreign, 403, "foreign_origin");
}

#[test]
fn a_page_is_told_what_there_is() {
    let server = serve(|_| {});
    let config = server.get("/config").json();
    assert_eq!(config["rooms"], json!(["lobby"]));
    assert_eq!((&config["picture_bytes"], &config["text_bytes"]), (&json!(512 << 10), &json!(64 << 10)));
    assert_eq!(config["transports"], json!(["websocket", "sse", "stream", "iframe", "poll"]));
    assert_eq!(config["version"], env!("CARGO_PKG_VERSION"));
    let server = serve(|config| config.jsonp = true);
    assert_eq!(server.get("/config").json()["transports"][5], "jsonp");
}

#[test]
fn a_name_that_looks_like_an_injection_is_a_name() {
    let server = serve(|_| {});
    for (way, nick) in [
        (Way::WebSocket, r#"":{"user":"root"#),
        (Way::Sse, "<img src=x onerror=alert(1)>"),
        (Way::Stream, r#"\"}]}"#),
        (Way::Iframe, "'; DROP TABLE x--"),
        (Way::WebSocket, "%00%0d%0aSet-Cookie: a=b"),
        (Way::Sse, "</script>"),
    ] {
        let mut one = writer(&server, way, "ch=lobby");
        if nick.contains('/') {
            assert_eq!(one.refused(json!({"op": "login", "nick": nick})), "bad_value");
            continue;
        }
        one.login(nick);
        one.ok(json!({"op": "subscribe", "ch": format!("@{nick}")}));
        let people = one.ok(json!({"op": "people", "ch": "lobby"}));
        assert!(
            people["people"].as_array().expect("people").iter().any(|one| one["nick"] == nick),
            "{people}"
        );
        let id = one.ok(json!({"op": "publish", "ch": "lobby", "data": {"text": nick}}))["id"].clone();
        let message = one.wait_for(|event| event["type"] == "message" && event["ch"] == "lobby");
        assert_eq!((&message["from"], &message["data"]["text"]), (&json!(nick), &json!(nick)));
        one.ok(json!({"op": "delete", "ch": "lobby", "id": id}));
        order(&server, "mute", json!({"user": nick, "seconds": 60, "why": nick}));
        assert_eq!(one.told(&format!("@{nick}")), json!({"notice": nick}));
        assert_eq!(one.refused(json!({"op": "publish", "ch": "lobby", "data": 1})), "muted");
    }
}

#[test]
fn a_kicked_user_is_gone_and_may_come_back() {
    let server = serve(|_| {});
    let mut ann = writer(&server, Way::WebSocket, "ch=lobby");
    let secret = ann.login("ann");
    let mut tab = writer(&server, Way::Sse, "ch=lobby");
    tab.ok(json!({"op": "login", "nick": "ann", "secret": secret}));
    assert_eq!(order(&server, "kick", json!({"user": "ANN", "why": "be nice"}))["clients"], 2);
    for gone in [&mut ann, &mut tab] {
        assert_eq!(gone.wait_for(|event| event["type"] == "bye")["why"], "kicked");
    }
    is(&server.post_as_operator("/admin/kick", json!({"user": "ann"}).to_string()), 404, "not_here");
    is(&server.post_as_operator("/admin/kick", json!({"user": "nobody"}).to_string()), 404, "no_such_user");
    let mut back = writer(&server, Way::WebSocket, "ch=lobby");
    back.ok(json!({"op": "login", "nick": "ann", "secret": secret}));
    back.ok(json!({"op": "subscribe", "ch": "@ann", "last": 10}));
    assert_eq!(back.told("@ann"), json!({"notice": "be nice"}));
}

#[test]
fn a_muted_user_reads_and_does_not_write() {
    let server = serve(|_| {});
    let mut ann = person(&server, Way::WebSocket, "ann");
    person(&server, Way::Sse, "bob");
    let mine = ann.ok(json!({"op": "publish", "ch": "lobby", "data": 1}))["id"].clone();
    server.world.freeze();
    order(&server, "mute", json!({"user": "ann", "seconds": 60}));
    for command in [
        json!({"op": "publish", "ch": "lobby", "data": 1}),
        json!({"op": "publish", "ch": "@bob", "data": 1}),
        json!({"op": "typing", "ch": "lobby"}),
    ] {
        let reply = ann.command(&command);
        assert_eq!((&reply["error"]["code"], &reply["error"]["retry"]), (&json!("muted"), &json!(60_000)));
    }
    is(&server.post(&format!("/pictures?sid={}", ann.reader.sid), GIF), 403, "muted");
    server.publish("lobby", "2");
    assert_eq!(ann.wait_for(|event| event["type"] == "message" && event["data"] == 2)["ch"], "lobby");
    ann.ok(json!({"op": "delete", "ch": "lobby", "id": mine}));
    let listed = server.get_as_operator("/admin/users").json();
    assert_eq!(listed["muted"][0]["user"], "ann");
    server.skip(60_000);
    ann.ok(json!({"op": "publish", "ch": "lobby", "data": 3}));
    order(&server, "mute", json!({"user": "ann", "seconds": 60}));
    order(&server, "mute", json!({"user": "ann", "seconds": 0}));
    ann.ok(json!({"op": "publish", "ch": "lobby", "data": 3}));
}

#[test]
fn a_banned_user_stays_out_until_it_is_over() {
    let server = serve(|_| {});
    let mut ann = writer(&server, Way::WebSocket, "ch=lobby");
    let secret = ann.login("ann");
    let answer = order(&server, "ban", json!({"user": "ann", "seconds": 3600}));
    assert_eq!(answer["addresses"], json!([]), "this machine's own is everybody's behind a proxy");
    assert_eq!(ann.wait_for(|event| event["type"] == "bye")["why"], "banned");
    let mut again = writer(&server, Way::WebSocket, "ch=lobby");
    for nick in ["ann", "Ann", " ann "] {
        let reply = again.command(&json!({"op": "login", "nick": nick, "secret": secret}));
        assert_eq!(reply["error"]["code"], "banned");
        assert!(reply["error"]["retry"].as_u64().is_some_and(|ms| (3_590_000..=3_600_000).contains(&ms)));
    }
    assert_eq!(server.get_as_operator("/admin/users").json()["banned"][0]["user"], "ann");
    order(&server, "ban", json!({"user": "ann", "seconds": 0}));
    again.ok(json!({"op": "login", "nick": "ann", "secret": secret}));
}

#[test]
fn a_banned_address_is_refused_on_every_transport() {
    let server = serve(|config| config.jsonp = true);
    let mut ann = writer(&server, Way::WebSocket, "ch=lobby");
    ann.login("ann");
    let mut stranger = Reader::open(&server, Way::Sse, "ch=lobby");
    is(&server.post_as_operator("/admin/ban", r#"{"address":"localhost","seconds":1}"#), 400, "bad_value");
    assert_eq!(order(&server, "ban", json!({"address": "::ffff:127.0.0.1", "seconds": 60}))["clients"], 2);
    assert_eq!(ann.wait_for(|event| event["type"] == "bye")["why"], "banned");
    assert_eq!(stranger.event_of("bye")["why"], "banned");
    for way in Way::ALL {
        let fields = if way == Way::WebSocket { common::client::UPGRADE } else { "" };
        let response = server.connect().ask("GET", &format!("{}?ch=lobby", way.path()), fields, b"");
        is(&response, 403, "banned");
        assert_eq!(response.header("retry-after"), Some("60"));
    }
    assert_eq!(server.get_as_operator("/admin/users").json()["banned"][0]["address"], "127.0.0.1");
    order(&server, "ban", json!({"address": "127.0.0.1", "seconds": 0}));
    Reader::open(&server, Way::Sse, "ch=lobby");
}

#[test]
fn lifting_a_ban_lifts_the_addresses_banned_with_it() {
    let server = serve(|config| {
        config.trusted_proxies.push(encke::server::Network::parse("127.0.0.1").expect("an address"));
        (config.publish_key, config.open_local) = (Some("k3y".to_owned()), false);
    });
    let from = "X-Forwarded-For: 192.0.2.7\r\n";
    let enter = || server.connect().ask("GET", "/poll?ch=lobby&wait=0", from, b"");
    let sid = enter().json()["sid"].as_str().expect("a sid").to_owned();
    let login = json!({"op": "login", "nick": "ann"}).to_string();
    let login = server.connect().ask("POST", &format!("/send?sid={sid}"), from, login.as_bytes());
    assert_eq!(login.json()["ok"], true);
    let order = |seconds: u32| {
        let order = json!({"user": "ann", "seconds": seconds}).to_string();
        server.connect().ask("POST", "/admin/ban", "Authorization: Bearer k3y\r\n", order.as_bytes()).json()
    };
    assert_eq!(order(3600)["addresses"], json!(["192.0.2.7"]));
    is(&enter(), 403, "banned");
    assert_eq!(order(0)["addresses"], json!(["192.0.2.7"]));
    assert_eq!(enter().status, 200);
}

#[test]
fn a_proxy_is_not_banned_with_who_comes_through_it() {
    let server = serve(|config| {
        for proxy in ["127.0.0.1", "10.0.0.0/8"] {
            config.trusted_proxies.push(encke::server::Network::parse(proxy).expect("an address"));
        }
        (config.publish_key, config.open_local) = (Some("k3y".to_owned()), false);
    });
    // The proxy nearer to them says nothing of them.
    let from = "X-Forwarded-For: 10.0.0.7\r\n";
    let sid = server.connect().ask("GET", "/poll?ch=lobby&wait=0", from, b"").json();
    let path = format!("/send?sid={}", string(&sid["sid"]));
    let login = json!({"op": "login", "nick": "ann"}).to_string();
    assert_eq!(server.connect().ask("POST", &path, from, login.as_bytes()).json()["ok"], true);
    let key = "Authorization: Bearer k3y\r\n";
    let order = json!({"user": "ann", "seconds": 60}).to_string();
    let answer = server.connect().ask("POST", "/admin/ban", key, order.as_bytes()).json();
    assert_eq!((&answer["addresses"], &answer["clients"]), (&json!([]), &json!(1)));
    assert_eq!(server.connect().ask("GET", "/poll?ch=lobby&wait=0", from, b"").status, 200, "somebody else");
}

#[test]
fn a_hundred_changes_of_mind_are_told_once() {
    let server = serve(|_| {});
    server.world.freeze();
    let mut bob = person(&server, Way::WebSocket, "bob");
    let mut ann = writer(&server, Way::WebSocket, "ch=lobby");
    ann.login("ann");
    (0..101).for_each(|step| drop(ann.ok(json!({"op": "away", "away": step % 2 == 0}))));
    server.publish("lobby", "then");
    let mut told = Vec::new();
    loop {
        let event = bob.event();
        match event["event"].as_str() {
            Some(what @ ("away" | "back")) => told.push(what.to_owned()),
            _ if event["data"] == "then" => break,
            _ => {}
        }
    }
    assert_eq!(told, ["away"]);
    ann.ok(json!({"op": "away", "away": false}));
    server.skip(encke::limits::AWAY_MS);
    assert_eq!(bob.wait_for(|event| event["event"] == "back")["user"], "ann");
}

#[test]
fn a_cleared_room_is_empty_and_says_so() {
    let server = serve(|_| {});
    let mut ann = person(&server, Way::Sse, "ann");
    server.publish("lobby", "1");
    order(&server, "clear", json!({"ch": "lobby"}));
    assert_eq!((ann.told("lobby"), ann.told("lobby")), (json!(1), json!({"cleared": true})));
    assert_eq!(kept(&server, "lobby"), [json!({"cleared": true})]);
    is(&server.post_as_operator("/admin/clear", r#"{"ch":"nowhere"}"#), 404, "no_channel");
}

#[test]
fn a_notice_reaches_every_room() {
    let server = serve(|_| {});
    let mut ann = person(&server, Way::Sse, "ann");
    let mut tea = Reader::open(&server, Way::Poll, "ch=tea");
    assert_eq!(order(&server, "notice", json!({"text": "<b>down at noon"}))["rooms"], 2);
    let notice = ann.wait_for(|event| event["type"] == "message");
    assert_eq!((&notice["ch"], &notice["from"]), (&json!("lobby"), &json!(null)));
    assert_eq!(notice["data"]["notice"], "<b>down at noon");
    assert_eq!(tea.message(), notice["data"], "with the same nonce, so that it is shown once");
}

#[test]
fn moderators_see_who_is_here() {
    let server = serve(|_| {});
    let mut ann = person(&server, Way::WebSocket, "ann");
    let secret = ann.ok(json!({"op": "login", "nick": "ann"}))["secret"].clone();
    let mut tab = writer(&server, Way::Sse, "ch=tea");
    tab.ok(json!({"op": "login", "nick": "ann", "secret": secret}));
    let _bob = person(&server, Way::WebSocket, "bob");
    let listed = server.get_as_operator("/admin/users").json();
    assert_eq!(listed["count"], 2);
    let expected = json!({
        "user": "ann", "clients": 2, "away": false, "addresses": ["127.0.0.1"], "rooms": ["lobby", "tea"],
    });
    assert_eq!(listed["users"][0], expected);
    let one = server.get_as_operator("/admin/users?user=bob").json();
    assert_eq!((one["users"].as_array().map(Vec::len), &one["users"][0]["user"]), (Some(1), &json!("bob")));
}

#[test]
fn moderation_takes_the_key() {
    let server = serve(|config| (config.publish_key, config.open_local) = (Some("s3cret".to_owned()), false));
    let ask = |fields: &str| server.connect().ask("POST", "/admin/notice", fields, br#"{"text":"x"}"#);
    is(&ask(""), 401, "unauthorized");
    is(&ask("Authorization: Bearer wrong\r\n"), 401, "unauthorized");
    assert_eq!(ask("Authorization: Bearer s3cret\r\n").status, 200);
    is(&server.get("/admin/users"), 401, "unauthorized");

    let server = serve(|_| {});
    is(&server.post("/admin/notice", "{}"), 401, "unauthorized");
    let foreign = server.connect().ask("POST", "/admin/notice", "Origin: https://evil.example\r\n", b"{}");
    is(&foreign, 403, "foreign_origin");
    let server = serve(|config| config.publish_key = None);
    is(&server.post_as_operator("/admin/notice", r#"{"text":"x"}"#), 403, "needs_key");

    let server = serve(|_| {});
    is(&server.get_as_operator("/admin/notice"), 405, "method_not_allowed");
    is(&server.post_as_operator("/admin/users", ""), 405, "method_not_allowed");
    is(&server.post_as_operator("/admin/fly", "{}"), 404, "not_found");
    is(&server.post_as_operator("/admin/notice", "[]"), 400, "bad_json");
    is(&server.post_as_operator("/admin/notice", b"\xff"), 400, "bad_json");
    is(&server.post_as_operator("/admin/notice", "{}"), 400, "missing_value");
    is(&server.post_as_operator("/admin/ban", r#"{"user":"ann"}"#), 400, "missing_value");
    is(&server.post_as_operator("/admin/ban", r#"{"seconds":1}"#), 400, "missing_value");
    is(&server.post_as_operator("/admin/mute", r#"{"user":"ann","seconds":-1}"#), 404, "no_such_user");
}

#[test]
fn who_is_muted_is_still_told_of_what_was_published() {
    let server = serve(|_| {});
    let mut ann = person(&server, Way::WebSocket, "ann");
    let publish = |key: &str| json!({"op": "publish", "ch": "lobby", "data": 1, "key": key});
    let first = ann.ok(publish("k1"))["id"].clone();
    order(&server, "mute", json!({"user": "ann", "seconds": 60}));
    // The answer was lost on its way, and the page asks again.
    let again = ann.ok(publish("k1"));
    assert_eq!((&again["id"], &again["repeated"]), (&first, &json!(true)));
    assert_eq!(ann.refused(publish("k2")), "muted");
}

#[test]
fn a_name_is_used_in_so_many_tabs() {
    let server = serve(|_| {});
    let mut ann = writer(&server, Way::WebSocket, "ch=lobby");
    let secret = ann.login("ann");
    let login = json!({"op": "login", "nick": "ann", "secret": secret});
    let tabs: Vec<Writer<'_>> = (1..encke::limits::TABS_MAX)
        .map(|_| {
            let mut tab = writer(&server, Way::WebSocket, "");
            tab.ok(login.clone());
            tab
        })
        .collect();
    assert_eq!(writer(&server, Way::WebSocket, "").refused(login.clone()), "too_many_tabs");
    ann.ok(login);
    drop(tabs);
}

#[test]
fn the_laboratory_is_told_how_long_a_request_was() {
    let server = serve(|_| {});
    assert_eq!(server.get("/lab").status, 200);
    let mut client = server.connect();
    let request = "GET /lab/head HTTP/1.1\r\nHost: localhost\r\nCookie: secret=1\r\n\r\n";
    client.send(request);
    let answer = client.response();
    assert_eq!(answer.json(), json!({"bytes": request.len()}), "and nothing of what it said");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn nobody_says_what_the_server_says() {
    let server = serve(|_| {});
    for way in WAYS {
        let mut stranger = writer(&server, way, "ch=lobby");
        let mut eve = person(&server, way, if way == Way::Sse { "eve" } else { "wes" });
        for data in [
            json!({"notice": "Log in again at http://evil.example", "nonce": "n"}),
            json!({"cleared": true}),
            json!({"text": "x", "deletes": "00000000-1"}),
        ] {
            for who in [&mut stranger, &mut eve] {
                assert_eq!(who.refused(json!({"op": "publish", "ch": "lobby", "data": data})), "reserved");
            }
        }
        let inbox = if way == Way::Sse { "@eve" } else { "@wes" };
        for data in
            [json!({"receipt": "read", "ch": inbox, "id": "x"}), json!({"to": "bob", "id": "x", "data": 1})]
        {
            assert_eq!(eve.refused(json!({"op": "publish", "ch": inbox, "data": data})), "reserved");
        }
        stranger.ok(json!({"op": "publish", "ch": "lobby", "data": {"text": "notice", "to": "all"}}));
    }
    assert_eq!(kept(&server, "lobby").len(), WAYS.len(), "plain words are anybody's");
}

#[test]
fn one_types_where_one_reads() {
    let server = serve(|_| {});
    for way in WAYS {
        let mut ann = writer(&server, way, "ch=lobby");
        ann.login(if way == Way::Sse { "ann" } else { "amy" });
        for room in ["tea".to_owned(), "x".repeat(60_000)] {
            assert_eq!(ann.refused(json!({"op": "typing", "ch": room})), "subscribe_first");
        }
        ann.ok(json!({"op": "typing", "ch": "lobby"}));
    }
}

/// Somebody at an address, who polls and sends as whom a proxy says.
struct Caller<'a> {
    server: &'a Running,
    fields: String,
    sid: String,
}

impl Caller<'_> {
    fn ask(&self, method: &str, path: &str, body: &Value) -> Response {
        self.server.connect().ask(method, path, &self.fields, body.to_string().as_bytes())
    }

    fn send(&self, command: &Value) -> Response {
        self.ask("POST", &format!("/send?sid={}", self.sid), command)
    }

    /// The code of the refusal, or nothing.
    fn code(&self, command: &Value) -> Value {
        self.send(command).json()["error"]["code"].take()
    }
}

/// A server behind a trusted proxy.
fn behind_a_proxy() -> Running {
    serve(|config| {
        config.trusted_proxies.push(encke::server::Network::parse("127.0.0.1").expect("an address"));
        (config.publish_key, config.open_local) = (Some("s3cret".to_owned()), false);
    })
}

/// Somebody between two polls.
fn caller<'a>(server: &'a Running, address: &str) -> Caller<'a> {
    let fields = format!("X-Forwarded-For: {address}\r\n");
    let mut caller = Caller { server, fields, sid: String::new() };
    let answer = server.connect().ask("GET", "/poll?ch=lobby&wait=0", &caller.fields, b"");
    caller.sid = string(&answer.json()["sid"]);
    caller
}

#[track_caller]
fn keyed_order(server: &Running, action: &str, order: &Value) -> Value {
    let fields = "Authorization: Bearer s3cret\r\n";
    let path = format!("/admin/{action}");
    let response = server.connect().ask("POST", &path, fields, order.to_string().as_bytes());
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

#[test]
fn a_ban_reaches_who_is_between_two_polls() {
    let server = behind_a_proxy();
    let mallory = caller(&server, "192.0.2.7");
    assert_eq!(mallory.code(&json!({"op": "login", "nick": "mallory"})), Value::Null);
    let other = caller(&server, "192.0.2.8");
    let answer = keyed_order(&server, "ban", &json!({"user": "mallory", "seconds": 60}));
    assert_eq!((&answer["addresses"], &answer["clients"]), (&json!(["192.0.2.7"]), &json!(1)));
    is(&mallory.send(&json!({"op": "ping"})), 410, "unknown_sid");
    is(&mallory.ask("GET", &format!("/poll?ch=lobby&sid={}", mallory.sid), &Value::Null), 403, "banned");
    // Neither does the sid of another address help.
    let moved = Caller { server: &server, fields: mallory.fields.clone(), sid: other.sid.clone() };
    is(&moved.send(&json!({"op": "ping"})), 403, "banned");
    is(&moved.ask("GET", &format!("/poll?ch=lobby&wait=0&sid={}", moved.sid), &Value::Null), 403, "banned");
    is(&moved.ask("POST", &format!("/pictures?sid={}", moved.sid), &Value::Null), 403, "banned");
    assert_eq!(other.code(&json!({"op": "ping"})), Value::Null, "it is as it was");
}

#[test]
fn who_is_muted_is_silent_under_other_names_and_under_none() {
    let server = behind_a_proxy();
    let (mallory, bob) = (caller(&server, "192.0.2.7"), caller(&server, "192.0.2.7"));
    let login = |nick: &str| json!({"op": "login", "nick": nick});
    let publish = json!({"op": "publish", "ch": "lobby", "data": 1});
    assert_eq!(mallory.code(&login("mallory")), Value::Null);
    assert_eq!(bob.code(&login("bob")), Value::Null);
    keyed_order(&server, "mute", &json!({"user": "mallory", "seconds": 60}));
    let (tab, elsewhere) = (caller(&server, "192.0.2.7"), caller(&server, "192.0.2.8"));
    assert_eq!(mallory.code(&publish), "muted");
    assert_eq!(mallory.code(&login("mallory2")), "muted");
    assert_eq!(tab.code(&publish), "muted");
    assert_eq!(tab.code(&login("mallory2")), "muted");
    assert_eq!(bob.code(&publish), Value::Null, "he had his name before");
    assert_eq!(elsewhere.code(&publish), Value::Null);
    assert_eq!(elsewhere.code(&login("carol")), Value::Null);
    keyed_order(&server, "mute", &json!({"user": "mallory", "seconds": 0}));
    assert_eq!(tab.code(&publish), Value::Null);
}

#[test]
fn one_client_uses_up_no_names() {
    let server = serve(|_| {});
    let mut thief = writer(&server, Way::WebSocket, "ch=lobby");
    for number in 0..encke::limits::NAMES_PER_CLIENT_MAX {
        thief.login(&format!("z{number}"));
    }
    assert_eq!(thief.refused(json!({"op": "login", "nick": "one more"})), "too_many_names");
    thief.ok(json!({"op": "publish", "ch": "lobby", "data": 1}));
}

#[test]
fn names_that_look_alike_are_not_given_to_two() {
    let server = serve(|_| {});
    writer(&server, Way::WebSocket, "ch=lobby").login("Ann B");
    let mut eve = writer(&server, Way::WebSocket, "ch=lobby");
    for nick in ["Ann B\u{3164}", "Ann B\u{61c}", "Ann  B", "Ann\u{a0}B", "\u{410}nn B", "\u{2800}"] {
        assert_eq!(eve.refused(json!({"op": "login", "nick": nick})), "bad_value", "{nick:?}");
    }
    for nick in ["\u{ff21}nn B", "ANN b"] {
        assert_eq!(eve.refused(json!({"op": "login", "nick": nick})), "nick_taken", "{nick:?}");
    }
}

/// The whole answer to a command, without the names of inboxes.
fn told(writer: &mut Writer<'_>, command: &Value, inbox: &str) -> String {
    writer.command(command).to_string().replace(inbox, "@somebody")
}

#[test]
fn refusals_do_not_tell_who_has_mail() {
    let server = serve(|_| {});
    // Bob has mail and is here, cyd has neither.
    let mut bob = person(&server, Way::WebSocket, "bob");
    bob.ok(json!({"op": "subscribe", "ch": "@bob"}));
    writer(&server, Way::WebSocket, "ch=lobby").login("cyd");
    let mut ann = person(&server, Way::WebSocket, "ann");
    let id = ann.ok(json!({"op": "publish", "ch": "@bob", "data": {"text": "hi"}}))["id"].clone();
    for way in WAYS {
        let mut stranger = writer(&server, way, "ch=lobby");
        let mut eve = person(&server, way, if way == Way::WebSocket { "eve" } else { "eva" });
        for (op, more) in [
            ("delete", json!({"id": id})),
            ("delete", json!({"id": "00000000-1"})),
            ("read", json!({"id": id})),
            ("received", json!({"id": id})),
            ("history", json!({})),
            ("history", json!({"before": id})),
            ("who", json!({})),
            ("people", json!({})),
            ("subscribe", json!({})),
            ("subscribe", json!({"since": id})),
            ("subscribe", json!({"last": 5})),
            ("unsubscribe", json!({})),
            ("typing", json!({})),
            ("publish", json!({"data": {"to": "x"}, "key": "k"})),
            ("publish", json!({"data": "x".repeat(65_000)})),
        ] {
            for somebody in [&mut stranger, &mut eve] {
                let answers = ["@bob", "@cyd"].map(|inbox| {
                    let mut command = more.clone();
                    command["op"] = json!(op);
                    command["ch"] = json!(inbox);
                    told(somebody, &command, inbox)
                });
                assert_eq!(answers[0], answers[1], "{op} {more}");
            }
        }
        // Nor what became of an inbox, to somebody who may not even write to it.
        let repeat = json!({"op": "publish", "ch": "@bob", "data": 1, "key": "k", "since": id});
        assert_eq!(stranger.refused(repeat), "login_first");
    }
    let answer = |method: &str, path: &str| {
        let response = server.connect().ask(method, path, "", if method == "POST" { b"1" } else { b"" });
        (response.status, response.text())
    };
    for (method, path) in [
        ("GET", "/channels/@"),
        ("DELETE", "/channels/@"),
        ("POST", "/publish/@"),
        ("GET", "/sse?ch=@"),
        ("GET", "/stream?ch=@"),
        ("GET", "/poll?ch=@"),
        ("GET", "/poll?last=3&ch=@"),
        ("HEAD", "/sse?ch=@"),
        ("GET", "/admin/users?user="),
    ] {
        let [bob, cyd] = ["bob", "cyd"].map(|name| answer(method, &format!("{path}{name}")));
        assert_eq!(bob, cyd, "{method} {path}");
        assert!(matches!(bob.0, 401 | 403) || method == "HEAD", "{method} {path}: {}", bob.0);
    }
    let [bob, cyd] = ["bob", "cyd"].map(|name| answer("GET", &format!("/channels/@{name}/history")));
    assert_eq!(bob, cyd);
}

#[test]
fn a_spent_quota_does_not_tell_who_has_mail() {
    let server = serve(|config| config.limits = encke::server::Limits::Strict);
    server.world.freeze();
    let mut bob = person(&server, Way::WebSocket, "bob");
    bob.ok(json!({"op": "subscribe", "ch": "@bob"}));
    writer(&server, Way::WebSocket, "ch=lobby").login("cyd");
    // What one address may open is spent; then only what is open already could be let in.
    let status = |path: &str| server.connect().ask("GET", path, "Connection: close\r\n", b"").status;
    let many: String = (0..100).map(|number| format!("&ch=a{number}")).collect();
    let mut count = 0;
    while status(&format!("/poll?ch=b{count}{}", many.replace('a', &format!("c{count}-")))) == 200 {
        count += 1;
        assert!(count < 100, "the quota has no end");
    }
    assert_eq!(status("/sse?ch=@bob"), status("/sse?ch=@cyd"));
}

#[test]
fn how_often_a_name_is_in_use_is_told_to_its_owner_alone() {
    let server = serve(|_| {});
    let mut ann = person(&server, Way::WebSocket, "ann");
    let secret = ann.ok(json!({"op": "login", "nick": "ann"}))["secret"].clone();
    let login = json!({"op": "login", "nick": "ann", "secret": secret});
    let mut tabs = Vec::new();
    let mut eve = writer(&server, Way::WebSocket, "ch=lobby");
    loop {
        let mut tab = writer(&server, Way::Poll, "ch=lobby");
        let reply = tab.command(&login);
        assert_eq!(eve.refused(json!({"op": "login", "nick": "ann"})), "nick_taken");
        assert_eq!(eve.refused(json!({"op": "login", "nick": "ann", "secret": "x"})), "nick_taken");
        if reply["ok"] == false {
            assert_eq!(reply["error"]["code"], "too_many_tabs");
            break;
        }
        tabs.push(tab);
    }
}
