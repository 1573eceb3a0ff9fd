//! Writing over real sockets: every command, as a WebSocket frame and as a POST, and who is told of whom.

mod common;

use common::writer::{WAYS, writer};
use common::{AS_OPERATOR, Reader, Way, refused, serve};
use serde_json::{Value, json};

#[test]
fn a_reply_carries_the_ref_as_it_came() {
    let server = serve(|_| {});
    for way in WAYS {
        let mut ann = writer(&server, way, "ch=a");
        for reference in [json!(1), json!("one"), json!(-1.5), json!(null), json!("<&>")] {
            let reply = ann.ok(json!({"op": "ping", "ref": reference}));
            assert_eq!(reply["ref"], reference);
            assert!(reply["at"].is_u64());
        }
        assert_eq!(ann.ok(json!({"op": "ping"}))["ref"], json!(null));
        for reference in [json!({}), json!([1]), json!(true), json!("x".repeat(100))] {
            assert_eq!(ann.refused(json!({"op": "ping", "ref": reference})), "bad_value");
        }
    }
}

#[test]
fn what_is_no_command_is_refused() {
    let server = serve(|_| {});
    for way in WAYS {
        let mut ann = writer(&server, way, "ch=a");
        for (command, code) in [
            (json!({"op": "fly"}), "unknown_op"),
            (json!({}), "missing_value"),
            (json!({"op": 1}), "bad_value"),
            (json!([1]), "bad_json"),
            (json!({"op": "subscribe"}), "missing_value"),
            (json!({"op": "subscribe", "ch": 1}), "bad_value"),
            (json!({"op": "subscribe", "ch": "a/b"}), "bad_channel"),
            (json!({"op": "subscribe", "ch": "a", "since": "x"}), "bad_value"),
            (json!({"op": "subscribe", "ch": "a", "last": "x"}), "bad_value"),
            (json!({"op": "unsubscribe"}), "missing_value"),
            (json!({"op": "publish", "ch": "a"}), "missing_value"),
            (json!({"op": "publish", "data": 1}), "missing_value"),
            (json!({"op": "publish", "ch": "", "data": 1}), "bad_channel"),
            (json!({"op": "publish", "ch": "a", "data": 1, "key": ""}), "bad_value"),
            (json!({"op": "publish", "ch": "a", "data": "x".repeat(70_000)}), "message_too_long"),
            (json!({"op": "login"}), "missing_value"),
            (json!({"op": "login", "nick": ""}), "bad_value"),
            (json!({"op": "login", "nick": "a/b"}), "bad_value"),
            (json!({"op": "who"}), "missing_value"),
            (json!({"op": "history"}), "missing_value"),
            (json!({"op": "history", "ch": "a", "before": "x"}), "bad_value"),
            (json!({"op": "history", "ch": "a", "before": "00000000-1"}), "restarted"),
            (json!({"op": "typing"}), "missing_value"),
            (json!({"op": "typing", "ch": "a"}), "login_first"),
            (json!({"op": "read", "ch": "a"}), "missing_value"),
            (json!({"op": "read", "ch": "a", "id": "x"}), "login_first"),
        ] {
            // An array posted is many commands, not one that is none.
            if command.is_array() && way != Way::WebSocket {
                continue;
            }
            assert_eq!(ann.refused(command.clone()), code, "{command:.100}");
        }
    }
}

#[test]
fn subscribe_and_unsubscribe() {
    let server = serve(|_| {});
    for way in WAYS {
        server.publish("b", "0");
        let mut ann = writer(&server, way, "ch=a");
        let reply = ann.ok(json!({"op": "subscribe", "ch": "b"}));
        assert_eq!((&reply["ch"], &reply["cursor"]), (&json!("b"), &json!(ann.reader.cursor)));
        assert_eq!(reply["head"], reply["cursor"], "it has nothing to be told yet");
        server.publish("b", "1");
        assert_eq!(ann.event()["data"], 1);
        ann.ok(json!({"op": "unsubscribe", "ch": "b"}));
        server.publish("b", "2");
        server.publish("a", "3");
        assert_eq!(ann.event()["data"], 3);
        let cursor = ann.reader.cursor.clone();
        server.publish("b", "4");
        let reply = ann.ok(json!({"op": "subscribe", "ch": "b", "since": cursor}));
        assert_eq!((&reply["since"], &reply["cursor"]), (&json!(cursor), &json!(cursor)));
        assert_eq!(ann.event()["data"], 4);
        assert_eq!(reply["head"], json!(ann.reader.cursor));
        ann.ok(json!({"op": "subscribe", "ch": "b", "last": 2}));
        assert_eq!((&ann.event()["data"], &ann.event()["data"]), (&json!(2), &json!(4)));
        ann.ok(json!({"op": "subscribe", "ch": "b", "since": "00000000-1"}));
        assert_eq!(ann.event()["why"], "restarted");
        server.connect().ask("DELETE", "/channels/b", AS_OPERATOR, b"");
    }
}

