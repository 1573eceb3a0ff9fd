//! What the journal costs: publishing under each policy, beside a bare loop of one write and one fdatasync a
//! batch of the same size, beside memory, and beside a bare hop between two threads; and a start.
//!
//! ```text
//!   journal [FOLDER] [--start MEGABYTES] [--keyed]     FOLDER is on the disk that is measured; it is removed
//! ```
//!
//! Everything that is compared runs in turn, in rounds of a second or two, so that what else the machine does
//! falls on all of them. A figure is the median of its rounds.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use encke::journal::{
    Batch, Data, Disk, DiskFolder, Entry, Fresh, Journal, Memory, Options, Outcome, Proposed, Store, Sync,
    Ticket, clock,
};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1_500);
const UNDER_WAY: [usize; 3] = [1, 16, 64];

/// A message of a chat, some two hundred bytes with its name and channel.
fn batch(number: u64, has_key: bool) -> Batch {
    let text = format!(
        "\"{number:020} a message of some length, as people write them to each other: {}\"",
        "x".repeat(80)
    );
    let key = has_key
        .then(|| u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes());
    let data = Data::Json(text.as_bytes());
    let entry = Entry::Message { channel: "lobby", from: Some("ann"), key, data, is_kept: false, link: None };
    Batch::emit(&[entry]).expect("a batch")
}

fn open(path: &Path, sync: Sync) -> Store<DiskFolder> {
    let files = DiskFolder::open(path).expect("a folder");
    let fresh = Fresh { epoch: 7, secret: [7; 16] };
    Store::open(files, Options { sync, ..Options::default() }, fresh, clock()()).expect("a log").0
}

fn start(path: &Path, sync: Sync) -> (Disk, Receiver<()>) {
    let (wake, woken) = channel();
    let wake = Box::new(move || wake.send(()).unwrap_or_default());
    (Disk::start(open(path, sync), clock(), wake).expect("threads"), woken)
}

/// Publishes for a round, so many under way. Messages a second.
fn publish(journal: &mut Disk, woken: &Receiver<()>, under_way: usize, next: &mut u64, has_key: bool) -> f64 {
    let (from, mut done, mut waiting, mut out) = (Instant::now(), 0_u64, 0, Vec::new());
    while from.elapsed() < ROUND || waiting > 0 {
        while waiting < under_way && from.elapsed() < ROUND {
            *next += 1;
            assert_eq!(journal.propose(batch(*next, has_key), Some(Ticket(*next))), Proposed::Later);
            waiting += 1;
        }
        woken.recv().expect("it wakes");
        journal.settled(&mut out);
        for one in out.drain(..) {
            assert!(matches!(one.outcome, Outcome::Committed(_)), "{one:?}");
            (done, waiting) = (done + 1, waiting - 1);
        }
    }
    done as f64 / from.elapsed().as_secs_f64()
}

/// The least that a commit can be: one write and one fdatasync for so many messages.
fn bare(path: &Path, messages: usize) -> f64 {
    let mut file = File::create(path).expect("a file");
    let bytes = vec![b'x'; (batch(1, false).bytes().len() + 48).next_multiple_of(8) * messages];
    let (from, mut done) = (Instant::now(), 0);
    while from.elapsed() < ROUND {
        file.write_all(&bytes).expect("written");
        file.sync_data().expect("synced");
        done += messages;
    }
    done as f64 / from.elapsed().as_secs_f64()
}

/// The least that a journal with a thread can be: a queue there, one write, a queue back.
fn hop(path: &Path, under_way: usize) -> f64 {
    let (to, there) = sync_channel::<Batch>(1024);
    let (back, here) = channel::<usize>();
    let mut file = File::create(path).expect("a file");
    let writer = thread::spawn(move || {
        while let Ok(first) = there.recv() {
            let mut group = vec![first];
            group.extend(there.try_iter());
            let bytes: Vec<u8> = group.iter().flat_map(|one| one.bytes().iter().copied()).collect();
            file.write_all(&bytes).expect("written");
            if back.send(group.len()).is_err() {
                return;
            }
        }
    });
    let (from, mut done, mut waiting) = (Instant::now(), 0, 0);
    while from.elapsed() < ROUND {
        while waiting < under_way {
            to.send(batch(done as u64, false)).expect("it lives");
            (waiting, done) = (waiting + 1, done + 1);
        }
        waiting -= here.recv().expect("it lives");
    }
    let rate = (done - waiting) as f64 / from.elapsed().as_secs_f64();
    drop(to);
    writer.join().expect("it ended");
    rate
}

