//! Attacks a server from another process and tells how long the words of somebody who has done nothing take
//! meanwhile. `benches/run attacks` calls it.
//!
//! ```text
//!   attacks ENCKE [NAME…] [--limits normal,strict] [--deflate on,off] [--json FILE]
//!   attacks list
//!
//!   ENCKE ◄─── victim, 127.0.0.2: a word every 50 ms, and how long it takes to come back
//!         ◄─── attacker, 127.0.0.3: a process of its own, which gives way to the victim (`nice`)
//! ```
//!
//! The server believes what a proxy on this machine says of whom it speaks for, so that quotas count the
//! addresses that are made up here. `all` is all attacks at once. ENCKE_ARGS has more arguments for the
//! server, BENCH_CORE the core that it is pinned to.

mod crowd;
mod kinds;
mod victim;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, BufReader, Error};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use crowd::Crowd;
use kinds::{ATTACKS, Attack};
use victim::{Phase, Seen, Server, Victim};

/// All attacks at once.
const ALL: &str = "all";

/// Addresses of each attack.
const ADDRESSES: u32 = 1_000;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["list"] => {
            ATTACKS.iter().for_each(|attack| println!("{}", attack.name));
            println!("{ALL}");
            Ok(())
        }
        ["attack", name, address, deflate] => attack(name, address, deflate == "on"),
        [encke, ref rest @ ..] if !encke.starts_with('-') => measure(Path::new(encke), rest),
        _ => {
            eprintln!(
                "usage: attacks ENCKE [NAME…] [--limits normal,strict] [--deflate on,off] [--json FILE] | list"
            );
            std::process::exit(2);
        }
    }
}

fn find(name: &str) -> io::Result<&'static Attack> {
    ATTACKS
        .iter()
        .find(|attack| attack.name == name)
        .ok_or_else(|| Error::other(format!("there is no attack {name}: see `attacks list`")))
}

/// The attacker's process.
fn attack(name: &str, address: &str, has_deflate: bool) -> io::Result<()> {
    let attack = find(name)?;
    let number = ATTACKS.iter().position(|other| other.name == name).unwrap_or(0) as u32;
    let address = address.parse().map_err(Error::other)?;
    let mut crowd = Crowd::new(address, !attack.is_local, has_deflate, number * ADDRESSES)?;
    let outcome = (attack.run)(&mut crowd);
    println!("done {} {} {}", crowd.up, crowd.down, crowd.ended);
    outcome
}

/// What to measure.
struct Plan<'a> {
    names: Vec<&'a str>,
    limits: Vec<&'a str>,
    deflate: Vec<&'a str>,
    json: Option<&'a str>,
}

fn plan<'a>(words: &[&'a str]) -> io::Result<Plan<'a>> {
    let mut plan =
        Plan { names: Vec::new(), limits: vec!["normal", "strict"], deflate: vec!["on", "off"], json: None };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().copied().ok_or_else(|| Error::other(format!("{word} needs a value")));
        match *word {
            "--limits" => plan.limits = value()?.split(',').collect(),
            "--deflate" => plan.deflate = value()?.split(',').collect(),
            "--json" => plan.json = Some(value()?),
            ALL => plan.names.push(ALL),
            name => plan.names.push(find(name)?.name),
        }
    }
    if plan.names.is_empty() {
        plan.names = ATTACKS.iter().map(|attack| attack.name).chain([ALL]).collect();
    }
    Ok(plan)
}

/// What one attack came to.
struct Outcome<'a> {
    name: &'a str,
    limits: &'a str,
    deflate: &'a str,
    seen: Seen,
    up: u64,
    down: u64,
    ended: u64,
    resident: u64,
    trouble: String,
}

fn measure(encke: &Path, words: &[&str]) -> io::Result<()> {
    let plan = plan(words)?;
    println!(
        "| attack | quotas | deflate | p50 ms | p99 ms | max ms | before | up | down | most resident | |"
    );
    println!("|---|---|---|---:|---:|---:|---:|---:|---:|---:|---|");
    let mut outcomes = Vec::new();
    for name in &plan.names {
        for limits in &plan.limits {
            for deflate in &plan.deflate {
                let is_local = *name != ALL && find(name)?.is_local;
                if is_local && *limits != "strict" {
                    continue;
                }
                let outcome = one(encke, name, limits, deflate, is_local)?;
                println!("{}", outcome.row());
                outcomes.push(outcome);
            }
        }
    }
    let worst = outcomes.iter().map(|outcome| outcome.seen.quantile(1.0)).fold(0.0, f64::max);
    println!("\nworst echo: {worst:.1} ms");
    let lines: Vec<String> = outcomes.iter().map(Outcome::json).collect();
    let json = format!("{{\"worst_ms\":{worst:.2},\"attacks\":[{}]}}\n", lines.join(","));
    match plan.json {
        Some(file) => fs::write(file, json),
        None => {
            print!("{json}");
            Ok(())
        }
    }
}