#[test]
fn a_poll_that_is_held_hears_of_a_new_subscription() {
    let server = serve(|_| {});
    server.publish("b", "1");
    let mut ann = Reader::open(&server, Way::Poll, "ch=a");
    ann.ask();
    server.settle();
    server.command(&ann.sid, &json!({"op": "subscribe", "ch": "b", "last": 1}));
    assert_eq!(ann.message(), 1);
}

#[test]
fn a_key_makes_two_publishes_one() {
    let server = serve(|_| {});
    for way in WAYS {
        let (mut ann, mut bob) = (writer(&server, way, "ch=a"), writer(&server, Way::Stream, "ch=a"));
        let publish = json!({"op": "publish", "ch": "a", "data": 1, "key": format!("{way:?}")});
        let (first, second) = (ann.ok(publish.clone()), ann.ok(publish.clone()));
        assert_eq!((&first["repeated"], &second["repeated"]), (&json!(null), &json!(true)));
        assert_eq!(first["id"], second["id"]);
        let mut again = writer(&server, way, "ch=a");
        assert_eq!(again.ok(publish)["id"], first["id"], "who lost its connection comes back as another");
        ann.ok(json!({"op": "publish", "ch": "a", "data": 2}));
        assert_eq!((&bob.event()["data"], &bob.event()["data"]), (&json!(1), &json!(2)));
    }
}

/// A repeat whose first message, with its key, may be gone is not published again.
#[test]
fn a_repeat_that_the_log_can_not_answer_for_is_refused() {
    let server = serve(|_| {});
    for way in WAYS {
        let ch = format!("{way:?}");
        let mut ann = writer(&server, way, &format!("ch={ch}"));
        let before = server.publish(&ch, "0");
        let publish = |key: &str, since: &str| json!({"op": "publish", "ch": ch, "data": 1, "key": key, "since": since});
        let first = ann.ok(publish("one", &before));
        assert_eq!(
            first["repeated"],
            json!(null),
            "the log has lost nothing since then, and it is not there"
        );
        assert_eq!(ann.ok(publish("one", &before))["id"], first["id"]);
        assert_eq!(server.connect().ask("DELETE", &format!("/channels/{ch}"), AS_OPERATOR, b"").status, 204);
        assert_eq!(
            ann.ok(publish("one", &before))["id"],
            first["id"],
            "a key that is known answers all the same"
        );
        assert_eq!(ann.refused(publish("two", &before)), "unknown");
        assert_eq!(ann.refused(publish("two", &before)), "unknown", "and is not remembered for it");
        let now = first["id"].as_str().expect("an id").to_owned();
        assert_eq!(ann.ok(publish("two", &now))["repeated"], json!(null), "nothing was lost after that one");
        assert_eq!(ann.ok(publish("three", "00000000-1"))["repeated"], json!(null), "this log has it not");
        assert_eq!(ann.refused(publish("four", "x")), "bad_value");
        let history = server.get(&format!("/channels/{ch}/history")).json();
        assert_eq!(history["messages"].as_array().map(Vec::len), Some(2), "{history}");
    }
}

#[test]
fn who_writes_is_not_a_matter_of_his_word() {
    let server = serve(|_| {});
    for (number, way) in WAYS.into_iter().enumerate() {
        let mut watcher = writer(&server, Way::Stream, "ch=a");
        let mut ann = writer(&server, way, "ch=b");
        ann.ok(
            json!({"op": "publish", "ch": "a", "data": {"from": "bob"}, "from": "bob", "id": "x", "at": 1}),
        );
        let message = watcher.event();
        assert_eq!((&message["from"], &message["data"]), (&json!(null), &json!({"from": "bob"})));
        ann.login(&format!("ann{number}"));
        ann.ok(json!({"op": "publish", "ch": "a", "data": 1, "from": "bob"}));
        assert_eq!(watcher.event()["from"], format!("ann{number}"));
    }
}

