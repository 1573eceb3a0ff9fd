//! The journal with its threads: over a real folder, over a disk that hangs, and killed in the midst of it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::{env, fs};

use encke::journal::{
    Batch, Data, Disk, DiskFolder, Entry, Files, Fresh, Health, Journal, Opened, Options, Outcome, Page,
    Presence, Proposed, Read, Refusal, Settled, Store, Sync, Ticket, Time, Trouble, clock,
};
use encke::limits::{
    HISTORY_PAGE_MAX, HISTORY_READS_MAX, JOURNAL_BEHIND_MS, JOURNAL_QUEUE_BYTES_MAX, JOURNAL_RETRY_MS,
};

#[allow(dead_code)]
mod disk;
#[path = "sim/rng.rs"]
#[allow(dead_code)]
mod rng;

use disk::slow::Slow;

const FRESH: Fresh = Fresh { epoch: 7, secret: [9; 16] };

/// A journal and what wakes its loop.
struct Loop {
    journal: Disk,
    woken: mpsc::Receiver<()>,
}

fn start<F: Files>(
    store: Store<F>,
    clock: impl Fn() -> Time + Clone + Send + std::marker::Sync + 'static,
) -> Loop {
    let (wake, woken) = mpsc::channel();
    // A loop that is gone needs no waking.
    let wake = Box::new(move || wake.send(()).unwrap_or_default());
    Loop { journal: Disk::start(store, clock, wake).expect("threads"), woken }
}

impl Loop {
    /// Turns until it was told of so many.
    fn settled(&mut self, count: usize) -> Vec<Settled> {
        let mut out = Vec::new();
        while out.len() < count {
            self.woken.recv().expect("it wakes");
            self.journal.settled(&mut out);
        }
        out
    }

    fn page(&mut self, read: Read) -> Page {
        self.journal.read(read, Ticket(9)).expect("it is free");
        let mut out = Vec::new();
        while out.is_empty() {
            self.woken.recv().expect("it wakes");
            self.journal.pages(&mut out);
        }
        out.remove(0)
    }

    fn stop(mut self) {
        self.journal.close();
        let mut out = Vec::new();
        while !self.journal.is_idle() {
            self.woken.recv().expect("it wakes");
            self.journal.settled(&mut out);
        }
    }
}

fn message(text: &str) -> Batch {
    let data = Data::Json(text.as_bytes());
    let (from, key, link) = (Some("ann"), None, None);
    Batch::emit(&[Entry::Message { channel: "lobby", from, key, data, is_kept: false, link }])
        .expect("a batch")
}

fn presence(user: &str, what: Presence) -> Batch {
    Batch::emit(&[Entry::Presence { channel: "lobby", user, what }]).expect("a batch")
}

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("journal-{name}-{}", std::process::id()));
    // It is there if an earlier run was ended in the midst of it.
    let _ = fs::remove_dir_all(&path);
    path
}

fn open(path: &Path, sync: Sync) -> Result<(Store<DiskFolder>, Opened), Trouble> {
    let files = DiskFolder::open(path).map_err(|error| Trouble::Io(path.display().to_string(), error))?;
    let options = Options { sync, segment_bytes: 20_000, ballast_bytes: 4_096, ..Options::default() };
    Store::open(files, options, FRESH, clock()())
}

fn all(newest: bool, limit: usize) -> Read {
    Read { channel: "lobby".into(), after: 0, before: u64::MAX, newest, limit }
}

fn texts(page: &Page) -> Vec<(u64, String)> {
    let text = |found: &encke::journal::Found| {
        let Ok(Entry::Message { data, .. }) = Entry::parse(&found.entry) else { panic!("no message") };
        (found.seq, String::from_utf8_lossy(data.as_bytes()).into_owned())
    };
    page.messages.iter().map(text).collect()
}

#[test]
fn what_is_published_is_there_after_a_restart_under_every_policy() {
    for sync in [Sync::Commit, Sync::Interval, Sync::Off] {
        let path = folder(&format!("restart-{sync:?}"));
        let (store, opened) = open(&path, sync).expect("a new folder");
        assert_eq!((opened.head, opened.epoch), (0, 7));
        let mut first = start(store, clock());
        assert!(matches!(open(&path, sync), Err(Trouble::Locked)));
        for n in 0..500 {
            assert_eq!(first.journal.propose(message(&format!("{n}")), Some(Ticket(n))), Proposed::Later);
        }
        let settled = first.settled(500);
        for (n, one) in settled.iter().enumerate() {
            assert_eq!(one.outcome, Outcome::Committed(n as u64 + 1));
            assert_eq!(one.ticket, Some(Ticket(n as u64)));
        }
        assert_eq!(first.journal.head(), 500);
        let page = first.page(all(true, 3));
        let newest = [(498, "497".to_owned()), (499, "498".to_owned()), (500, "499".to_owned())];
        assert_eq!((texts(&page), page.more), (newest.to_vec(), true));
        first.stop();

        let (store, opened) = open(&path, sync).expect("it is whole");
        assert_eq!((opened.head, opened.lost, opened.cut), (500, None, None));
        let mut second = start(store, clock());
        let page = second.page(all(false, HISTORY_PAGE_MAX + 1));
        assert_eq!((page.messages.len(), page.messages[0].seq, page.more), (HISTORY_PAGE_MAX, 1, true));
        assert_eq!(second.journal.propose(message("500"), None), Proposed::Later);
        assert_eq!(second.settled(1)[0].outcome, Outcome::Committed(501));
        second.stop();
        fs::remove_dir_all(path).expect("removed");
    }
}

