//! What is true of every transport, told once. `stories!` makes a test of each, for one transport.
//!
//! Polls are streams that end after every event; [`Reader`] asks again where a stream would just wait, so
//! that most stories need not know the difference.

use serde_json::json;

use super::{Client, Reader, Running, Way, serve};

/// Makes tests of the stories of this file.
#[macro_export]
macro_rules! stories {
    ($way:expr) => {
        $crate::stories!(@ $way;
            welcome_comes_first messages_of_all_channels_in_order nothing_from_before last_messages_first
            since_a_cursor last_event_id_wins_over_since garbage_in_last_event_id gap_evicted gap_restarted
            cursor_from_the_future bye_on_shutdown nobody_keeps_or_changes_it unknown_sid_gets_a_new_one
            a_known_sid_goes_on_where_it_was a_second_connection_replaces_the_first
            bad_values_are_refused_before_it_begins foreign_pages_are_refused allowed_pages_are_named
            head_is_the_head_alone other_methods_are_refused leaves_in_mid_burst_and_comes_back_elsewhere
            slow_reader_gets_everything_or_a_gap a_message_of_every_character heartbeats_in_silence);
    };
    (@ $way:expr; $($story:ident)*) => {
        $(#[test] fn $story() { $crate::common::stories::$story($way); })*
    };
}

fn server() -> Running {
    serve(|config| config.jsonp = true)
}

/// A server that keeps hardly anything.
fn forgetful() -> Running {
    serve(|config| {
        config.jsonp = true;
        config.bounds.channel_messages = 4;
    })
}

fn number(cursor: &str) -> u64 {
    cursor.split_once('-').expect("a cursor").1.parse().expect("a number")
}

pub fn welcome_comes_first(way: Way) {
    let server = server();
    server.publish("lobby", "1");
    let reader = Reader::open(&server, way, "ch=lobby&hb=7");
    assert_eq!(reader.sid.len(), 22);
    assert_eq!(number(&reader.cursor), 1);
    if !way.is_poll() {
        assert_eq!(reader.welcome["heartbeat"], 7);
        assert_eq!(reader.welcome["cursor"], reader.cursor);
        assert_eq!(reader.welcome["epoch"], reader.cursor.split('-').next().expect("an epoch"));
    }
}

pub fn messages_of_all_channels_in_order(way: Way) {
    let server = server();
    let mut reader = Reader::open(&server, way, "ch=a&ch=caf%C3%A9+noir&ch=a");
    let mut ids = Vec::new();
    for (channel, data) in [("a", "1"), ("other", "0"), ("caf%C3%A9%20noir", "two"), ("a", "[3]")] {
        ids.push(server.publish(channel, data));
    }
    let first = reader.event_of("message");
    assert_eq!((&first["ch"], &first["from"], &first["data"]), (&json!("a"), &json!(null), &json!(1)));
    assert_eq!(first["id"], ids[0]);
    assert!(first["at"].as_u64().is_some_and(|at| at > 1_700_000_000_000), "{first}");
    let second = reader.event_of("message");
    assert_eq!((&second["ch"], &second["data"]), (&json!("café noir"), &json!("two")));
    assert_eq!(second["id"], ids[2]);
    assert_eq!(reader.message(), json!([3]));
    assert_eq!(reader.cursor, ids[3]);
}

pub fn nothing_from_before(way: Way) {
    let server = server();
    server.publish("a", "1");
    let mut reader = Reader::open(&server, way, "ch=a");
    server.publish("a", "2");
    assert_eq!(reader.message(), 2);
}

pub fn last_messages_first(way: Way) {
    let server = server();
    for data in ["1", "2", "3"] {
        server.publish("a", data);
    }
    server.publish("b", "4");
    let mut reader = Reader::open(&server, way, "ch=a&ch=b&last=2");
    assert_eq!([reader.message(), reader.message(), reader.message()], [json!(2), json!(3), json!(4)]);
    server.publish("a", "5");
    assert_eq!(reader.message(), 5);
}

pub fn since_a_cursor(way: Way) {
    let server = server();
    let ids: Vec<String> = ["1", "2", "3"].iter().map(|data| server.publish("a", data)).collect();
    let mut reader = Reader::open(&server, way, &format!("ch=a&last=1&since={}", ids[0]));
    assert_eq!([reader.message(), reader.message()], [2, 3], "since wins over last");
    server.publish("a", "4");
    assert_eq!(reader.message(), 4);
}

pub fn last_event_id_wins_over_since(way: Way) {
    let server = server();
    let ids: Vec<String> = ["1", "2", "3"].iter().map(|data| server.publish("a", data)).collect();
    let query = format!("ch=a&since={}", ids[0]);
    let mut reader = Reader::open_with(&server, way, &query, &format!("Last-Event-ID: {}\r\n", ids[1]));
    assert_eq!(reader.message(), 3);
}

pub fn garbage_in_last_event_id(way: Way) {
    let server = server();
    server.publish("a", "1");
    for garbage in ["0", "\u{1f4a9}", "0badcafe-", "0badcafe-1-1", "<script>", "0BADCAFE-1"] {
        let mut reader = Reader::open_with(&server, way, "ch=a", &format!("Last-Event-ID: {garbage}\r\n"));
        let gap = reader.event_of("gap");
        assert_eq!((&gap["ch"], &gap["why"]), (&json!("a"), &json!("restarted")), "{garbage}");
        assert_eq!(reader.message(), 1, "what is kept comes after it");
    }
}

pub fn gap_evicted(way: Way) {
    let server = forgetful();
    let cursor = Reader::open(&server, way, "ch=a&ch=b").cursor;
    let ids: Vec<String> = (1..=10).map(|data| server.publish("a", data.to_string())).collect();
    server.publish("b", "11");
    let mut reader = Reader::open(&server, way, &format!("ch=a&ch=b&since={cursor}"));
    let gap = reader.event_of("gap");
    assert_eq!((&gap["ch"], &gap["why"]), (&json!("a"), &json!("evicted")));
    assert_eq!(gap["cursor"], ids[5], "six of ten are gone");
    let told: Vec<_> = (0..5).map(|_| reader.message()).collect();
    assert_eq!(told, [7, 8, 9, 10, 11], "only one channel has lost anything");
}

pub fn gap_restarted(way: Way) {
    let server = server();
    server.publish("a", "1");
    let mut reader = Reader::open(&server, way, "ch=a&ch=b&since=00000000-7");
    assert!(way != Way::Sse || reader.cursor == "00000000-0", "cut here, it comes back to be told");
    for channel in ["a", "b"] {
        let gap = reader.event_of("gap");
        assert_eq!((&gap["ch"], &gap["why"]), (&json!(channel), &json!("restarted")));
        assert_eq!(number(gap["cursor"].as_str().expect("a cursor")), 0);
    }
    assert_eq!(reader.message(), 1);
}

pub fn cursor_from_the_future(way: Way) {
    let server = server();
    let cursor = server.publish("a", "1");
    let epoch = cursor.split('-').next().expect("an epoch");
    let mut reader = Reader::open(&server, way, &format!("ch=a&since={epoch}-1000"));
    assert_eq!(reader.event_of("gap")["why"], "restarted");
    assert_eq!(reader.message(), 1);
}

pub fn bye_on_shutdown(way: Way) {
    let server = server();
    // No timeout helps: it ends because everyone was told and has gone.
    server.world.freeze();
    let mut reader = Reader::open(&server, way, "ch=a");
    reader.ask();
    // The poll is known to be held once something behind it is answered.
    server.settle();
    server.stop();
    let bye = reader.event_of("bye");
    assert_eq!(bye["why"], "shutdown");
    let retry = bye["retry"].as_u64().expect("a time");
    assert!((500..4000).contains(&retry), "{retry}");
    if way == Way::Sse {
        assert_eq!(reader.retry, Some(retry));
    }
    reader.expect_end("shutdown");
    drop(reader);
    server.join();
}

pub fn nobody_keeps_or_changes_it(way: Way) {
    let server = server();
    let head = Reader::open(&server, way, "ch=a").head;
    if way != Way::WebSocket {
        assert_eq!(head.header("cache-control"), Some("no-store, no-transform"));
        assert_eq!(head.header("x-content-type-options"), Some("nosniff"));
        assert!(head.header("date").is_some_and(|date| date.ends_with(" GMT")), "{head:?}");
    }
    if !matches!(way, Way::WebSocket | Way::Poll | Way::Jsonp) {
        assert_eq!(head.header("x-accel-buffering"), Some("no"));
        assert_eq!(head.header("connection"), Some("close"));
        assert_eq!(head.header("content-length"), None);
    }
}

pub fn unknown_sid_gets_a_new_one(way: Way) {
    let server = server();
    let cursor = server.publish("a", "1");
    server.publish("a", "2");
    let query = format!("ch=a&sid=AAAAAAAAAAAAAAAAAAAAAA&since={cursor}");
    let mut reader = Reader::open(&server, way, &query);
    assert_ne!(reader.sid, "AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(reader.message(), 2, "whoever it was, the cursor is good");
    let empty = Reader::open(&server, way, "ch=a&sid=");
    assert_ne!(empty.sid, reader.sid);
}

pub fn a_known_sid_goes_on_where_it_was(way: Way) {
    let server = server();
    let first = Reader::open(&server, way, "ch=a&ch=b");
    let (sid, cursor) = (first.sid.clone(), first.cursor.clone());
    drop(first);
    server.publish("b", "1");
    let mut second = Reader::open(&server, way, &format!("sid={sid}&since={cursor}"));
    assert_eq!(second.sid, sid);
    assert_eq!(second.message(), 1, "its channels are known");
    let mut third = Reader::open(&server, way, &format!("sid={sid}&ch=c&since={}", second.cursor));
    server.publish("b", "2");
    server.publish("c", "3");
    assert_eq!(third.message(), 3, "channels that are named are all there are");
}

pub fn a_second_connection_replaces_the_first(way: Way) {
    let server = server();
    let mut first = Reader::open(&server, way, "ch=a");
    first.ask();
    server.settle();
    let query = format!("sid={}&since={}", first.sid, first.cursor);
    let mut second = Reader::open(&server, if way.is_poll() { Way::Sse } else { way }, &query);
    assert_eq!(first.event_of("bye")["why"], "replaced");
    first.expect_end("replaced");
    server.publish("a", "1");
    assert_eq!(second.message(), 1);
}

pub fn bad_values_are_refused_before_it_begins(way: Way) {
    let server = server();
    let mut client = server.connect();
    let long = "x".repeat(129);
    let mut refused = |query: &str| {
        let path = format!("{}?{query}", way.path());
        let response = match way {
            Way::WebSocket => client.ask("GET", &path, super::client::UPGRADE, b""),
            _ => client.get(&path),
        };
        assert_eq!(response.status, 400, "{query}: {response:?}");
        response.code()
    };
    for query in ["ch=a&since=x", "ch=a&last=-1", "ch=a&hb=soon", "ch=a&pad=1e3", "ch=a&wait=", "sid=short"] {
        assert_eq!(refused(query), "bad_value", "{query}");
    }
    assert_eq!(refused("ch=%zz"), "bad_query");
    for name in ["", "a/b", "a,b", "a%0Ab", "a%23", "a%3F", &long] {
        assert_eq!(refused(&format!("ch={name}")), "bad_channel", "{name}");
    }
    let many: String = (0..200).map(|number| format!("&ch={number}")).collect();
    assert_eq!(refused(&many), "too_many_subscriptions");
    assert_eq!(server.counter("encke_clients"), 0, "nobody is left behind");
}

pub fn foreign_pages_are_refused(way: Way) {
    let server = server();
    let fields = if way == Way::WebSocket { super::client::UPGRADE } else { "" };
    for origin in
        ["https://evil.example", "null", "http://encke.localhost.evil.example", "http://encke.localhost:1"]
    {
        let fields = format!("{fields}Origin: {origin}\r\n");
        let response = server.connect().ask("GET", &format!("{}?ch=a", way.path()), &fields, b"");
        assert_eq!((response.status, &*response.code()), (403, "foreign_origin"), "{origin}");
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
    Reader::open_with(&server, way, "ch=a", "Origin: http://encke.localhost\r\n");
}

pub fn allowed_pages_are_named(way: Way) {
    let server = serve(|config| {
        config.jsonp = true;
        config.origins = vec!["https://shop.example".to_owned()];
    });
    let reader = Reader::open_with(&server, way, "ch=a", "Origin: https://shop.example\r\n");
    if way != Way::WebSocket {
        assert_eq!(reader.head.header("access-control-allow-origin"), Some("https://shop.example"));
        assert_eq!(reader.head.header("vary"), Some("Origin"));
    }
}

pub fn head_is_the_head_alone(way: Way) {
    if way == Way::WebSocket {
        return;
    }
    let server = server();
    let mut client = server.connect();
    let response = client.ask("HEAD", &format!("{}?ch=a", way.path()), "Connection: close\r\n", b"");
    assert_eq!(response.status, 200);
    let begun = Reader::open(&server, way, "ch=a").head;
    assert_eq!(response.header("content-type"), begun.header("content-type"));
    assert_eq!(response.header("cache-control"), begun.header("cache-control"));
    client.expect_end();
}

pub fn other_methods_are_refused(way: Way) {
    let server = server();
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
        let response = server.connect().ask(method, way.path(), "", b"");
        assert_eq!((response.status, &*response.code()), (405, "method_not_allowed"), "{method}");
        assert!(response.header("allow").is_some_and(|allow| allow.starts_with("GET, ")), "{response:?}");
    }
}

/// A burst is published while somebody reads a little of it here and a little of it there.
pub fn leaves_in_mid_burst_and_comes_back_elsewhere(way: Way) {
    const BURST: usize = 300;
    let server = server();
    let mut reader = Reader::open(&server, way, "ch=a");
    let address = server.address;
    let publisher = std::thread::spawn(move || {
        let mut client = Client::connect(address);
        for number in 0..BURST {
            assert_eq!(client.post("/publish/a", number.to_string()).status, 200);
        }
    });
    let mut ways = Way::ALL.iter().cycle();
    let mut told = Vec::new();
    loop {
        for _ in 0..10.min(BURST - told.len()) {
            told.push(reader.message());
        }
        // What a poll brought beyond that is read first: its cursor stands behind it.
        told.extend(reader.passed_over().into_iter().map(|event| event["data"].clone()));
        if told.len() == BURST {
            break;
        }
        let other = if reader.way == way { *ways.next().expect("endless") } else { way };
        let query = format!("ch=a&sid={}&since={}", reader.sid, reader.cursor);
        reader = Reader::open(&server, other, &query);
    }
    publisher.join().expect("all are published");
    assert_eq!(told, (0..BURST).collect::<Vec<_>>(), "each once, in order");
}

/// Four megabytes go to somebody who does not read and whose kernel takes hardly any of it.
pub fn slow_reader_gets_everything_or_a_gap(way: Way) {
    const MESSAGES: usize = 400;
    let server = serve(|config| {
        config.jsonp = true;
        config.bounds.channel_messages = 100;
    });
    let mut reader = Reader::over(Client::connect_small(server.address), way, "ch=a", "");
    reader.ask();
    let mut publisher = server.connect();
    for number in 0..MESSAGES {
        let body = format!("[{number},\"{}\"]", "x".repeat(10_000));
        assert_eq!(publisher.post("/publish/a", body).status, 200);
    }
    let (mut expected, mut gaps) = (0, 0);
    while expected < MESSAGES {
        let event = reader.event();
        let number = match event["type"].as_str() {
            Some("gap") => {
                gaps += 1;
                let place = event["cursor"].as_str().expect("a cursor").rsplit('-').next().map(str::parse);
                let Some(Ok(place)) = place else { panic!("no cursor: {event}") };
                assert!(place > expected, "a gap in which nothing is missing: {event}");
                // The first message of the log has the number 1.
                expected = place;
                continue;
            }
            _ => event["data"][0].as_u64().expect("a number") as usize,
        };
        assert_eq!(number, expected, "nothing is missing without a word");
        expected += 1;
    }
    assert!(gaps > 0, "what one socket and one outbox hold is less than all");
}

pub fn a_message_of_every_character(way: Way) {
    let server = server();
    let mut reader = Reader::open(&server, way, "ch=a");
    let text: String =
        (1..0x800).chain(0x2000..0x2100).chain(0x1f600..0x1f610).filter_map(char::from_u32).collect();
    let text = format!("{text}</script><!--\r\n\ndata: x\n\nid: 0\n");
    server.publish("a", json!({ "text": text }).to_string());
    assert_eq!(reader.message(), json!({ "text": text }));
}

pub fn heartbeats_in_silence(way: Way) {
    let server = server();
    server.world.freeze();
    let mut reader = Reader::open(&server, way, "ch=a&hb=1");
    if way.is_poll() {
        // The answer to a poll is the sign of life.
        reader.ask();
        server.settle();
        server.skip(5_000);
        let response = reader.client.response();
        assert_eq!(reader.take_poll(&response)["events"], json!([]));
        return;
    }
    for _ in 0..2 {
        server.skip(1_000);
        assert!(reader.event_of("heartbeat")["at"].as_u64().is_some_and(|at| at > 1_700_000_000_000));
    }
    assert_eq!(Reader::open(&server, way, "ch=a&hb=0").welcome["heartbeat"], 1, "the nearest bound");
    assert_eq!(Reader::open(&server, way, "ch=a&hb=99999").welcome["heartbeat"], 300);
    assert_eq!(Reader::open(&server, way, "ch=a").welcome["heartbeat"], 25);
}
