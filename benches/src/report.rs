//! What came of it, for people: a table in the terminal, a fragment of Markdown and pictures for the docs.
//!
//! It knows no scenario but by its name, and computes nothing that `sample` does not.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use crate::machine;
use crate::peers::{Places, Who};
use crate::sample::{Middle, Samples};
use crate::svg::{self, Line};

/// A line of the table: the work, its scenario, the value, what divides it to be read in, and the aim.
struct Row {
    work: &'static str,
    scenario: &'static str,
    value: &'static str,
    unit: &'static str,
    divisor: f64,
    /// What is compared is the ratio to the floor, not the value.
    is_ratio: bool,
    aim: f64,
    aim_text: &'static str,
}

const fn ratio(work: &'static str, scenario: &'static str, aim: f64, aim_text: &'static str) -> Row {
    Row { work, scenario, value: "cpu_ns", unit: "µs", divisor: 1_000.0, is_ratio: true, aim, aim_text }
}

const ROWS: &[Row] = &[
    ratio("WebSocket broadcast, 1k readers", "ws-1k", 1.03, "≤ 1.03"),
    ratio("WebSocket broadcast, 10k readers", "ws-10k", 1.05, "≤ 1.05"),
    ratio("SSE broadcast, 1k readers", "sse-1k", 1.03, "≤ 1.03"),
    ratio("SSE broadcast, 10k readers", "sse-10k", 1.05, "≤ 1.05"),
    ratio("HTTP streaming, 1k readers", "stream-1k", f64::MAX, ""),
    ratio("long poll, 1k held polls that poll again", "poll-1k", 1.15, "≤ 1.15"),
    ratio("long poll, 10k held polls", "poll-10k", 1.15, "≤ 1.15"),
    Row {
        is_ratio: false,
        aim: 0.20,
        aim_text: "≤ 0.20 µs",
        ..ratio("WebSocket burst of 64, 1k readers", "burst", 0.0, "")
    },
    ratio("WebSocket at 50 a second, 1k readers", "steady", f64::MAX, ""),
    ratio("WebSocket echo, 100 connections", "echo", 1.02, "≤ 1.02"),
    ratio("handshake: open, upgrade, close", "handshake", 1.05, "≤ 1.05"),
    ratio("small HTTP request, keep-alive", "request", 1.06, "≤ 1.06"),
    bytes("idle memory a connection, WebSocket", "idle-ws", 300.0, "≤ 300 bytes"),
    bytes("idle memory a connection, SSE", "idle-sse", 300.0, "≤ 300 bytes"),
    bytes(
        "10k readers stopped, 10k messages of 1 KiB: grown by, a reader",
        "stuck",
        f64::MAX,
        "ring + 64 bytes",
    ),
    Row {
        value: "p99_us",
        unit: "ms",
        is_ratio: false,
        aim: 5.0,
        aim_text: "≤ 5 ms",
        ..ratio("p99 of a 10-reader room beside 10k readers at 20/s", "small-room", 0.0, "")
    },
    Row {
        unit: "MiB",
        divisor: 1_048_576.0,
        aim: 3.0,
        ..bytes("resident memory at start", "start", 0.0, "≤ 3 MB")
    },
];

const fn bytes(work: &'static str, scenario: &'static str, aim: f64, aim_text: &'static str) -> Row {
    Row { work, scenario, value: "bytes", unit: "bytes", divisor: 1.0, is_ratio: false, aim, aim_text }
}

/// The values of a scenario, by their names.
type Values<'a> = &'a dyn Fn(&str) -> Option<f64>;

