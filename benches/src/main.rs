//! Measures encke, the floor and the peers in one run, and tells what came of it; `benches/run` calls it.
//!
//! ```text
//!   encke-bench measure NAME… [--quick] [--only WHO…]     rounds of these scenarios, kept as lines of text
//!   encke-bench report                                    the table, docs' fragment and pictures, of all that is kept
//!   encke-bench lacking                                   who can't take part, and what to install
//! ```

mod fleet;
mod machine;
mod peers;
mod report;
mod sample;
mod scenarios;
mod structures;
mod svg;
mod tag;
mod talk;

use std::fs;
use std::io::{self, Error};
use std::path::PathBuf;

use peers::{Places, Who};
use scenarios::{Effort, SCENARIOS};

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["probe", address, seconds] => scenarios::probe(address, seconds),
        ["measure", ref rest @ ..] => measure(rest),
        ["report"] => report::write(&results()?, &docs(), &places()?),
        ["lacking"] => {
            let places = places()?;
            for who in Who::ALL {
                if let Some(how) = who.lacks(&places) {
                    println!("{} is left out: {how}", who.name());
                }
            }
            Ok(())
        }
        ["scenarios"] => {
            SCENARIOS.iter().for_each(|scenario| println!("{}", scenario.name));
            println!("structures");
            Ok(())
        }
        _ => {
            eprintln!(
                "usage: encke-bench measure NAME… [--quick] [--only WHO…] | report | lacking | scenarios"
            );
            std::process::exit(2);
        }
    }
}

fn measure(words: &[&str]) -> io::Result<()> {
    let (places, folder) = (places()?, results()?);
    let quick = words.contains(&"--quick");
    let effort = if quick { Effort { rounds: 3, seconds: 0.4 } } else { Effort { rounds: 5, seconds: 1.0 } };
    let (names, who) = match words.iter().position(|word| *word == "--only") {
        Some(at) => (&words[..at], &words[at + 1..]),
        None => (words, &[][..]),
    };
    let only: Vec<Who> = who.iter().filter_map(|name| Who::of(name)).collect();
    for name in names.iter().filter(|name| !name.starts_with("--")) {
        let samples = match SCENARIOS.iter().find(|scenario| scenario.name == *name) {
            Some(scenario) => scenarios::measure(scenario, &places, effort, &only),
            None if *name == "structures" => structures::measure(effort),
            None => return Err(Error::other(format!("there is no scenario {name}"))),
        };
        if only.is_empty() {
            fs::write(folder.join(format!("{name}.mood")), machine::mood())?;
            samples.save(&folder, name)?;
        }
        print!("{}", report::of_one(&samples, name));
    }
    Ok(())
}

fn variable(name: &str) -> io::Result<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .ok_or_else(|| Error::other(format!("{name} is not set: use benches/run")))
}

fn places() -> io::Result<Places> {
    Ok(Places {
        encke: variable("BENCH_ENCKE")?,
        echo: variable("BENCH_ECHO")?,
        own: std::env::current_exe()?.parent().map(PathBuf::from).unwrap_or_default(),
        peers: variable("BENCH_PEERS")?,
        npm: variable("BENCH_NPM")?,
        scratch: variable("BENCH_SCRATCH")?,
        core: std::env::var("BENCH_CORE").ok(),
    })
}

fn docs() -> PathBuf {
    std::env::var_os("BENCH_DOCS").map(PathBuf::from).unwrap_or_default()
}

fn results() -> io::Result<PathBuf> {
    let folder = variable("BENCH_SCRATCH")?.join("results");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