/// A clock that a test sets.
fn set_clock() -> (Arc<AtomicU64>, impl Fn() -> Time + Clone + Send + std::marker::Sync + 'static) {
    let now = Arc::new(AtomicU64::new(0));
    let own = now.clone();
    (now, move || Time { now: own.load(Ordering::SeqCst), wall: 1_800_000_000_000 })
}

#[test]
fn the_loop_never_waits_for_a_disk_that_hangs() {
    let slow = Slow::new();
    let (store, _) =
        Store::open(slow.clone(), Options::default(), FRESH, Time { now: 0, wall: 0 }).expect("new");
    let (now, clock) = set_clock();
    let mut own = start(store, clock);
    slow.shut(true);
    assert_eq!(own.journal.propose(message("\"first\""), None), Proposed::Later);
    slow.until_stuck();
    // Up to the bound of bytes.
    let long = format!("\"{}\"", "x".repeat(1_000_000));
    let mut taken = 1;
    let refusal = loop {
        match own.journal.propose(message(&long), None) {
            Proposed::Later => taken += 1,
            Proposed::Refused(refusal) => break refusal,
            Proposed::Now(_) => panic!("nothing is written"),
        }
    };
    assert_eq!(refusal, Refusal::Busy(JOURNAL_RETRY_MS));
    assert!((JOURNAL_QUEUE_BYTES_MAX / 1_000_100..=JOURNAL_QUEUE_BYTES_MAX / 1_000_000 + 2).contains(&taken));
    assert!(own.journal.held() >= JOURNAL_QUEUE_BYTES_MAX);
    // Of presences the last state of each user waits.
    for what in [Presence::Join, Presence::Leave, Presence::Join, Presence::Away] {
        assert_eq!(own.journal.propose(presence("ann", what), None), Proposed::Later);
    }
    assert_eq!(own.journal.propose(presence("bob", Presence::Leave), None), Proposed::Later);
    now.store(1, Ordering::SeqCst);
    slow.shut(false);
    let settled = own.settled(taken + 2);
    let told: Vec<_> = settled.iter().map(|one| one.outcome).collect();
    assert_eq!(told, (1..=taken as u64 + 2).map(Outcome::Committed).collect::<Vec<_>>(), "in order");
    let last: Vec<_> = settled[taken..].iter().map(|one| one.batch.clone()).collect();
    assert_eq!(last, [presence("ann", Presence::Away), presence("bob", Presence::Leave)]);
    assert!(own.journal.is_idle() && own.journal.held() == 0);
    own.stop();
}

#[test]
fn a_disk_that_is_too_far_behind_is_busy_and_what_was_not_taken_is_withdrawn() {
    let slow = Slow::new();
    let (store, _) =
        Store::open(slow.clone(), Options::default(), FRESH, Time { now: 0, wall: 0 }).expect("new");
    let (now, clock) = set_clock();
    let mut own = start(store, clock);
    slow.shut(true);
    assert_eq!(own.journal.propose(message("1"), Some(Ticket(1))), Proposed::Later);
    slow.until_stuck();
    now.store(JOURNAL_BEHIND_MS - 1, Ordering::SeqCst);
    assert_eq!(own.journal.propose(message("2"), Some(Ticket(2))), Proposed::Later);
    assert_eq!(own.journal.propose(message("3"), Some(Ticket(3))), Proposed::Later);
    now.store(JOURNAL_BEHIND_MS, Ordering::SeqCst);
    let busy = Proposed::Refused(Refusal::Busy(JOURNAL_RETRY_MS));
    assert_eq!(own.journal.propose(message("4"), Some(Ticket(4))), busy);
    assert!(own.journal.withdraw(Ticket(2)), "the thread has not taken it");
    assert!(!own.journal.withdraw(Ticket(1)), "it may be written");
    assert!(!own.journal.withdraw(Ticket(4)), "it was refused");
    slow.shut(false);
    let settled = own.settled(2);
    let told: Vec<_> = settled.iter().map(|one| (one.ticket, one.outcome)).collect();
    let expected = [(Some(Ticket(1)), Outcome::Committed(1)), (Some(Ticket(3)), Outcome::Committed(2))];
    assert_eq!(told, expected);
    own.stop();
}

