//! Runs what README.md tells a newcomer to type, so that it keeps working.
//!
//! Every fenced block marked `sh` is run from top to bottom, as it stands, but for this:
//! - `cargo run --release`, alone in a block and with any flags, starts the program as it was built for this
//!   test, on a free port; the blocks below talk to it until another one starts it anew;
//! - `:8080` becomes that port;
//! - a line that begins with `curl -N`, which never ends by itself, is ended after a moment, and the block
//!   must have printed something;
//! - a line that begins with any other `curl` fails when the answer is an HTTP error.
//!
//! A block that can't be run here says so, with the reason, on the line above it:
//! `<!-- not run: needs root -->`. A reader of the rendered page doesn't see that line.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// From the start of the program to the line that says where it listens.
const START: Duration = Duration::from_secs(10);
/// How long a stream is read, in seconds: enough for its first event on a loaded machine.
const STREAM_S: u32 = 2;
const START_COMMAND: &str = "cargo run --release";
const EXCUSE: &str = "<!-- not run:";

#[derive(Debug, PartialEq)]
struct Block {
    line: usize,
    text: String,
    /// Why it isn't run.
    excuse: Option<String>,
}

/// The blocks marked `sh`, each with the excuse that stands directly above it.
fn blocks(page: &str) -> Vec<Block> {
    let mut all = vec![];
    let mut excuse: Option<String> = None;
    let mut lines = page.lines().enumerate();
    while let Some((n, line)) = lines.next() {
        let line = line.trim();
        let above = excuse.take();
        if let Some(reason) = line.strip_prefix(EXCUSE) {
            excuse = Some(reason.trim_end_matches("-->").trim().to_string());
        } else if let Some(language) = line.strip_prefix("```") {
            let inside = lines.by_ref().map(|(_, line)| line.trim_start()).take_while(|line| *line != "```");
            let text = inside.collect::<Vec<_>>().join("\n");
            if language == "sh" {
                all.push(Block { line: n + 1, text, excuse: above });
            }
        }
    }
    all
}

/// The flags of a block that does nothing but start the program.
fn start_flags(text: &str) -> Option<Vec<String>> {
    let rest = text.trim().strip_prefix(START_COMMAND).filter(|rest| !rest.contains('\n'))?.trim();
    let flags = rest.strip_prefix("--").filter(|_| !rest.starts_with("---")).unwrap_or(rest);
    Some(flags.split_whitespace().map(str::to_string).collect())
}

/// The block as it's given to the shell.
fn runnable(text: &str, port: u16) -> String {
    let adapted = text.lines().map(|line| {
        if let Some(rest) = line.strip_prefix("curl -N ") {
            return format!("curl -sS -N --max-time {STREAM_S} {rest} || test $? -eq 28");
        }
        line.strip_prefix("curl ")
            .map_or(line.to_string(), |rest| format!("curl -sS --fail-with-body {rest}"))
    });
    adapted.collect::<Vec<_>>().join("\n").replace(":8080", &format!(":{port}"))
}

/// The program, ended when this is dropped.
struct Running {
    child: Child,
    port: u16,
}

