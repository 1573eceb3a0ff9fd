//! What is measured, one function a kind of work.
//!
//! Every scenario goes in rounds. In each round every contestant is started afresh, warmed up, measured for a
//! while and ended, one after the other, and each round begins with another one.

use std::io::{self, Error};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::fleet::Fleet;
use crate::machine::{self, Spent};
use crate::peers::{Places, Publisher, Running, Who, Wire};
use crate::sample::Samples;
use crate::talk::{Kind, Talk};

/// Bytes of a message's data.
const DATA_BYTES: usize = 100;

/// Messages of a burst: as many as one read of a publisher brings, and one run joins.
const BURST: u32 = 64;

/// How long and how often.
#[derive(Clone, Copy)]
pub struct Effort {
    pub rounds: usize,
    pub seconds: f64,
}

/// One thing to measure.
pub struct Scenario {
    pub name: &'static str,
    pub what: Work,
}

#[derive(Clone, Copy)]
pub enum Work {
    /// One message at a time, to so many readers.
    Broadcast(Wire, usize),
    /// Many messages at once.
    Burst(Wire, usize),
    /// So many messages a second, whatever becomes of them.
    Steady(Wire, usize, u32),
    /// A message to so many held polls, all of which poll again.
    Polls(usize),
    /// So many connections that take turns with the server.
    Talk(Kind, usize),
    /// Memory of so many silent readers.
    Idle(Wire, usize),
    /// Memory of so many readers that have stopped reading.
    Stuck(usize),
    /// A small room beside a large one.
    SmallRoom(usize),
    /// Memory of a server that nobody has spoken to.
    Start,
    /// Broadcasts to more and more readers.
    Growth,
}

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "ws-1k", what: Work::Broadcast(Wire::WebSocket, 1_000) },
    Scenario { name: "ws-10k", what: Work::Broadcast(Wire::WebSocket, 10_000) },
    Scenario { name: "sse-1k", what: Work::Broadcast(Wire::Sse, 1_000) },
    Scenario { name: "sse-10k", what: Work::Broadcast(Wire::Sse, 10_000) },
    Scenario { name: "stream-1k", what: Work::Broadcast(Wire::Stream, 1_000) },
    Scenario { name: "poll-1k", what: Work::Polls(1_000) },
    Scenario { name: "poll-10k", what: Work::Polls(10_000) },
    Scenario { name: "burst", what: Work::Burst(Wire::WebSocket, 1_000) },
    Scenario { name: "steady", what: Work::Steady(Wire::WebSocket, 1_000, 50) },
    Scenario { name: "echo", what: Work::Talk(Kind::Echo, 100) },
    Scenario { name: "handshake", what: Work::Talk(Kind::Handshake, 32) },
    Scenario { name: "request", what: Work::Talk(Kind::Request, 100) },
    Scenario { name: "idle-ws", what: Work::Idle(Wire::WebSocket, 10_000) },
    Scenario { name: "idle-sse", what: Work::Idle(Wire::Sse, 10_000) },
    Scenario { name: "stuck", what: Work::Stuck(10_000) },
    Scenario { name: "small-room", what: Work::SmallRoom(10_000) },
    Scenario { name: "start", what: Work::Start },
    Scenario { name: "growth", what: Work::Growth },
];

/// Measures one scenario. What a contestant could not do is said and left out.
pub fn measure(scenario: &Scenario, places: &Places, effort: Effort, only: &[Who]) -> Samples {
    let (wire, effort) = scenario.what.wire_and_effort(effort);
    let mut taking: Vec<Who> = Who::ALL.into_iter().filter(|who| who.speaks(wire)).collect();
    taking.retain(|who| scenario.what.compares() || *who == Who::Encke);
    taking.retain(|who| !matches!(scenario.what, Work::Growth) || matches!(who, Who::Encke | Who::Floor));
    taking.retain(|who| only.is_empty() || only.contains(who));
    taking.retain(|who| who.lacks(places).is_none());
    let mut samples = Samples::default();
    for round in 0..effort.rounds {
        for place in 0..taking.len() {
            let who = taking[(place + round) % taking.len()];
            let mut note =
                |name: &str, value: f64| samples.add(scenario.name, who.name(), round, name, value);
            if let Err(error) = once(scenario.what, who, places, effort, &mut note) {
                eprintln!("{} {}: {error}", scenario.name, who.name());
            }
        }
    }
    samples
}