#[test]
fn a_thread_that_dies_fails_what_it_had() {
    let slow = Slow::new();
    let (store, _) =
        Store::open(slow.clone(), Options::default(), FRESH, Time { now: 0, wall: 0 }).expect("new");
    let mut own = start(store, clock());
    slow.shut(true);
    own.journal.propose(message("1"), Some(Ticket(1)));
    slow.until_stuck();
    own.journal.propose(message("2"), Some(Ticket(2)));
    slow.panic();
    slow.shut(false);
    let settled = own.settled(2);
    assert!(settled.iter().all(|one| one.outcome == Outcome::Unknown));
    assert_eq!(own.journal.health(), Health::Dead);
    assert_eq!(own.journal.propose(message("3"), None), Proposed::Refused(Refusal::Closed));
    assert!(own.journal.is_idle());
}

#[test]
fn reads_of_history_have_their_bound() {
    let slow = Slow::new();
    let (store, _) = Store::open(slow, Options::default(), FRESH, Time { now: 0, wall: 0 }).expect("new");
    let mut own = start(store, clock());
    let busy = Err(Refusal::Busy(JOURNAL_RETRY_MS));
    // The answers wait until the loop takes them, and count until then.
    for n in 0..HISTORY_READS_MAX as u64 {
        assert_eq!(own.journal.read(all(true, 1), Ticket(n)), Ok(()));
    }
    assert_eq!(own.journal.read(all(true, 1), Ticket(99)), busy);
    let mut out = Vec::new();
    while out.len() < HISTORY_READS_MAX {
        own.woken.recv().expect("it wakes");
        own.journal.pages(&mut out);
    }
    assert!(out.iter().all(|page| page.messages.is_empty() && !page.more && !page.failed));
    assert_eq!(own.journal.read(all(true, 1), Ticket(99)), Ok(()));
}

/// Not a test of its own: the program that the next one kills. It says what it was told, line by line.
#[test]
fn writes_until_it_is_killed() {
    let Ok(path) = env::var("ENCKE_JOURNAL_CHILD") else { return };
    let sync = if env::var("ENCKE_JOURNAL_COMMIT").is_ok() { Sync::Commit } else { Sync::Interval };
    let (store, opened) = open(Path::new(&path), sync).expect("it opens");
    println!("opened {} {:?} {}", opened.head, opened.lost, opened.cut.is_some());
    let mut own = start(store, clock());
    let (mut next, mut under_way) = (opened.head, 0);
    loop {
        while under_way < 64 {
            own.journal.propose(message(&format!("\"after {next}\"")), None);
            (next, under_way) = (next + 1, under_way + 1);
        }
        for one in own.settled(1) {
            let Outcome::Committed(first) = one.outcome else { panic!("{one:?}") };
            let Some(Entry::Message { data, .. }) = one.batch.entries().next() else { panic!("no message") };
            println!("told {first} {}", String::from_utf8_lossy(data.as_bytes()));
            under_way -= 1;
        }
    }
}

#[test]
fn nothing_is_lost_by_kill_9() {
    let times: u64 = env::var("ENCKE_JOURNAL_KILLS").map_or(3, |text| text.parse().expect("a number"));
    for commit in [false, true] {
        let path = folder(&format!("kill-{commit}"));
        let mut told: BTreeMap<u64, String> = BTreeMap::new();
        let mut rng = rng::Rng::new(times);
        for _ in 0..times {
            let mut command = Command::new(env::current_exe().expect("this program"));
            command.args(["--exact", "writes_until_it_is_killed", "--nocapture"]);
            command.env("ENCKE_JOURNAL_CHILD", &path).stdout(Stdio::piped());
            if commit {
                command.env("ENCKE_JOURNAL_COMMIT", "1");
            }
            let mut child = command.spawn().expect("started");
            let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
            let mut left = rng.range(200, 3_000);
            for line in lines {
                let line = line.expect("text");
                if let Some(rest) = line.strip_prefix("told ") {
                    let (seq, text) = rest.split_once(' ').expect("two parts");
                    let seq: u64 = seq.parse().expect("a number");
                    assert_eq!(told.insert(seq, text.to_owned()), None, "{seq} was told before");
                } else if let Some(rest) = line.split("opened ").nth(1) {
                    assert!(rest.contains("None"), "a gap after a mere kill: {rest}");
                }
                left -= 1;
                if left == 0 {
                    child.kill().expect("killed");
                }
                left = left.max(1);
            }
            child.wait().expect("it ended");
        }
        let (store, opened) = open(&path, Sync::Interval).expect("it opens");
        let mut found = BTreeMap::new();
        loop {
            let after = found.keys().next_back().copied().unwrap_or(0);
            let page = store.read(&Read { after, ..all(false, HISTORY_PAGE_MAX) }, Ticket(1));
            assert!(!page.failed);
            found.extend(texts(&page));
            if !page.more {
                break;
            }
        }
        for (seq, text) in &told {
            assert_eq!(found.get(seq), Some(text), "{seq} was told");
        }
        assert!(opened.head >= *told.keys().next_back().expect("some were told"));
        drop(store);
        fs::remove_dir_all(path).expect("removed");
    }
}
