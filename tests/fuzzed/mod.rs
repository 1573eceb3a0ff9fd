//! What is true for any input: one function a format or machine, which panics where it is not.
//!
//! It knows no fuzzer. `fuzz/fuzz_targets` calls these functions with what libFuzzer makes up, `tests/corpus.rs`
//! with every file of `fuzz/corpus`, so that what was found once is looked at again by each run of the tests.
//! Read first: `docs/fuzzing.md`.
//!
//! | file | checks |
//! |---|---|
//! | `http` | request heads, bodies, targets, response heads, the handshake |
//! | `grammar` | request heads once more, line by line |
//! | `ws` | frames and messages |
//! | `deflate` | compressed messages, extensions, the PROXY protocol |
//! | `text` | JSON, event streams, scripts, lines, polls |
//! | `hub` | messages, channels, readers |
//! | `journal` | entries and segments, over the folder of `disk` |
//! | `reactor` | outbox and wheel |
//! | `account` | what is held for peers |
//! | `peers` | forwarded addresses, queries, quotas |
//! | `chat` | pictures and nicks |
//! | `server` | sessions and the whole server, over the kernel of `memory` |

mod account;
mod chat;
mod choices;
mod deflate;
#[path = "../disk/mod.rs"]
#[allow(dead_code)]
mod disk;
mod grammar;
mod http;
mod hub;
#[path = "../common/inflate.rs"]
mod inflate;
mod journal;
mod memory;
mod peers;
mod reactor;
#[path = "../sim/rng.rs"]
#[allow(dead_code)]
mod rng;
mod server;
mod text;
mod ws;

pub use self::account::account;
pub use self::chat::{nick, picture, picture_strip};
pub use self::choices::Choices;
pub use self::deflate::{deflate, deflate_long, extensions, proxy, ws_deflated};
pub use self::http::{chunked, handshake, http_head, response, target};
pub use self::hub::{hub, message};
pub use self::journal::{journal_entry, journal_segment};
pub use self::peers::{forwarded, params, quota};
pub use self::reactor::{outbox, wheel};
pub use self::server::{server, session_split};
pub use self::text::{json, ndjson, poll, script, sse};
pub use self::ws::{ws_frames, ws_messages, ws_talk};

/// A check: it panics when something doesn't hold for this input.
pub type Check = fn(&[u8]);

/// Every check under the name of its fuzz target and its folder in `fuzz/corpus`.
pub const TARGETS: &[(&str, Check)] = &[
    ("http_head", http_head),
    ("chunked", chunked),
    ("target", target),
    ("response", response),
    ("handshake", handshake),
    ("ws_frames", ws_frames),
    ("ws_messages", ws_messages),
    ("ws_talk", ws_talk),
    ("ws_deflated", ws_deflated),
    ("deflate", deflate),
    ("deflate_long", deflate_long),
    ("extensions", extensions),
    ("proxy", proxy),
    ("json", json),
    ("sse", sse),
    ("script", script),
    ("ndjson", ndjson),
    ("poll", poll),
    ("message", message),
    ("hub", hub),
    ("journal_entry", journal_entry),
    ("journal_segment", journal_segment),
    ("outbox", outbox),
    ("wheel", wheel),
    ("account", account),
    ("forwarded", forwarded),
    ("params", params),
    ("quota", quota),
    ("picture", picture),
    ("picture_strip", picture_strip),
    ("nick", nick),
    ("session_split", session_split),
    ("server", server),
];

/// Places at which an input is cut in two: all of them in a short one, this many in a longer one.
const CUTS_MAX: usize = 48;

/// The ways in which a stream may arrive: whole, in pieces of one length, the shortest one byte, and in two
/// pieces cut at up to `cuts_max` places.
fn ways(input: &[u8], cuts_max: usize) -> impl Iterator<Item = Vec<&[u8]>> {
    let stride = input.len().div_ceil(cuts_max).max(1);
    let cuts = (1..input.len()).step_by(stride).map(|cut| input.split_at(cut)).map(|(a, b)| vec![a, b]);
    let pieces = [1, 2, 3, 7, 16].into_iter().map(|len| input.chunks(len).collect());
    std::iter::once(vec![input]).chain(pieces).chain(cuts)
}

/// Runs `read` over every way in which `input` may arrive, and returns what all of them agree on.
fn agreed<T: PartialEq + std::fmt::Debug>(input: &[u8], read: impl Fn(&[&[u8]]) -> T) -> T {
    agreed_over(ways(input, CUTS_MAX), read)
}

/// The same for a `read` that costs so much that it has to do with fewer cuts.
fn agreed_roughly<T: PartialEq + std::fmt::Debug>(input: &[u8], read: impl Fn(&[&[u8]]) -> T) -> T {
    agreed_over(ways(input, CUTS_MAX / 12), read)
}

fn agreed_over<'a, T: PartialEq + std::fmt::Debug>(
    mut ways: impl Iterator<Item = Vec<&'a [u8]>>,
    read: impl Fn(&[&[u8]]) -> T,
) -> T {
    let whole = read(&ways.next().expect("there is always the whole"));
    for way in ways {
        let lengths: Vec<usize> = way.iter().map(|piece| piece.len()).collect();
        assert_eq!(read(&way), whole, "cut into {lengths:?}");
    }
    whole
}