#[test]
fn a_name_is_one_persons() {
    let server = serve(|_| {});
    for (way, nick) in WAYS.into_iter().zip(["Ann", "Élodie"]) {
        let mut ann = writer(&server, way, "ch=a");
        let secret = ann.login(nick);
        assert_eq!(ann.login(nick), secret, "saying it again changes nothing");
        let mut other = writer(&server, way, "ch=a");
        assert_eq!(other.refused(json!({"op": "login", "nick": nick})), "nick_taken");
        assert_eq!(other.refused(json!({"op": "login", "nick": nick.to_lowercase()})), "nick_taken");
        let guess = json!({"op": "login", "nick": nick, "secret": "guess"});
        assert_eq!(other.refused(guess), "nick_taken");
        let tab = json!({"op": "login", "nick": nick, "secret": secret});
        assert_eq!(other.ok(tab)["user"], nick, "a second tab shows the secret");
    }
}

#[test]
fn who_is_there() {
    let server = serve(|_| {});
    let mut ann = writer(&server, Way::WebSocket, "ch=a");
    ann.login("ann");
    let mut bob = writer(&server, Way::Sse, "ch=a");
    bob.login("bob");
    let reply = bob.ok(json!({"op": "who", "ch": "a"}));
    assert_eq!((&reply["users"], &reply["count"]), (&json!(["ann", "bob"]), &json!(2)));
    let empty = ann.ok(json!({"op": "who", "ch": "nowhere"}));
    assert_eq!((&empty["users"], &empty["count"]), (&json!([]), &json!(0)));
}

#[test]
fn history_goes_back_page_by_page() {
    let server = serve(|_| {});
    for number in 0..10 {
        server.publish("a", number.to_string());
    }
    for way in WAYS {
        let mut ann = writer(&server, way, "ch=b");
        let (mut told, mut before) = (Vec::new(), Value::Null);
        loop {
            let reply = ann.ok(json!({"op": "history", "ch": "a", "limit": 4, "before": before}));
            let page = reply["messages"].as_array().expect("messages");
            told.splice(0..0, page.iter().map(|message| message["data"].clone()));
            before = page[0]["id"].clone();
            if reply["more"] == false {
                break;
            }
        }
        assert_eq!(told, (0..10).collect::<Vec<_>>());
        assert_eq!(ann.ok(json!({"op": "history", "ch": "nowhere"}))["messages"], json!([]));
    }
}

#[test]
fn typing_is_told_once_in_a_while_and_kept_by_nobody() {
    let server = serve(|_| {});
    let mut ann = writer(&server, Way::WebSocket, "ch=a");
    ann.login("ann");
    let mut bob = writer(&server, Way::Sse, "ch=a");
    for _ in 0..5 {
        ann.ok(json!({"op": "typing", "ch": "a"}));
    }
    server.skip(2_000);
    ann.ok(json!({"op": "typing", "ch": "a"}));
    ann.ok(json!({"op": "publish", "ch": "a", "data": 1}));
    for _ in 0..2 {
        let typing = bob.event();
        assert_eq!(
            (&typing["type"], &typing["ch"], &typing["user"]),
            (&json!("typing"), &json!("a"), &json!("ann"))
        );
    }
    assert_eq!(bob.event()["data"], 1);
    let kept = server.get("/channels/a/history").json();
    assert_eq!(kept["messages"].as_array().map(Vec::len), Some(1));
}