fn memory() -> f64 {
    let mut journal = Memory::new(7);
    let (from, mut done) = (Instant::now(), 0_u64);
    while from.elapsed() < ROUND {
        for _ in 0..1_000 {
            done += 1;
            assert!(matches!(journal.propose(batch(done, false), None), Proposed::Now(_)));
        }
    }
    done as f64 / from.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn policies(folder: &Path, has_key: bool) {
    println!("| messages a second | {} |", UNDER_WAY.map(|n| format!("{n} under way")).join(" | "));
    println!("|---|---|---|---|");
    let names = ["bare write + fdatasync", "commit", "bare hop", "interval", "off", "memory"];
    let mut rates = vec![vec![Vec::new(); UNDER_WAY.len()]; names.len()];
    let syncs = [Sync::Commit, Sync::Interval, Sync::Off];
    let mut journals: Vec<_> =
        syncs.iter().map(|sync| start(&folder.join(format!("{sync:?}")), *sync)).collect();
    let mut next = 0;
    for _ in 0..ROUNDS {
        for (column, under_way) in UNDER_WAY.into_iter().enumerate() {
            rates[0][column].push(bare(&folder.join("bare"), under_way));
            rates[2][column].push(hop(&folder.join("hop"), under_way));
            rates[5][column].push(memory());
            for (row, (journal, woken)) in [1, 3, 4].into_iter().zip(&mut journals) {
                rates[row][column].push(publish(journal, woken, under_way, &mut next, has_key));
            }
        }
    }
    for (name, row) in names.iter().zip(rates) {
        let cells: Vec<String> = row.into_iter().map(|rates| format!("{:.0}", median(rates))).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
}

/// Fills a log, and opens it with nothing of it in the system's memory.
fn start_of(folder: &Path, megabytes: u64, has_key: bool) {
    let path = folder.join("start");
    let mut next = 0;
    let (mut journal, woken) = start(&path, Sync::Off);
    let size = || fs::read_dir(path.join("log")).expect("there").count() as u64 * 64;
    while size() < megabytes {
        publish(&mut journal, &woken, 64, &mut next, has_key);
    }
    let rate = publish(&mut journal, &woken, 1, &mut next, has_key);
    println!("{next} messages, {megabytes} MB: {rate:.0} messages a second one at a time");
    journal.close();
    while !journal.is_idle() {
        woken.recv().expect("it wakes");
        journal.settled(&mut Vec::new());
    }
    for entry in fs::read_dir(path.join("log")).expect("there") {
        forget(&entry.expect("an entry").path());
    }
    for what in ["cold", "warm"] {
        let from = Instant::now();
        drop(open(&path, Sync::Interval));
        println!("a {what} start took {} ms", from.elapsed().as_millis());
    }
}

/// Asks the system to drop what it has of a file: it is on the disk, and reads come from there.
fn forget(path: &Path) {
    let file = OpenOptions::new().read(true).open(path).expect("there");
    file.sync_all().expect("synced");
    let dd = std::process::Command::new("dd")
        .arg(format!("of={}", path.display()))
        .args(["oflag=nocache", "conv=notrunc,fdatasync", "count=0"])
        .output();
    assert!(dd.is_ok_and(|dd| dd.status.success()), "dd drops what the system keeps");
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = args.first().filter(|arg| !arg.starts_with("--"));
    let folder = folder.map_or_else(|| std::env::temp_dir().join("encke-journal"), PathBuf::from);
    let has_key = args.iter().any(|arg| arg == "--keyed");
    fs::create_dir_all(&folder)?;
    match args.iter().position(|arg| arg == "--start").and_then(|at| args.get(at + 1)) {
        Some(megabytes) => start_of(&folder, megabytes.parse().expect("megabytes"), has_key),
        None => policies(&folder, has_key),
    }
    fs::remove_dir_all(folder)
}
