//! Requests that programs have disagreed on, and what is to become of them: `tests/http_corpus/*.txt`.
//!
//! Every request goes over a socket twice, whole and byte by byte, with an honest request behind it. What is
//! refused has to be answered once and the connection closed: whatever hides behind it is never a request.
//! What is accepted has to end where the next one begins.
//!
//! ```text
//! # a remark
//!
//! what it is: VERDICT
//!   bytes, each line behind two spaces; \r \n \t \0 \xHH \\ are bytes, {3*ab} is ababab,
//!   and the end of a line is none
//! ```
//!
//! | verdict | means |
//! |---|---|
//! | `200`, `204` | answered so, and the connection goes on |
//! | `200 "text"` | and exactly that text was published |
//! | `200 close` | answered so, and the connection ends |
//! | `400 code` | refused with that code, and the connection ends |
//! | `404 code keep` | refused, but understood: the connection goes on |
//! | `200 then VERDICT` | the bytes are two requests, and the second is judged so |
//! | `wait` | not a request yet, and none when the peer ends |

mod common;

use std::fs;
use std::path::Path;

use common::{Running, serve};
use serde_json::Value;

/// Comes behind every request of the corpus.
const NEXT: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Longer ones are not sent byte by byte.
const BYTEWISE_MAX: usize = 1_000;

struct Case {
    name: String,
    verdict: String,
    bytes: Vec<u8>,
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(bytes) = line.strip_prefix("  ") {
            let case = cases.last_mut().expect("a name before its bytes");
            case.bytes.extend(unescape(&repeat(bytes)));
        } else {
            let (name, verdict) = line.rsplit_once(": ").unwrap_or_else(|| panic!("no verdict: {line}"));
            cases.push(Case { name: name.to_owned(), verdict: verdict.to_owned(), bytes: Vec::new() });
        }
    }
    cases
}

/// `{3*ab}` becomes `ababab`; a brace without a number is a brace.
fn repeat(line: &str) -> String {
    let found = line.split_once('{').and_then(|(before, rest)| {
        let (inner, after) = rest.split_once('}')?;
        let (count, unit) = inner.split_once('*')?;
        Some(format!("{before}{}{after}", unit.repeat(count.parse().ok()?)))
    });
    found.unwrap_or_else(|| line.to_owned())
}

fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("no byte: {line}"))
            }
            _ => panic!("no escape: {line}"),
        });
    }
    bytes
}

/// What was published last, and its id.
fn latest(server: &Running) -> Option<Value> {
    server.get_as_operator("/channels/a/history?limit=1").json()["messages"].get(0).cloned()
}

/// The pieces that a case is sent in: one, and one for each byte.
fn ways(case: &Case, next: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let bytes = [&case.bytes, next].concat();
    let bytewise = (bytes.len() <= BYTEWISE_MAX).then(|| bytes.iter().map(|byte| vec![*byte]).collect());
    [vec![bytes]].into_iter().chain(bytewise).collect()
}

/// Whether a case comes out as its verdict says; how it did not, otherwise.
fn judge(server: &Running, case: &Case) -> Result<(), String> {
    let (first, second) = match case.verdict.split_once(" then ") {
        Some((first, second)) => (Some(first), second),
        None => (None, &*case.verdict),
    };
    let words: Vec<&str> = second.split(' ').collect();
    let (is_wait, says) = (words[0] == "wait", |word: &str| words.contains(&word));
    let published: Option<Value> =
        first.unwrap_or(second).split_once(' ').and_then(|(_, it)| serde_json::from_str(it).ok());
    let is_refusal = words[0].parse::<u16>().is_ok_and(|status| status >= 400);
    for pieces in ways(case, if is_wait { b"" } else { NEXT }) {
        let before = latest(server);
        let mut client = server.connect();
        // Who refuses may close before all is sent.
        let _ = pieces.iter().all(|piece| client.try_send(piece));
        client.half_close();
        let mut answers = client.responses();
        if let Some(first) = first {
            let answer = (!answers.is_empty()).then(|| answers.remove(0).status.to_string());
            if answer.is_none_or(|status| first.split(' ').next() != Some(&*status)) {
                return Err(format!("{} pieces: the first of two is not {first}", pieces.len()));
            }
        }
        let statuses: Vec<String> = answers.iter().map(|answer| answer.status.to_string()).collect();
        let is_right = match () {
            // A peer that ends in the middle may be told so.
            () if is_wait => statuses.iter().all(|status| status.starts_with('4')),
            () if says("close") || (is_refusal && !says("keep")) => statuses == [words[0]],
            () => statuses == [words[0], "200"],
        };
        let code = if is_refusal && is_right { answers[0].code() } else { String::new() };
        let after = latest(server);
        let is_published = match &published {
            Some(data) => after != before && after.as_ref().is_some_and(|message| message["data"] == *data),
            None => after == before,
        };
        if !is_right || !is_published || (is_refusal && code != words[1]) {
            return Err(format!("{} pieces: {statuses:?} {code} {after:?}", pieces.len()));
        }
    }
    Ok(())
}

#[test]
fn every_request_of_the_corpus_has_its_verdict() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http_corpus");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    // The corpus calls the server by many names, and the key is not what it tries.
    let server = serve(|config| config.open_publish = true);
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in files {
        let text = fs::read_to_string(&file).expect("text");
        for case in cases(&text) {
            count += 1;
            if let Err(how) = judge(&server, &case) {
                let family = file.file_stem().expect("a name").to_string_lossy();
                wrong.push(format!("{family}: {}: {}\n    {how}", case.name, case.verdict));
            }
        }
    }
    assert!(count > 300, "only {count} requests were found");
    assert!(wrong.is_empty(), "{} of {count} come out differently:\n{}", wrong.len(), wrong.join("\n"));
}
