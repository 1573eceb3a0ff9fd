//! The program itself, as a system starts and stops it: descriptors, signals.

#![cfg(target_os = "linux")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};

use common::Client;

/// The program, started by a line of shell that ends in `exec "$0" "$@"`; ended when this is dropped.
struct Program {
    child: Child,
    address: SocketAddr,
    complaints: BufReader<ChildStderr>,
}

impl Program {
    fn start(shell: &str, flags: &[&str]) -> Program {
        let mut child = Command::new("sh")
            .args([
                "-e",
                "-c",
                &format!("{shell} exec \"$0\" \"$@\""),
                env!("CARGO_BIN_EXE_encke"),
                "--port",
                "0",
            ])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell");
        let complaints = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it says where it listens");
        let address =
            line.trim_end().rsplit_once("http://").expect("an address").1.parse().expect("an address");
        Program { child, address, complaints }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    fn complaint(&mut self) -> String {
        let mut line = String::new();
        self.complaints.read_line(&mut line).expect("it complains");
        line
    }

    /// A stream that has been welcomed.
    fn reader(&self) -> Client {
        let mut reader = Client::connect(self.address);
        reader.send("GET /stream?ch=a HTTP/1.1\r\nHost: localhost\r\n\r\n");
        reader.until("\"welcome\"");
        reader
    }

    fn serves(&self) -> bool {
        Client::connect(self.address).get("/healthz").status == 200
    }

    /// It ends by itself: its readers are told goodbye, and the exit status is that of success.
    #[track_caller]
    fn ends(mut self, mut reader: Client, how: &str) {
        let last = String::from_utf8(reader.rest()).expect("UTF-8");
        assert!(last.contains("\"type\":\"bye\""), "{how}: {last}");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{how}: {status}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_soft_limit_of_descriptors_is_raised() {
    let program = Program::start("ulimit -Sn 64;", &["--connections", "200"]);
    let mut clients: Vec<Client> = (0..150).map(|_| Client::connect(program.address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/healthz").status, 200, "64 descriptors are not enough for 150 connections");
    }
}

#[test]
fn what_the_hard_limit_does_not_allow_is_told() {
    let mut program = Program::start("ulimit -n 160;", &["--connections", "5000"]);
    let said = program.complaint();
    for part in ["160 files", "64 connections", "5000", "LimitNOFILE=5096", "--connections 64"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Those that fit are served; the next one is answered, instead of waiting for a descriptor.
    let readers: Vec<Client> = (0..64).map(|_| program.reader()).collect();
    assert_eq!(Client::connect(program.address).response().status, 503);
    drop(readers);
}

#[test]
fn signals_that_ask_for_an_end_get_a_good_one() {
    for name in ["TERM", "INT", "QUIT", "ALRM", "XCPU"] {
        let program = Program::start("", &[]);
        let reader = program.reader();
        program.signal(name);
        program.ends(reader, name);
    }
}

#[test]
fn signals_that_ask_for_something_else_end_nothing() {
    let mut program = Program::start("", &[]);
    for name in ["USR1", "USR2"] {
        program.signal(name);
        let said = program.complaint();
        assert!(said.contains(&format!("SIG{name}")), "{said}");
        assert!(program.serves(), "{name}");
    }
    program.signal("XFSZ");
    assert!(program.serves());
}

/// With the terminal that it was started from it ends, and in good order; without one there is nothing to end
/// with, and whoever has said `nohup` has said it.
#[test]
fn a_hangup_means_the_terminal() {
    let mut program = Program::start("", &[]);
    let reader = program.reader();
    program.signal("HUP");
    if std::fs::File::open("/dev/tty").is_ok() {
        program.ends(reader, "HUP");
    } else {
        assert!(program.complaint().contains("SIGHUP"));
        assert!(program.serves());
    }

    let program = Program::start("trap '' HUP;", &[]);
    let reader = program.reader();
    program.signal("HUP");
    program.signal("TERM");
    program.ends(reader, "TERM after an ignored HUP");
}

#[test]
fn a_closed_terminal_is_a_good_end() {
    // `script` gives the program a terminal, and closes it when it is ended itself.
    let program = env!("CARGO_BIN_EXE_encke");
    let started = Command::new("script")
        .args(["-qefc", &format!("exec {program} --port 0"), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut terminal) = started else {
        eprintln!("no `script` on this machine");
        return;
    };
    let mut said = BufReader::new(terminal.stdout.take().expect("a pipe"));
    let mut line = String::new();
    said.read_line(&mut line).expect("it says where it listens");
    let address = line.trim_end().rsplit_once("http://").expect("an address").1.parse().expect("an address");
    let mut reader = Client::connect(address);
    reader.send("GET /stream?ch=a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    reader.until("\"welcome\"");
    terminal.kill().expect("it runs");
    terminal.wait().expect("it ends");
    let last = String::from_utf8(reader.rest()).expect("UTF-8");
    assert!(last.contains("\"type\":\"bye\""), "{last}");
    let _ = said.read_to_string(&mut line);
}