impl Running {
    /// None if it was only asked something (`--help`) and has answered.
    fn start(flags: &[String]) -> Result<Option<Self>, String> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_encke"))
            .args(flags)
            .args(["--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let said = child.stdout.take().ok_or("no stdout")?;
        let mut running = Running { child, port: 0 };
        let (tell, told) = mpsc::channel();
        // Reads on after the address, so that the program never writes into a closed pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                let address = line.split("listens at http://127.0.0.1:").nth(1);
                let port = address.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
                if let Some(port) = port.and_then(|port| port.parse().ok()) {
                    let _ = tell.send(port);
                }
            }
        });
        match told.recv_timeout(START) {
            Ok(port) => running.port = port,
            Err(RecvTimeoutError::Disconnected) if running.child.wait().is_ok_and(|how| how.success()) => {
                return Ok(None);
            }
            Err(_) => return Err("it names no address on stdout".to_string()),
        }
        Ok(Some(running))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(text: &str, port: u16, folder: &Path) -> Result<(), String> {
    let output = Command::new("sh")
        .args(["-e", "-c", &runnable(text, port)])
        .current_dir(folder)
        .env_remove("http_proxy")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{}\n{said}{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    if text.contains("curl -N") && said.trim().is_empty() {
        return Err("the stream printed nothing".to_string());
    }
    Ok(())
}

/// What is wrong with a page; every block is tried, from this folder.
fn complaints(page: &str, folder: &Path) -> Vec<String> {
    let mut all = vec![];
    let mut server: Option<Running> = None;
    for block in blocks(page) {
        let result = match (&block.excuse, start_flags(&block.text)) {
            (Some(reason), _) if reason.is_empty() => Err("`not run` without a reason".to_string()),
            (Some(_), _) => Ok(()),
            (None, Some(flags)) => {
                server = None;
                Running::start(&flags).map(|running| server = running)
            }
            (None, None) => match &server {
                Some(running) => run(&block.text, running.port, folder),
                // Never towards a server that this test didn't start.
                None if block.text.contains(":8080") => {
                    Err("no block above it starts the program".to_string())
                }
                None => run(&block.text, 0, folder),
            },
        };
        if let Err(what) = result {
            all.push(format!("README.md:{}: {what}\n{}", block.line, block.text));
        }
    }
    all
}

#[test]
fn what_the_readme_says_works() {
    // `cargo test` alone promises to need nothing but cargo; `tests/run` installs curl.
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: the README's commands use curl, and this machine has none");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(page) = std::fs::read_to_string(root.join("README.md")) else {
        println!("there is no README.md yet");
        return;
    };
    // It keeps a key where the program was built, which may be elsewhere.
    std::fs::create_dir_all(root.join("target")).expect("a folder");
    assert!(blocks(&page).iter().any(|block| block.excuse.is_none()), "README.md has no block that is run");
    let all = complaints(&page, root);
    assert!(all.is_empty(), "\n{}", all.join("\n\n"));
}

#[test]
fn blocks_are_found_with_their_excuses() {
    let page = "# A\n\n```sh\ncurl a\n```\n\n<!-- not run: needs root -->\n```sh\n  apt b\n  c\n```\n\n\
                ```json\n{}\n```\n";
    let excuse = Some("needs root".to_string());
    assert_eq!(
        blocks(page),
        [
            Block { line: 3, text: "curl a".into(), excuse: None },
            Block { line: 8, text: "apt b\nc".into(), excuse },
        ]
    );
}

#[test]
fn a_start_is_told_from_other_commands() {
    assert_eq!(start_flags("cargo run --release\n"), Some(vec![]));
    assert_eq!(start_flags("cargo run --release -- --jsonp"), Some(vec!["--jsonp".to_string()]));
    assert_eq!(start_flags("cargo run --release\ncurl a"), None);
    assert_eq!(start_flags("cargo build"), None);
}

#[test]
fn commands_are_pointed_at_the_program() {
    assert_eq!(runnable("curl -d hi localhost:8080/a", 9), "curl -sS --fail-with-body -d hi localhost:9/a");
    assert!(runnable("curl -N 'localhost:8080/s'", 9).ends_with("'localhost:9/s' || test $? -eq 28"));
    assert_eq!(runnable("echo a", 9), "echo a");
}

#[test]
fn a_block_that_fails_is_found() {
    let here = Path::new(".");
    assert_eq!(complaints("```sh\ntrue\n```\n", here), Vec::<String>::new());
    assert_eq!(complaints("```sh\nfalse\ntrue\n```\n", here).len(), 1);
    assert_eq!(complaints("```sh\ncurl localhost:8080/\n```\n", here).len(), 1);
    let asked = "```sh\ncargo run --release -- --help\n```\n";
    assert_eq!(complaints(asked, here), Vec::<String>::new());
    assert_eq!(complaints(&format!("{asked}```sh\ncurl localhost:8080/\n```\n"), here).len(), 1);
    assert_eq!(complaints("```sh\ncargo run --release -- --nonsense\n```\n", here).len(), 1);
    assert_eq!(complaints("<!-- not run: -->\n```sh\nfalse\n```\n", here).len(), 1);
    assert_eq!(complaints("<!-- not run: it fails -->\n```sh\nfalse\n```\n", here), Vec::<String>::new());
}
