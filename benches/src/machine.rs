//! What the kernel says: of a server's processes, of this machine, and of its mood.
//!
//! Processor time is read from `schedstat`, which counts in nanoseconds, once the server sleeps: the kernel
//! brings the figure up to date when a thread leaves its core. How much of it was the program's own and not
//! the kernel's is sampled by the kernel's clock, some hundred times a second. Linux only.

use std::fs;
use std::time::{Duration, Instant};

/// A process and its children.
fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while at < all.len() {
        let path = format!("/proc/{0}/task/{0}/children", all[at]);
        let text = fs::read_to_string(path).unwrap_or_default();
        all.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        at += 1;
    }
    all
}

/// Processor time that a process, its threads and its children have had.
#[derive(Clone, Copy, Default)]
pub struct Spent {
    /// Nanoseconds.
    pub all_ns: u64,
    /// Ticks of the kernel's clock that found the program at work.
    user: u64,
    /// And the kernel for it.
    system: u64,
}

impl Spent {
    /// So far.
    pub fn of(pid: u32) -> Spent {
        let mut spent = Spent::default();
        let threads = family(pid)
            .into_iter()
            .flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten());
        for path in threads.filter_map(|entry| Some(entry.ok()?.path())) {
            let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
            let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            spent.all_ns += number(read("schedstat").split(' ').next());
            let stat = read("stat");
            // Behind the name, which may hold anything, these are the 12th and the 13th (proc_pid_stat(5)).
            let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
            spent.user += number(fields.next());
            spent.system += number(fields.next());
        }
        spent
    }

    /// Since then.
    pub fn since(pid: u32, before: Spent) -> Spent {
        let now = Spent::of(pid);
        Spent {
            all_ns: now.all_ns - before.all_ns,
            user: now.user - before.user,
            system: now.system - before.system,
        }
    }

    /// Nanoseconds of it that were the program's own.
    pub fn user_ns(self) -> f64 {
        self.all_ns as f64 * self.user as f64 / (self.user + self.system).max(1) as f64
    }
}

/// Whether all threads of a process sleep.
fn sleeps(pid: u32) -> bool {
    family(pid).into_iter().all(|pid| {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
        tasks
            .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok())
            .all(|stat| stat.rsplit(')').next().is_none_or(|rest| !rest.trim_start().starts_with('R')))
    })
}

/// Waits until the server has nothing left to do, so that nothing of it falls into another measurement.
pub fn settle(pid: u32) {
    let until = Instant::now() + Duration::from_millis(500);
    let mut quiet = 0;
    while quiet < 2 && Instant::now() < until {
        quiet = if sleeps(pid) { quiet + 1 } else { 0 };
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// The same within a measurement, where every microsecond of waiting lowers the rate: asks once, and again
/// only while the answer is no.
pub fn settle_quickly(pid: u32) {
    let until = Instant::now() + Duration::from_millis(500);
    while !sleeps(pid) && Instant::now() < until {
        std::thread::yield_now();
    }
}

/// Bytes of physical memory that a process and its children have.
pub fn resident(pid: u32) -> u64 {
    let of = |pid: u32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find(|line| line.starts_with("Rss:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    family(pid).into_iter().filter_map(of).sum::<u64>() * 1024
}

/// One line about the machine.
pub fn portrait() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo");
    let total =
        memory.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1_048_576;
    let hypervisor = if cpu.contains("hypervisor") { ", virtual" } else { "" };
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} × {model}{hypervisor}, {total} GiB, Linux {}", kernel.trim())
}

/// One line about what the machine was doing.
pub fn mood() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let numbers: Vec<u64> =
        stat.lines().next().unwrap_or("").split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    let all: u64 = numbers.iter().take(8).sum();
    let steal = numbers.get(7).copied().unwrap_or(0);
    let share = steal as f64 * 100.0 / all.max(1) as f64;
    format!("load {}, {share:.2} % stolen since boot", load.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

/// Seconds since 1970 as a date, the days of which are all that is wanted.
pub fn today() -> String {
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    encke::wire::response::httpdate(seconds)
}