fn one<'a>(
    encke: &Path,
    name: &'a str,
    limits: &'a str,
    deflate: &'a str,
    is_local: bool,
) -> io::Result<Outcome<'a>> {
    let core = std::env::var("BENCH_CORE").ok();
    let mut args = vec!["--limits".to_owned(), limits.to_owned()];
    if !is_local {
        args.extend(["--trusted-proxy".to_owned(), "127.0.0.0/8".to_owned()]);
    }
    let more = std::env::var("ENCKE_ARGS").unwrap_or_default();
    args.extend(more.split_whitespace().map(str::to_owned));
    let server = Server::start(encke, core.as_deref(), &args)?;
    let victim = Victim::begin(server.address, !is_local)?;
    let names: Vec<&str> = match name {
        ALL => ATTACKS.iter().filter(|attack| !attack.is_local).map(|attack| attack.name).collect(),
        name => vec![name],
    };
    let mut attackers =
        names.iter().map(|name| Attacker::start(name, &server, deflate)).collect::<io::Result<Vec<_>>>()?;
    let mut trouble = String::new();
    for attacker in &mut attackers {
        attacker.line()?;
        // Of several the first that is ready begins the attack.
        victim.tell(Phase::Attacking);
    }
    let (mut up, mut down, mut ended) = (0, 0, 0);
    for (name, attacker) in names.iter().zip(attackers) {
        match attacker.end()? {
            Some([more_up, more_down, more_ended]) => {
                (up, down, ended) = (up + more_up, down + more_down, ended + more_ended);
            }
            None => {
                let _ = write!(trouble, "{name} failed ");
            }
        }
    }
    // What the last of it causes belongs to it.
    std::thread::sleep(Duration::from_millis(500));
    let seen = victim.end().unwrap_or_else(|error| {
        let _ = write!(trouble, "{error} ");
        Seen::default()
    });
    let resident = server.most_resident();
    Ok(Outcome { name, limits, deflate, seen, up, down, ended, resident, trouble })
}

struct Attacker {
    child: Child,
    output: BufReader<ChildStdout>,
    last: String,
}

impl Attacker {
    /// An attacker gives way to the victim, which would else wait for its own machine and not for the server:
    /// as far as can be, however the measurement itself was started.
    fn start(name: &str, server: &Server, deflate: &str) -> io::Result<Attacker> {
        let mut command = Command::new("nice");
        command.args(["-n", "39"]).arg(std::env::current_exe()?);
        command.args(["attack", name, &server.address.to_string(), deflate]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or_else(|| Error::other("no output"))?;
        Ok(Attacker { child, output: BufReader::new(output), last: String::new() })
    }

    fn line(&mut self) -> io::Result<()> {
        self.last.clear();
        self.output.read_line(&mut self.last).map(|_| ())
    }

    /// What it has counted, when it is done; `None` if it failed.
    fn end(mut self) -> io::Result<Option<[u64; 3]>> {
        if self.last.trim() == "ready" {
            self.line()?;
        }
        let numbers: Vec<u64> =
            self.last.split(' ').skip(1).filter_map(|word| word.trim().parse().ok()).collect();
        let is_well = self.child.wait()?.success();
        Ok(numbers.try_into().ok().filter(|_| is_well))
    }
}

impl Outcome<'_> {
    fn row(&self) -> String {
        let mut notes = self.trouble.clone();
        for (count, what) in [
            (self.seen.missing as u64, "words lost"),
            (self.seen.refused as u64, "words refused"),
            (self.ended, "ended"),
        ] {
            if count > 0 {
                let _ = write!(notes, "{count} {what} ");
            }
        }
        format!(
            "| {} | {} | {} | {:.2} | {:.1} | {:.1} | {:.1} | {} | {} | {:.1} MiB | {} |",
            self.name,
            self.limits,
            self.deflate,
            self.seen.quantile(0.5),
            self.seen.quantile(0.99),
            self.seen.quantile(1.0),
            self.seen.worst_before,
            bytes(self.up),
            bytes(self.down),
            self.resident as f64 / 1_048_576.0,
            notes.trim()
        )
    }

    fn json(&self) -> String {
        format!(
            "{{\"attack\":\"{}\",\"limits\":\"{}\",\"deflate\":\"{}\",\"p50_ms\":{:.3},\"p99_ms\":{:.3},\
             \"max_ms\":{:.3},\"before_ms\":{:.3},\"up\":{},\"down\":{},\"resident\":{},\"lost\":{},\
             \"refused\":{},\"ended\":{}}}",
            self.name,
            self.limits,
            self.deflate,
            finite(self.seen.quantile(0.5)),
            finite(self.seen.quantile(0.99)),
            finite(self.seen.quantile(1.0)),
            self.seen.worst_before,
            self.up,
            self.down,
            self.resident,
            self.seen.missing,
            self.seen.refused,
            self.ended
        )
    }
}

/// JSON has no other numbers.
fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { -1.0 }
}

fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}