#[test]
fn an_inbox_is_its_owners() {
    let server = serve(|_| {});
    for (way, nick) in WAYS.into_iter().zip(["ann", "élodie"]) {
        let inbox = format!("@{nick}");
        let (mut ann, mut bob) = (writer(&server, way, "ch=a"), writer(&server, way, "ch=a"));
        let publish = json!({"op": "publish", "ch": inbox, "data": "psst"});
        assert_eq!(bob.refused(publish.clone()), "login_first");
        bob.login(&format!("bob{nick}"));
        assert_eq!(bob.refused(publish.clone()), "no_such_user");
        // She was here once.
        let secret = writer(&server, way, "ch=b").login(nick);
        bob.ok(publish);
        for op in ["subscribe", "who", "history"] {
            assert_eq!(bob.refused(json!({"op": op, "ch": inbox})), "not_yours", "{op}");
        }
        assert_eq!(ann.refused(json!({"op": "subscribe", "ch": inbox})), "not_yours");
        ann.ok(json!({"op": "login", "nick": nick, "secret": secret}));
        // She was not there when it was sent.
        ann.ok(json!({"op": "subscribe", "ch": inbox, "last": 10}));
        let mut event = ann.event();
        while event["type"] == "presence" {
            event = ann.event();
        }
        assert_eq!((&event["data"], &event["from"]), (&json!("psst"), &json!(format!("bob{nick}"))));
    }
    for way in Way::ALL {
        if way != Way::WebSocket && way != Way::Jsonp {
            assert_eq!(server.get(&format!("{}?ch=@ann&last=9", way.path())).status, 403, "{way:?}");
        }
    }
}

#[test]
fn posts_take_an_array_and_answer_with_one() {
    let server = serve(|_| {});
    let mut ann = Reader::open(&server, Way::Sse, "ch=a");
    let commands: Vec<Value> =
        (0..3).map(|number| json!({"op": "publish", "ref": number, "ch": "a", "data": number})).collect();
    let replies = server.command(&ann.sid, &json!(commands));
    let replies = replies.as_array().expect("an array");
    for (number, reply) in replies.iter().enumerate() {
        assert_eq!((&reply["ref"], &reply["ok"]), (&json!(number), &json!(true)));
        assert_eq!(ann.event()["id"], reply["id"]);
    }
    assert_eq!(server.command(&ann.sid, &json!([])), json!([]));
    let mixed = server.command(&ann.sid, &json!([{"op": "fly"}, 1, {"op": "ping"}]));
    assert_eq!((refused(&mixed[0]), refused(&mixed[1])), ("unknown_op", "bad_json"));
    assert_eq!(mixed[2]["ok"], true);
    let send = format!("/send?sid={}", ann.sid);
    let many = json!(vec![json!({"op": "ping"}); 101]).to_string();
    for (body, status, code) in [
        (&b"[1"[..], 400, "bad_json"),
        (b"[\xff]", 400, "bad_json"),
        (many.as_bytes(), 413, "too_many_commands"),
    ] {
        let response = server.post(&send, body);
        assert_eq!((response.status, &*response.code()), (status, code));
    }
    assert_eq!(refused(&server.post(&send, "nonsense").json()), "bad_json", "one command, one reply");
}

#[test]
fn those_who_come_and_go_are_told_of() {
    let server = serve(|config| config.grace_ms = 5_000);
    server.world.freeze();
    let mut watcher = writer(&server, Way::Sse, "ch=a");
    let mut ann = writer(&server, Way::WebSocket, "ch=a");
    ann.login("ann");
    watcher.expect_presence("join", "ann", 1);
    ann.reader.client.half_close();
    ann.reader.client.wait_for_death();
    assert_eq!(server.get("/channels/a").json()["names"], json!(["ann"]), "she may come back");
    server.skip(5_000);
    watcher.expect_presence("leave", "ann", 0);
    assert_eq!(server.get("/channels/a").json()["names"], json!([]));
}

#[test]
fn who_comes_back_in_time_was_never_gone() {
    let server = serve(|config| config.grace_ms = 5_000);
    server.world.freeze();
    let mut watcher = writer(&server, Way::Sse, "ch=a");
    let mut ann = writer(&server, Way::WebSocket, "ch=a");
    ann.login("ann");
    watcher.expect_presence("join", "ann", 1);
    for way in [Way::Stream, Way::Sse, Way::Iframe, Way::Poll, Way::WebSocket] {
        let query = format!("ch=a&sid={}&since={}", ann.reader.sid, ann.reader.cursor);
        drop(ann);
        server.skip(4_000);
        ann = writer(&server, way, &query);
    }
    assert_eq!(ann.ok(json!({"op": "who", "ch": "a"}))["users"], json!(["ann"]));
    server.publish("a", "1");
    assert_eq!(watcher.event()["data"], 1, "nothing was told in between");
}