impl Work {
    fn wire_and_effort(self, effort: Effort) -> (Wire, Effort) {
        let once = Effort { rounds: 1, ..effort };
        // Ten thousand readers take longer to come than to be served.
        let few = Effort { rounds: effort.rounds.min(3), ..effort };
        let fewest = Effort { rounds: effort.rounds.min(2), ..effort };
        match self {
            Work::Broadcast(wire, 10_000..) => (wire, few),
            Work::Polls(10_000..) => (Wire::Poll, few),
            Work::Steady(wire, ..) => (wire, fewest),
            Work::Broadcast(wire, _) | Work::Burst(wire, _) => (wire, effort),
            Work::Polls(_) => (Wire::Poll, effort),
            Work::Talk(Kind::Echo, _) => (Wire::Echo, effort),
            Work::Talk(Kind::Handshake, _) => (Wire::WebSocket, effort),
            Work::Talk(_, _) => (Wire::Request, effort),
            Work::Idle(wire, _) => (wire, once),
            Work::Start => (Wire::WebSocket, once),
            Work::Stuck(_) | Work::SmallRoom(_) => (Wire::WebSocket, once),
            Work::Growth => (Wire::WebSocket, fewest),
        }
    }

    /// Whether others than encke take part.
    fn compares(self) -> bool {
        !matches!(self, Work::Stuck(_) | Work::SmallRoom(_))
    }
}

type Note<'a> = &'a mut dyn FnMut(&str, f64);

fn once(work: Work, who: Who, places: &Places, effort: Effort, note: Note<'_>) -> io::Result<()> {
    match work {
        Work::Broadcast(wire, readers) => broadcast(who, places, wire, readers, 1, effort, note),
        Work::Burst(wire, readers) => broadcast(who, places, wire, readers, BURST, effort, note),
        Work::Steady(wire, readers, rate) => steady(who, places, wire, readers, rate, effort, note),
        Work::Polls(pollers) => polls(who, places, pollers, effort, note),
        Work::Talk(kind, count) => talk(who, places, kind, count, effort, note),
        Work::Idle(wire, readers) => idle(who, places, wire, readers, note),
        Work::Stuck(readers) => stuck(who, places, readers, note),
        Work::SmallRoom(readers) => small_room(who, places, readers, effort, note),
        Work::Start => start(who, places, note),
        Work::Growth => {
            for readers in [100, 300, 1_000, 3_000, 10_000, 16_000] {
                let mut named = |name: &str, value: f64| note(&format!("{name}@{readers}"), value);
                broadcast(who, places, Wire::WebSocket, readers, 1, effort, &mut named)?;
            }
            Ok(())
        }
    }
}

/// A server, its readers, and who publishes to them; all of them have heard a first message.
fn gather(who: Who, places: &Places, wire: Wire, readers: usize) -> io::Result<(Running, Fleet, Publisher)> {
    let server = who.start(places, wire, &[])?;
    let mut fleet = Fleet::new(Instant::now())?;
    fleet.open(server.address, &who.greeting(wire), readers)?;
    machine::settle(server.pid());
    // Over a WebSocket all that speak it publish alike; the others have HTTP.
    let over_http = !matches!(wire, Wire::WebSocket);
    let mut publisher = Publisher::open(who, server.address, over_http)?;
    machine::settle(server.pid());
    for number in 1..=10 {
        publisher.publish("bench", number, 1, fleet.now(), DATA_BYTES)?;
        fleet.await_total(u64::from(number) * readers as u64, Duration::from_secs(10))?;
    }
    fleet.reset();
    machine::settle(server.pid());
    Ok((server, fleet, publisher))
}

fn broadcast(
    who: Who,
    places: &Places,
    wire: Wire,
    readers: usize,
    at_once: u32,
    effort: Effort,
    note: Note<'_>,
) -> io::Result<()> {
    let (server, mut fleet, mut publisher) = gather(who, places, wire, readers)?;
    let before = Spent::of(server.pid());
    let from = Instant::now();
    let mut number = 11;
    let mut total = 0;
    while from.elapsed().as_secs_f64() < effort.seconds {
        publisher.publish("bench", number, at_once, fleet.now(), DATA_BYTES)?;
        number += at_once;
        total += u64::from(at_once) * readers as u64;
        fleet.await_total(total, Duration::from_secs(20))?;
        // What the last write still costs the server belongs to it, and not to the next message's latency.
        machine::settle_quickly(server.pid());
    }
    let seconds = from.elapsed().as_secs_f64();
    machine::settle(server.pid());
    let spent = Spent::since(server.pid(), before);
    publisher.drain()?;
    if fleet.faults > 0 || fleet.received != total {
        return Err(Error::other(format!("{} faults, {} of {total} came", fleet.faults, fleet.received)));
    }
    tell_spent(spent, total, note);
    note("rate", total as f64 / seconds);
    note("count", total as f64);
    tell_latencies(&fleet.latencies, note);
    Ok(())
}

fn tell_spent(spent: Spent, units: u64, note: Note<'_>) {
    note("cpu_ns", spent.all_ns as f64 / units as f64);
    note("user_ns", spent.user_ns() / units as f64);
}