/// A table below the first.
struct Detail {
    title: &'static str,
    /// A value that each of its rows has.
    needs: &'static str,
    cell: fn(Values<'_>) -> Option<String>,
}

const DETAILS: [Detail; 2] = [
    Detail {
        title: "Of that time, spent in the program and not in the kernel, microseconds",
        needs: "user_ns",
        cell: |at| Some(format!("{:.2}", at("user_ns")? / 1_000.0)),
    },
    Detail {
        title: "Latency, microseconds (p50 / p99 / p99.9)",
        needs: "p50_us",
        cell: |at| Some(format!("{:.0} / {:.0} / {:.0}", at("p50_us")?, at("p99_us")?, at("p999_us")?)),
    },
];

/// What one scenario gave, in a few lines.
pub fn of_one(samples: &Samples, scenario: &str) -> String {
    let mut out = String::new();
    for who in Who::ALL {
        let name = who.name();
        let mut names: Vec<&str> =
            samples.all.iter().filter(|s| s.who == name && s.round == 0).map(|s| &*s.name).collect();
        names.dedup();
        if names.is_empty() {
            continue;
        }
        let _ = write!(out, "{scenario:10} {name:12}");
        for value in names {
            if let Some(middle) = samples.middle(scenario, name, value) {
                let _ = write!(out, " {value} {:.1}", middle.value);
            }
        }
        if let Some(Middle { value, least, most }) = samples.ratio(scenario, name, "cpu_ns") {
            let _ = write!(out, "  ×{value:.3} ({least:.2}–{most:.2})");
        }
        out.push('\n');
    }
    out
}

/// The table, to the terminal and into the docs, and the pictures beside it.
pub fn write(results: &Path, docs: &Path, places: &Places) -> io::Result<()> {
    let samples = Samples::load(results)?;
    let mut out = String::new();
    let mut say = |line: String| {
        // Writing to a String can't fail.
        let _ = writeln!(out, "{line}");
    };
    say(format!("Measured {} on {}.", machine::today(), machine::portrait()));
    say(format!("At the end: {}.", machine::mood()));
    for who in Who::ALL {
        if let Some(how) = who.lacks(places) {
            say(format!("{} took no part; to have it: `{how}`.", who.name()));
        }
    }
    say(String::new());
    let heads: Vec<&str> = Who::ALL.iter().map(|who| who.name()).collect();
    say(format!("| work | {} | encke is to reach | |", heads.join(" | ")));
    say(format!("|---|{}---|---|", "---|".repeat(heads.len())));
    for row in ROWS {
        say(row.line(&samples));
    }
    say(String::new());
    for Detail { title, needs, cell } in DETAILS {
        say(format!("{title}:\n\n| work | {} |", heads.join(" | ")));
        say(format!("|---|{}", "---|".repeat(heads.len())));
        for row in ROWS.iter().filter(|row| samples.middle(row.scenario, "encke", needs).is_some()) {
            let cell = |who: &Who| {
                let at = |name: &str| Some(samples.middle(row.scenario, who.name(), name)?.value);
                cell(&at).unwrap_or_else(|| "–".to_owned())
            };
            let cells: Vec<String> = Who::ALL.iter().map(cell).collect();
            say(format!("| {} | {} |", row.work, cells.join(" | ")));
        }
        say(String::new());
    }
    if let Some(size) = samples.middle("start", "encke", "binary_bytes") {
        say(format!("The stripped binary: {:.2} MiB.", size.value / 1_048_576.0));
    }
    print!("{out}");
    fs::create_dir_all(docs)?;
    fs::write(results.with_file_name("table.md"), &out)?;
    for (file, picture) in pictures(&samples) {
        fs::write(docs.join(file), picture)?;
    }
    Ok(())
}

impl Row {
    fn line(&self, samples: &Samples) -> String {
        let cells: Vec<String> = Who::ALL.iter().map(|who| self.cell(samples, who.name())).collect();
        let reached = if self.is_ratio {
            samples.ratio(self.scenario, "encke", self.value).map(|middle| middle.value)
        } else {
            samples.middle(self.scenario, "encke", self.value).map(|middle| middle.value / self.divisor)
        };
        let verdict = match reached {
            Some(value) if self.aim < f64::MAX => {
                if value <= self.aim {
                    "yes"
                } else {
                    "**no**"
                }
            }
            _ => "",
        };
        format!("| {} | {} | {} | {verdict} |", self.work, cells.join(" | "), self.aim_text)
    }

    fn cell(&self, samples: &Samples, who: &str) -> String {
        let Some(own) = samples.middle(self.scenario, who, self.value) else { return "–".to_owned() };
        let value = own.value / self.divisor;
        let digits = if value < 100.0 && self.divisor > 1.0 { 2 } else { 0 };
        let absolute = format!("{value:.digits$} {}", self.unit);
        match samples.ratio(self.scenario, who, self.value) {
            Some(Middle { value, least, most }) if self.value == "cpu_ns" && who != "floor" => {
                format!("{value:.2} ({least:.2}–{most:.2}), {absolute}")
            }
            _ => absolute,
        }
    }
}

/// Every picture of the docs, by its name.
fn pictures(samples: &Samples) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let growth: Vec<Line> = ["floor", "encke"]
        .iter()
        .map(|who| Line {
            name: (*who).to_owned(),
            points: series(samples, "growth", who, "cpu_ns", 1_000.0),
        })
        .filter(|line| !line.points.is_empty())
        .collect();
    if !growth.is_empty() {
        let title = "Processor time a delivery, as readers grow (WebSocket, one message a turn)";
        all.push(("curve-connections.svg", svg::draw(title, "readers", "µs", &growth)));
    }
    let of = |acts: &[&str]| -> Vec<Line> {
        let line = |act: &&str| Line {
            name: (*act).to_owned(),
            points: series(samples, "structures", "encke", act, 1.0),
        };
        acts.iter().map(line).filter(|line| !line.points.is_empty()).collect()
    };
    let rooms =
        of(&["publish, many rooms", "subscribe and leave, many rooms", "resume by cursor, many rooms"]);
    if !rooms.is_empty() {
        let title = "One act of the hub, as rooms with one reader each grow";
        all.push(("curve-rooms.svg", svg::draw(title, "rooms", "ns", &rooms)));
    }
    let room =
        of(&["fan-out a reader, one room", "join and leave, one room", "a timer set", "the hand moved"]);
    if !room.is_empty() {
        let title = "One act, as readers of one room, or timers, grow";
        all.push(("curve-readers.svg", svg::draw(title, "readers or timers", "ns", &room)));
    }
    all
}

/// The values whose names are `name@x`, over x.
fn series(samples: &Samples, scenario: &str, who: &str, name: &str, divisor: f64) -> Vec<(f64, f64)> {
    let mut sizes: Vec<u64> = samples
        .all
        .iter()
        .filter(|s| s.scenario == scenario && s.who == who)
        .filter_map(|s| s.name.strip_prefix(name)?.strip_prefix('@')?.parse().ok())
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    let point = |size: u64| {
        Some((size as f64, samples.middle(scenario, who, &format!("{name}@{size}"))?.value / divisor))
    };
    sizes.into_iter().filter_map(point).collect()
}
