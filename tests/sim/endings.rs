//! How a run ends: all is healed and everybody catches up, people are where they should be, all go, the server
//! stops. What can't be said while faults go on is said here.

use encke::limits::{LINGER_MS, STALL_MS, STOP_MS};

use crate::acts::{login, publish_again, publish_to};
use crate::scene::{Ask, Line, Scene, escape};
use crate::sim::client::{Transport, Use};
use crate::sim::kernel::Faults;

/// The longest time between two heartbeats that a reader asks for.
const HEARTBEAT_MS: u64 = 30_000;

/// Milliseconds in which every reader must have caught up once all is well.
const CATCH_UP_MS: u64 = 120_000;

/// Connections that a server must have room for, so that people who look at each other do not take turns.
const ROOM_FOR_PEOPLE: usize = 100;

/// All faults end. Every reader must catch up with a last message in each of its channels.
pub(crate) fn heal(scene: &mut Scene) {
    scene.world().faults = Faults::default();
    scene.world().mend();
    scene.lines.iter_mut().for_each(Line::hurry);
    // Those who only crowd the table leave it, and what was refused or cut off before now comes to its end.
    let others: Vec<usize> =
        (0..scene.lines.len()).filter(|place| scene.lines[*place].reader.is_none()).collect();
    for place in others.into_iter().rev() {
        scene.abandon(place, true);
    }
    scene.pass(LINGER_MS + 1_000);
    for channel in scene.channels.clone() {
        let nonce = publish_to(scene, &channel);
        for _ in 0..100 {
            if scene.model.attempts[nonce].seq.is_some() {
                break;
            }
            // There may be no room for it: a reader gives up its place.
            if scene.lines.iter().all(|line| line.asks.is_empty()) {
                if !scene.lines.is_empty() {
                    scene.abandon(0, false);
                }
                scene.pass(LINGER_MS);
                publish_again(scene, nonce);
            }
            scene.pass(100);
        }
        assert!(scene.model.attempts[nonce].seq.is_some(), "no answer to a publish though all is well");
    }
    catch_up(scene);
}

fn catch_up(scene: &mut Scene) {
    let life = scene.model.life();
    let lasts: Vec<(String, u64)> = scene
        .channels
        .iter()
        .map(|channel| {
            let attempts = scene.model.attempts.iter();
            let last = attempts.filter(|attempt| attempt.channel == *channel && attempt.life == life);
            (channel.clone(), last.filter_map(|attempt| attempt.seq).max().expect("one was just published"))
        })
        .collect();
    let until = scene.now() + CATCH_UP_MS;
    loop {
        // Readers beyond the table's size take turns.
        let behind: Vec<usize> = (0..scene.model.readers.len())
            .filter(|reader| {
                let reader = &scene.model.readers[*reader];
                reader.cursor.is_some() && lasts.iter().any(|(channel, seq)| !reader.is_past(channel, *seq))
            })
            .collect();
        if behind.is_empty() {
            return;
        }
        // Of so small a budget the tables alone, which do not shrink, may leave nothing for those who come back.
        if scene.is_short() && scene.now() >= until {
            return;
        }
        assert!(scene.now() < until, "readers {behind:?} never catch up with {lasts:?}");
        for reader in behind.into_iter().take(6) {
            if scene.line_of(reader).is_none() {
                let transport = *scene.rng.pick(&Transport::ALL);
                scene.read(reader, transport);
            }
        }
        scene.pass(500);
        let past: Vec<usize> = (0..scene.lines.len())
            .filter(|place| {
                let reader = scene.lines[*place].reader;
                reader.is_none_or(|reader| {
                    let reader = &scene.model.readers[reader];
                    reader.cursor.is_some()
                        && lasts.iter().all(|(channel, seq)| reader.is_past(channel, *seq))
                })
            })
            .collect();
        for place in past.into_iter().rev().filter(|place| place % 2 == 0) {
            scene.abandon(place, false);
        }
    }
}

/// People come back and log in; the list of each channel is right, stays right for the grace period when some
/// leave, and is right again after it. Who comes back within it was never gone.
pub(crate) fn look_who_is_there(scene: &mut Scene) {
    if scene.config.connections < ROOM_FOR_PEOPLE {
        return;
    }
    scene.keeps_sids = true;
    let comes = |reader: &usize| {
        scene.line_of(*reader).is_some() || (*reader < 8 && scene.model.readers[*reader].cursor.is_some())
    };
    let readers: Vec<usize> = (0..scene.model.readers.len()).filter(comes).collect();
    for reader in &readers {
        if scene.line_of(*reader).is_none() {
            let transport = *scene.rng.pick(&Transport::ALL);
            scene.read(*reader, transport);
        }
    }
    // Whom nobody sees any more is found out by a heartbeat, or by none being taken.
    let gone_ms = HEARTBEAT_MS + STALL_MS + scene.config.grace_ms + LINGER_MS;
    scene.pass(gone_ms);
    // A name whose secret got lost with the answer that told it is nobody's for now.
    for reader in &readers {
        if !scene.model.readers[*reader].logged_in {
            login(scene, *reader);
            scene.pass(300);
        }
    }
    scene.pass(500);
    check_lists(scene);

    let leaving: Vec<usize> = readers.iter().copied().filter(|_| scene.rng.coin()).collect();
    let before = expected(scene);
    for reader in &leaving {
        if let Some(place) = scene.line_of(*reader) {
            scene.abandon(place, false);
        }
    }
    let from = scene.now();
    scene.pass(200);
    let still = lists(scene);
    if scene.now() < from + scene.config.grace_ms {
        assert_eq!(names_of(&still), names_of(&before), "gone within the grace of {}", scene.config.grace_ms);
    }
    // A poller may be told only now of what was long before.
    let newest = scene.model.newest;
    let back: Vec<usize> = leaving.iter().copied().filter(|_| scene.rng.coin()).collect();
    let was: Vec<_> = back.iter().map(|reader| standing(scene, *reader)).collect();
    for reader in &back {
        let transport = *scene.rng.pick(&Transport::ALL);
        scene.read(*reader, transport);
    }
    scene.pass(300);
    let mut stayed = Vec::new();
    for (reader, was) in back.into_iter().zip(was) {
        if standing(scene, reader) == was && was.1 {
            let person = scene.model.readers[reader].person.expect("it is logged in");
            let nick = &scene.people[person].nick;
            stayed.extend(was.2.into_iter().map(|channel| (channel, nick.clone())));
        }
    }
    scene.pass(gone_ms);
    check_lists(scene);
    for (_, channel, nick) in scene.model.leaves.iter().filter(|(seq, ..)| *seq > newest) {
        let left = (channel.clone(), nick.clone());
        assert!(!stayed.contains(&left), "{left:?} was told to leave and came back within the grace");
    }
}