fn tell_latencies(latencies: &hdrhistogram::Histogram<u64>, note: Note<'_>) {
    for (name, quantile) in [("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999)] {
        note(name, latencies.value_at_quantile(quantile) as f64 / 1000.0);
    }
}

/// Messages at a rate that does not wait for anyone. Each carries the time at which it was due, so that a
/// server that falls behind is not spared the messages that it delayed.
fn steady(
    who: Who,
    places: &Places,
    wire: Wire,
    readers: usize,
    rate: u32,
    effort: Effort,
    note: Note<'_>,
) -> io::Result<()> {
    let (server, mut fleet, mut publisher) = gather(who, places, wire, readers)?;
    let before = Spent::of(server.pid());
    let gap = 1_000_000_000 / u64::from(rate);
    let count = (effort.seconds * 2.0 * f64::from(rate)) as u32;
    let from = fleet.now();
    for index in 0..count {
        let due = from + u64::from(index) * gap;
        while let left @ 1.. = due.saturating_sub(fleet.now()) {
            // The poll counts in whole milliseconds and rounds up: the last one is spent turning.
            fleet.pump(Duration::from_nanos(left).saturating_sub(Duration::from_millis(2)))?;
        }
        publisher.publish("bench", 11 + index, 1, due, DATA_BYTES)?;
    }
    let total = u64::from(count) * readers as u64;
    fleet.await_total(total, Duration::from_secs(20))?;
    machine::settle(server.pid());
    let spent = Spent::since(server.pid(), before);
    if fleet.faults > 0 {
        return Err(Error::other(format!("{} faults", fleet.faults)));
    }
    tell_spent(spent, total, note);
    tell_latencies(&fleet.latencies, note);
    Ok(())
}

fn polls(who: Who, places: &Places, pollers: usize, effort: Effort, note: Note<'_>) -> io::Result<()> {
    let server = who.start(places, Wire::Poll, &[])?;
    let mut talk = Talk::open(Kind::Poll, who, server.address, pollers, Instant::now())?;
    machine::settle(server.pid());
    let mut publisher = Publisher::open(who, server.address, true)?;
    let mut round = |talk: &mut Talk, number: u32, total: u64| -> io::Result<()> {
        publisher.publish("bench", number, 1, talk.now(), DATA_BYTES)?;
        let until = Instant::now() + Duration::from_secs(20);
        while talk.told < total {
            talk.pump(Duration::from_millis(20))?;
            if Instant::now() > until {
                return Err(Error::other(format!("{} of {total} polls were told", talk.told)));
            }
        }
        // All have asked again. The next message waits until the server holds them all.
        machine::settle(server.pid());
        Ok(())
    };
    for number in 1..=5 {
        round(&mut talk, number, u64::from(number) * pollers as u64)?;
    }
    talk.reset();
    let before = Spent::of(server.pid());
    let from = Instant::now();
    let (mut number, mut total) = (6, 0);
    while from.elapsed().as_secs_f64() < effort.seconds {
        total += pollers as u64;
        round(&mut talk, number, total)?;
        number += 1;
    }
    let spent = Spent::since(server.pid(), before);
    tell_spent(spent, total, note);
    note("count", total as f64);
    tell_latencies(&talk.latencies, note);
    Ok(())
}

fn talk(
    who: Who,
    places: &Places,
    kind: Kind,
    count: usize,
    effort: Effort,
    note: Note<'_>,
) -> io::Result<()> {
    let wire = match kind {
        Kind::Echo => Wire::Echo,
        Kind::Handshake => Wire::WebSocket,
        Kind::Request | Kind::Poll => Wire::Request,
    };
    let server = who.start(places, wire, &[])?;
    let mut talk = Talk::open(kind, who, server.address, count, Instant::now())?;
    let go_on = |talk: &mut Talk, seconds: f64| -> io::Result<f64> {
        let from = Instant::now();
        while from.elapsed().as_secs_f64() < seconds {
            talk.pump(Duration::from_millis(20))?;
        }
        Ok(from.elapsed().as_secs_f64())
    };
    go_on(&mut talk, 0.3)?;
    talk.reset();
    let before = Spent::of(server.pid());
    let seconds = go_on(&mut talk, effort.seconds)?;
    let spent = Spent::since(server.pid(), before);
    tell_spent(spent, talk.done, note);
    note("rate", talk.done as f64 / seconds);
    note("count", talk.done as f64);
    tell_latencies(&talk.latencies, note);
    Ok(())
}

fn idle(who: Who, places: &Places, wire: Wire, readers: usize, note: Note<'_>) -> io::Result<()> {
    let server = who.start(places, wire, &[])?;
    let mut fleet = Fleet::new(Instant::now())?;
    let greeting = who.greeting(wire);
    // Tables and pools are touched once before anything is counted.
    fleet.open(server.address, &greeting, 200)?;
    machine::settle(server.pid());
    let before = machine::resident(server.pid());
    fleet.open(server.address, &greeting, readers)?;
    machine::settle(server.pid());
    std::thread::sleep(Duration::from_millis(300));
    let grown = machine::resident(server.pid()).saturating_sub(before);
    note("bytes", grown as f64 / readers as f64);
    Ok(())
}

/// Readers that read nothing any more, while 10,000 messages of 1 KiB are published.
fn stuck(who: Who, places: &Places, readers: usize, note: Note<'_>) -> io::Result<()> {
    let server = who.start(places, Wire::WebSocket, &[])?;
    let mut fleet = Fleet::new(Instant::now())?;
    fleet.small_buffers = true;
    fleet.open(server.address, &who.greeting(Wire::WebSocket), readers)?;
    machine::settle(server.pid());
    let mut publisher = Publisher::open(who, server.address, false)?;
    let before = machine::resident(server.pid());
    let mut most = before;
    for batch in 0..100 {
        publisher.publish("bench", 1 + batch * 100, 100, fleet.now(), 1_024)?;
        machine::settle(server.pid());
        most = most.max(machine::resident(server.pid()));
    }
    note("grown_bytes", (most - before) as f64);
    note("bytes", (most - before) as f64 / fleet.len() as f64);
    Ok(())
}

/// A room of ten readers, watched by a process of its own, while a room of thousands gets 20 messages a second.
fn small_room(who: Who, places: &Places, readers: usize, effort: Effort, note: Note<'_>) -> io::Result<()> {
    let (server, mut fleet, mut publisher) = gather(who, places, Wire::WebSocket, readers)?;
    let seconds = (effort.seconds * 4.0).max(4.0);
    // Ahead of the large room's readers, with which it has to share a core: their time is not the server's.
    let own = std::env::current_exe()?;
    let mut probe = Command::new("chrt");
    probe.args(["-f", "1"]).arg(&own);
    if !Command::new("chrt").args(["-f", "1", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("small-room: no leave for chrt, so the readers' own delays are in the figures");
        probe = Command::new(&own);
    }
    let address = server.address.to_string();
    let child =
        probe.args(["probe", &address, &seconds.to_string()]).stdout(std::process::Stdio::piped()).spawn()?;
    let from = fleet.now();
    let (mut number, mut total) = (11, 0);
    while fleet.now() - from < (seconds * 1e9) as u64 {
        let due = from + u64::from(number - 11) * 50_000_000;
        while fleet.now() < due {
            fleet.pump(Duration::from_millis(1))?;
        }
        publisher.publish("bench", number, 1, due, DATA_BYTES)?;
        number += 1;
        total += readers as u64;
    }
    fleet.await_total(total, Duration::from_secs(20))?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut values = text.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
    for name in ["p50_us", "p99_us", "p999_us"] {
        note(name, values.next().ok_or_else(|| Error::other("the small room said nothing"))?);
    }
    Ok(())
}

/// The small room: ten readers and a message every few milliseconds. Prints quantiles in microseconds.
pub fn probe(address: &str, seconds: &str) -> io::Result<()> {
    let address = address.parse().map_err(Error::other)?;
    let seconds: f64 = seconds.parse().map_err(Error::other)?;
    let mut fleet = Fleet::new(Instant::now())?;
    let mut greeting = Who::Encke.greeting(Wire::WebSocket);
    greeting.request = crate::peers::upgrade("/ws?ch=small");
    fleet.open(address, &greeting, 10)?;
    let mut publisher = Publisher::open(Who::Encke, address, false)?;
    let from = Instant::now();
    let mut number = 1;
    while from.elapsed().as_secs_f64() < seconds - 0.5 {
        publisher.publish("small", number, 1, fleet.now(), DATA_BYTES)?;
        fleet.await_total(u64::from(number) * 10, Duration::from_secs(5))?;
        number += 1;
        // No divisor of the large room's fifty.
        std::thread::sleep(Duration::from_millis(7));
    }
    let at = |quantile| fleet.latencies.value_at_quantile(quantile) as f64 / 1000.0;
    println!("{} {} {}", at(0.5), at(0.99), at(0.999));
    Ok(())
}

fn start(who: Who, places: &Places, note: Note<'_>) -> io::Result<()> {
    let server = who.start(places, Wire::WebSocket, &[])?;
    machine::settle(server.pid());
    std::thread::sleep(Duration::from_millis(200));
    note("bytes", machine::resident(server.pid()) as f64);
    if who == Who::Encke {
        note("binary_bytes", std::fs::metadata(&places.encke)?.len() as f64);
    }
    Ok(())
}