/// Which client a reader is, whether by name, and what it reads.
fn standing(scene: &Scene, reader: usize) -> (Option<String>, bool, Vec<String>) {
    let state = &scene.model.readers[reader];
    (state.sid.clone(), state.logged_in, state.channels())
}

/// Of each channel: who is there, and how many read it.
type List = (String, Vec<String>, usize);

fn names_of(lists: &[List]) -> Vec<(&String, &Vec<String>)> {
    lists.iter().map(|(channel, names, _)| (channel, names)).collect()
}

fn check_lists(scene: &mut Scene) {
    // One poll may be on its way while another list is asked for; all of them are still at rest.
    let (told, expected) = (lists(scene), expected(scene));
    assert_eq!(told, expected, "who is there");
}

/// What the server says.
fn lists(scene: &mut Scene) -> Vec<List> {
    let mut lists = Vec::new();
    for channel in scene.channels.clone() {
        scene.described = None;
        let place = scene.connect(Use::Asking).expect("the server listens");
        scene.lines[place].conn.get(&format!("/channels/{}", escape(&channel)));
        scene.lines[place].asks.push_back(Ask::Describe);
        scene.calm();
        for _ in 0..20 {
            scene.turn(0);
            scene.calm();
        }
        let (status, said) = scene.described.take().expect("an answer");
        if status == 404 {
            lists.push((channel, Vec::new(), 0));
            continue;
        }
        let names: Vec<String> = said["names"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|name| name.as_str().expect("a name").to_owned())
            .collect();
        assert_eq!(said["users"].as_u64(), Some(names.len() as u64), "{said}");
        lists.push((channel, names, said["readers"].as_u64().expect("a number") as usize));
    }
    lists
}

/// What is true.
fn expected(scene: &Scene) -> Vec<List> {
    let list = |channel: &String| {
        let reads = |reader: &usize| {
            scene.line_of(*reader).is_some() && scene.model.readers[*reader].channels().contains(channel)
        };
        let readers: Vec<usize> = (0..scene.model.readers.len()).filter(reads).collect();
        let named =
            readers.iter().map(|reader| &scene.model.readers[*reader]).filter(|state| state.logged_in);
        let mut names: Vec<String> =
            named.map(|state| scene.people[state.person.expect("logged in")].nick.clone()).collect();
        names.sort();
        names.dedup();
        (channel.clone(), names, readers.len())
    };
    scene.channels.iter().map(list).collect()
}

/// Everybody leaves. Nothing may be left of them after the grace period.
pub(crate) fn leave(scene: &mut Scene) {
    while !scene.lines.is_empty() {
        scene.abandon(0, false);
    }
    // Of a stream that was half-closed the next heartbeat finds out that nobody is there.
    let ms = 2 * HEARTBEAT_MS + LINGER_MS + scene.config.grace_ms;
    scene.pass(ms);
    assert_eq!(scene.reactor.links().len(), 0, "connections are left: {:?}", scene.reactor.links());
    assert_eq!(scene.world().open(), 0, "descriptors are left");
    assert_eq!(scene.present(), 0, "clients are left");
    // And when all is too old, or was emptied, nothing is left at all.
    let age = scene.config.bounds.message_kept_ms + 1;
    scene.jump(age);
    scene.pass(5_000);
    scene.described = None;
    let place = scene.connect(Use::Asking).expect("the server listens");
    scene.lines[place].conn.get("/channels");
    scene.lines[place].asks.push_back(Ask::Describe);
    scene.pass(500);
    let (_, said) = scene.described.take().expect("an answer");
    assert_eq!(said["channels"].as_array().map(Vec::len), Some(0), "channels are left: {said}");
    scene.abandon(0, false);
    scene.pass(LINGER_MS);
}

/// The end. Every open stream is told goodbye.
pub(crate) fn stop(scene: &mut Scene) {
    scene.pass(100);
    scene.healed = true;
    let streams: Vec<usize> =
        (0..scene.lines.len()).filter(|place| scene.lines[*place].conn.is_begun()).collect();
    let expected = streams.iter().filter(|place| !scene.lines[**place].ending).count();
    let byes = scene.byes;
    scene.world().stop = true;
    let until = scene.now() + STOP_MS + 100;
    while !scene.reactor.is_finished() && scene.now() < until {
        scene.pump();
        scene.world().deliver_all();
        scene.turn(10);
    }
    assert!(scene.reactor.is_finished(), "it does not end");
    scene.reactor.run(&mut scene.server).expect("the simulated poll does not fail");
    scene.world().deliver_all();
    scene.pump();
    scene.pump();
    assert_eq!(scene.byes - byes, expected, "streams that were told goodbye");
    assert_eq!(scene.world().open(), 0);
}
