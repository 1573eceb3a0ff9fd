//! Keeps the rules of the house, so that a newcomer can trust the picture in `src/lib.rs`.
//!
//! Every rule is a small function from a path and a text to complaints. The house is checked by
//! `the_house_is_tidy`; the checker itself by the tests below it, each of which shows it something untidy.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a source file above its tests.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 60;
/// Characters of a line. rustfmt keeps code within it; this keeps comments and strings too.
const LINE_CHARS_MAX: usize = 110;

/// Functions that are longer than the rule allows, as `path::name`. A ratchet: entries may only go.
const LONG_FUNCTIONS: &[&str] = &[];
/// Files that are longer than the rule allows. A ratchet: entries may only go.
const LONG_FILES: &[&str] = &[];

/// What a pillar must not name: each other, and the floors above.
const FLOORS: &[&str] = &["reactor", "wire", "hub", "server", "chat", "ops"];
const PILLARS: &[&str] = &["reactor", "wire", "hub", "journal"];

/// What `chat/` may take from the crate: the surface any application gets.
const APP_SURFACE: &[&str] = &[
    "server::App",
    "server::ChannelInfo",
    "server::ClientId",
    "server::Command",
    "server::Ctx",
    "server::Kept",
    "server::Message",
    "server::Object",
    "server::Refusal",
    "server::Request",
    "server::Response",
    "server::Shared",
    "server::same_bytes",
    "chat",
    "limits",
    "web",
];

/// Sockets and clocks, allowed only where the machine is touched.
const MACHINE: &[&str] = &[
    "mio",
    "socket2",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::os::unix::net",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::thread::sleep",
];
const MACHINE_ROOMS: &[&str] = &["src/reactor/io.rs", "src/journal/disk.rs", "src/ops/", "src/main.rs"];
/// Files, allowed in the journal only where it touches the machine.
const JOURNAL_MACHINE: &[&str] = &["std::fs", "std::os", "rustix"];

/// What may stand at the top of the repository; names that begin with a dot are not looked at.
const TOP: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "benches",
    "docs",
    "examples",
    "fuzz",
    "src",
    "tests",
];

/// A source file in the three forms the rules look at, line by line alike.
struct Source<'a> {
    path: &'a str,
    text: &'a str,
    /// The text with comments and the insides of strings blanked out, its tests cut off.
    code: String,
}

impl<'a> Source<'a> {
    fn new(path: &'a str, text: &'a str) -> Self {
        let code = without_tests(&blank(text)).to_string();
        Source { path, text, code }
    }

    fn says(&self, line: usize, what: impl AsRef<str>) -> String {
        format!("{}:{line}: {}", self.path, what.as_ref())
    }

    /// `reactor` for `src/reactor/io.rs`; `""` for a file that stands in `src` itself.
    fn floor(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(self.path);
        inside.split_once('/').map_or("", |(floor, _)| floor)
    }
}

/// Every rule about one source file.
fn complaints(path: &str, text: &str) -> Vec<String> {
    let source = Source::new(path, text);
    let rules = [
        opens_with_its_purpose,
        keeps_its_floor,
        machine_in_its_rooms,
        files_in_their_room,
        no_shortcuts,
        sizes,
        whitespace,
    ];
    let mut all: Vec<String> = rules.iter().flat_map(|rule| rule(&source)).collect();
    if path == "src/limits.rs" || path.starts_with("src/limits/") {
        all.extend(limits_have_reasons(&source));
    }
    all
}

fn opens_with_its_purpose(source: &Source<'_>) -> Vec<String> {
    let purpose = source.text.lines().next().and_then(|line| line.strip_prefix("//! "));
    if purpose.is_some_and(|words| words.len() > 10) {
        return vec![];
    }
    vec![source.says(1, "opens without saying what it is (`//! …`)")]
}

/// Pillars name none of each other and no floor above; chat sees the application surface alone.
fn keeps_its_floor(source: &Source<'_>) -> Vec<String> {
    let floor = source.floor();
    let mut all = vec![];
    for (line, path) in crate_paths(&source.code) {
        let room = path.split("::").next().unwrap_or_default();
        if PILLARS.contains(&floor) && room != floor && FLOORS.contains(&room) {
            all.push(source.says(line, format!("{floor}/ names `{path}`; a pillar knows no other floor")));
        }
        let surface = |allowed: &str| path == allowed || path.starts_with(&format!("{allowed}::"));
        if floor == "chat" && !APP_SURFACE.iter().any(|allowed| surface(allowed)) {
            all.push(
                source.says(line, format!("chat/ names `{path}`; it reaches the world through App and Ctx")),
            );
        }
    }
    for (n, line) in source.code.lines().enumerate() {
        let climbs = line.matches("super::super").count() > 0;
        if climbs && (PILLARS.contains(&floor) || floor == "chat") {
            all.push(source.says(n + 1, "climbs with `super::super`; name the path from `crate`"));
        }
        let foreign =
            floor == "chat" && ["mio", "slab", "httparse", "socket2"].iter().any(|w| names(line, w));
        if foreign {
            all.push(source.says(n + 1, "chat/ uses a crate of the floors below"));
        }
    }
    all
}

fn machine_in_its_rooms(source: &Source<'_>) -> Vec<String> {
    if MACHINE_ROOMS.iter().any(|room| source.path.starts_with(room)) {
        return vec![];
    }
    let mut all: Vec<String> = vec![];
    let mut complain = |line: usize, what: &str| {
        if MACHINE.contains(&what) {
            all.push(source.says(line, format!("`{what}` belongs into reactor/io.rs or ops/")));
        }
    };
    for (line, path) in use_paths(&source.code) {
        for what in MACHINE {
            if path == *what || path.starts_with(&format!("{what}::")) {
                complain(line, what);
            }
        }
    }
    for (n, line) in source.code.lines().enumerate() {
        let used = line.trim_start();
        if used.starts_with("use ") || used.starts_with("pub use ") {
            continue;
        }
        for what in MACHINE {
            // A path in the middle of code: `std::time::Instant::now()`, `mio::Token(1)`.
            if names(line, what) && (what.contains("::") || line.contains(&format!("{what}::"))) {
                complain(n + 1, what);
            }
        }
    }
    all
}

/// The journal is driven through a trait of a folder, so that the simulated disk sees all that it does.
fn files_in_their_room(source: &Source<'_>) -> Vec<String> {
    if source.floor() != "journal" || source.path == "src/journal/disk.rs" {
        return vec![];
    }
    let mut all = vec![];
    for (n, line) in source.code.lines().enumerate() {
        for what in JOURNAL_MACHINE.iter().filter(|what| names(line, what)) {
            all.push(source.says(n + 1, format!("`{what}` belongs into journal/disk.rs")));
        }
    }
    all
}

fn no_shortcuts(source: &Source<'_>) -> Vec<String> {
    let mut all = vec![];
    for (n, line) in source.code.lines().enumerate() {
        for word in [".unwrap()", "todo!", "unimplemented!", "dbg!"] {
            if line.contains(word) {
                all.push(source.says(n + 1, format!("`{word}` outside tests")));
            }
        }
        if names(line, "unsafe") {
            all.push(source.says(n + 1, "`unsafe`: this house has none"));
        }
    }
    all
}

fn sizes(source: &Source<'_>) -> Vec<String> {
    let mut all = vec![];
    let lines = source.code.lines().count();
    if lines >= FILE_LINES_MAX && !LONG_FILES.contains(&source.path) {
        all.push(
            source.says(lines, format!("{lines} lines without tests; files stay under {FILE_LINES_MAX}")),
        );
    }
    for (line, name, length) in functions(&source.code) {
        let known = LONG_FUNCTIONS.contains(&format!("{}::{name}", source.path).as_str());
        if length >= FUNCTION_LINES_MAX && !known {
            let what = format!("fn {name} has {length} lines; functions stay under {FUNCTION_LINES_MAX}");
            all.push(source.says(line, what));
        }
    }
    all
}

fn whitespace(source: &Source<'_>) -> Vec<String> {
    let mut all = vec![];
    for (n, line) in source.text.lines().enumerate() {
        if line.contains('\t') {
            all.push(source.says(n + 1, "a tab"));
        }
        if line.ends_with([' ', '\t', '\r']) {
            all.push(source.says(n + 1, "white space at the end of the line"));
        }
        if line.chars().count() > LINE_CHARS_MAX {
            all.push(source.says(n + 1, format!("wider than {LINE_CHARS_MAX} characters")));
        }
    }
    if !source.text.ends_with('\n') || source.text.ends_with("\n\n") {
        all.push(source.says(source.text.lines().count(), "ends in other than one line end"));
    }
    all
}

/// A constant of `limits.rs` has a doc comment directly above it, attributes aside.
fn limits_have_reasons(source: &Source<'_>) -> Vec<String> {
    let mut all = vec![];
    let mut documented = false;
    for (n, line) in source.text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("pub const ") && !documented {
            all.push(source.says(n + 1, "a limit without its unit and reason (`/// …`)"));
        }
        documented = line.starts_with("///") || (documented && line.starts_with("#["));
    }
    all
}

/// A dependency has a comment above it. One comment may speak for lines that follow each other directly.
fn dependencies_have_reasons(manifest: &str) -> Vec<String> {
    let mut all = vec![];
    let (mut inside, mut explained) = (false, false);
    for (n, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(table) = line.strip_prefix('[') {
            let name = table.trim_end_matches(']');
            // `[dependencies.mio]` is a dependency of its own, explained above its head.
            if name.contains("dependencies.") && !explained {
                all.push(format!("Cargo.toml:{}: [{name}] without a reason above it", n + 1));
            }
            inside = name.ends_with("dependencies");
            explained = false;
        } else if line.is_empty() {
            explained = false;
        } else if line.starts_with('#') {
            explained = true;
        } else if inside && line.contains('=') && !explained {
            let name = line.split('=').next().unwrap_or_default().trim();
            all.push(format!("Cargo.toml:{}: `{name}` without a reason above it", n + 1));
        }
    }
    all
}

fn top_is_known<'a>(entries: impl Iterator<Item = &'a str>) -> Vec<String> {
    let known: BTreeSet<&str> = TOP.iter().copied().collect();
    entries
        .filter(|name| !name.starts_with('.') && *name != "target" && !known.contains(name))
        .map(|name| format!("{name}: not an entry of the house; see TOP in tests/tidy.rs"))
        .collect()
}

// ---- reading Rust, as far as the rules need it ----

/// The text with the insides of comments, strings and character literals replaced by spaces; every line
/// keeps its number and its length in characters.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match chars[i] {
            '/' if chars.get(i + 1) == Some(&'/') => find(&chars, i, '\n'),
            '/' if chars.get(i + 1) == Some(&'*') => block_comment_end(&chars, i),
            '"' => string_end(&chars, i),
            'r' if raw_string_hashes(&chars, i).is_some() => raw_string_end(&chars, i),
            '\'' => char_literal_end(&chars, i),
            _ => i,
        };
        if end == i {
            out.push(chars[i]);
            i += 1;
        } else {
            out.extend(chars[i..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            i = end;
        }
    }
    out
}

fn find(chars: &[char], from: usize, what: char) -> usize {
    chars[from..].iter().position(|c| *c == what).map_or(chars.len(), |at| from + at)
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let (mut depth, mut i) = (0, from);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut i = from + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// The number of `#` if a raw string begins here; `r` inside a word (`for"`) does not begin one.
fn raw_string_hashes(chars: &[char], from: usize) -> Option<usize> {
    let before = if from == 0 { ' ' } else { chars[from - 1] };
    if is_word(before) && before != 'b' {
        return None;
    }
    let hashes = chars[from + 1..].iter().take_while(|c| **c == '#').count();
    (chars.get(from + 1 + hashes) == Some(&'"')).then_some(hashes)
}

fn raw_string_end(chars: &[char], from: usize) -> usize {
    let hashes = raw_string_hashes(chars, from).unwrap_or_default();
    let mut i = from + hashes + 2;
    while i < chars.len() {
        let closes =
            chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
        if closes {
            return i + 1 + hashes;
        }
        i += 1;
    }
    chars.len()
}

/// `'a'` and `'\n'` are literals; `'a` alone is a lifetime and stays.
fn char_literal_end(chars: &[char], from: usize) -> usize {
    match chars.get(from + 1) {
        Some('\\') => find(chars, from + 3, '\'').saturating_add(1).min(chars.len()),
        Some(_) if chars.get(from + 2) == Some(&'\'') => from + 3,
        _ => from,
    }
}

/// The text above its unit tests, which stand at the bottom. `mod model;` for tests is not their beginning.
fn without_tests(code: &str) -> &str {
    let mark = "#[cfg(test)]\nmod ";
    let start = code.match_indices(mark).find(|(at, _)| {
        let name = code[at + mark.len()..].trim_start_matches(is_word);
        name.trim_start().starts_with('{')
    });
    start.map_or(code, |(at, _)| &code[..at])
}

/// The names of modules that exist for tests only: `#[cfg(test)]` above `mod model;`.
fn test_modules(code: &str) -> Vec<String> {
    let after = code.split("#[cfg(test)]\nmod ").skip(1);
    let named = after.filter_map(|rest| rest.split_once(';').map(|(name, _)| name));
    named.filter(|name| name.chars().all(is_word)).map(str::to_string).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether the line names the path or word, as a word of its own.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(|c| is_word(c) || c == ':' || c == '.') && !after.is_some_and(is_word)
    })
}

/// Every path that begins with `crate::`, without that word, groups spread out: `(line, "hub::log::Log")`.
fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let mut all = vec![];
    for (at, word) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        for path in spread(&code[at + word.len()..]) {
            all.push((line, path));
        }
    }
    all
}

/// Every path named by a `use`, groups spread out.
fn use_paths(code: &str) -> Vec<(usize, String)> {
    let mut all = vec![];
    let mut at = 0;
    for (n, line) in code.split_inclusive('\n').enumerate() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let head = ["use ", "pub use ", "pub(crate) use "].iter().find(|head| trimmed.starts_with(**head));
        if let Some(head) = head {
            all.extend(spread(&code[at + indent + head.len()..]).into_iter().map(|path| (n + 1, path)));
        }
        at += line.len();
    }
    all
}

/// Reads one path at the beginning of `rest`: `a::{b, c::{d, e}}` becomes `a::b`, `a::c::d`, `a::c::e`.
fn spread(rest: &str) -> Vec<String> {
    let stem_end = rest.find(|c: char| !is_word(c) && c != ':').unwrap_or(rest.len());
    let stem = &rest[..stem_end];
    let Some(group) = rest[stem_end..].strip_prefix('{').filter(|_| stem.is_empty() || stem.ends_with("::"))
    else {
        return vec![stem.trim_end_matches(':').to_string()];
    };
    let mut all = vec![];
    let (mut depth, mut start) = (0, 0);
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let part = group[start..i].trim();
                if !part.is_empty() {
                    all.extend(spread(part).into_iter().map(|inner| format!("{stem}{inner}")));
                }
                start = i + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    all
}

/// Every function with a body: the line of its `fn`, its name, and its length in lines.
fn functions(code: &str) -> Vec<(usize, String, usize)> {
    let mut all = vec![];
    for (at, _) in code.match_indices("fn ") {
        let starts_word = !code[..at].chars().next_back().is_some_and(is_word);
        let name: String = code[at + 3..].chars().take_while(|c| is_word(*c)).collect();
        // `fn (u8)` is the type of a pointer; a `;` before any `{` ends a trait's method without a body.
        let Some(open) = code[at..].find(['{', ';']).map(|found| at + found) else { continue };
        if !starts_word || name.is_empty() || code[open..].starts_with(';') {
            continue;
        }
        let mut depth = 0;
        let close = code[open..].char_indices().find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            depth == 0
        });
        let end = close.map_or(code.len(), |(offset, _)| open + offset);
        let line = code[..at].matches('\n').count() + 1;
        all.push((line, name, code[at..end].matches('\n').count() + 1));
    }
    all
}

// ---- the house ----

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).and_then(|all| all.map(|entry| Ok(entry?.path())).collect());
    all.unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in entries(folder) {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_house_is_tidy() {
    let root = root();
    let mut files = vec![];
    rust_files(&root.join("src"), &mut files);
    assert!(files.len() > 3, "the sources were not found");
    files.sort();
    let texts: Vec<String> = files.iter().map(|file| read(file)).collect();
    let test_files: BTreeSet<PathBuf> = files
        .iter()
        .zip(&texts)
        .flat_map(|(file, text)| {
            let own = file.with_extension("");
            let folder =
                if file.ends_with("mod.rs") || file.ends_with("lib.rs") { own.parent() } else { Some(&*own) };
            let folder = folder.expect("a file has a folder").to_path_buf();
            test_modules(&blank(text)).into_iter().map(move |name| folder.join(name + ".rs"))
        })
        .collect();

    let mut all = vec![];
    for (file, text) in files.iter().zip(&texts) {
        let path = file.strip_prefix(&root).expect("inside").to_string_lossy().replace('\\', "/");
        let found = complaints(&path, text);
        all.extend(found.into_iter().filter(|_| !test_files.contains(file)));
    }
    all.extend(dependencies_have_reasons(&read(&root.join("Cargo.toml"))));
    let top: Vec<String> = entries(&root)
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    all.extend(top_is_known(top.iter().map(String::as_str)));
    assert!(all.is_empty(), "\n{}\n", all.join("\n"));
}

// ---- the checker itself: it must be able to fail ----

const HEAD: &str = "//! A sample for the checker.\n\n";

#[track_caller]
fn assert_complains(path: &str, body: &str, about: &str) {
    let all = complaints(path, &format!("{HEAD}{body}"));
    assert!(all.iter().any(|one| one.contains(about)), "no complaint about {about:?} in {all:?}");
}

#[track_caller]
fn assert_silent(path: &str, body: &str) {
    assert_eq!(complaints(path, &format!("{HEAD}{body}")), Vec::<String>::new());
}

#[test]
fn a_file_without_purpose_is_found() {
    assert_eq!(complaints("src/wire/x.rs", "fn a() {}\n").len(), 1);
    assert_eq!(complaints("src/wire/x.rs", "//! x\nfn a() {}\n").len(), 1);
}

#[test]
fn a_pillar_that_looks_out_is_found() {
    assert_complains("src/wire/ws.rs", "use crate::hub::log::Log;\n", "names `hub::log::Log`");
    assert_complains("src/hub/log.rs", "fn a() { crate::wire::sse::emit(); }\n", "names `wire::sse::emit`");
    assert_complains("src/reactor/mod.rs", "use crate::{limits, server::Ctx};\n", "names `server::Ctx`");
    assert_complains("src/reactor/mod.rs", "use crate::{\n    limits,\n    ops,\n};\n", "names `ops`");
    assert_complains("src/hub/log.rs", "use super::super::wire;\n", "super::super");
    assert_silent("src/hub/log.rs", "use crate::hub::message::Message;\nuse crate::limits::X;\n");
    assert_silent("src/server/mod.rs", "use crate::{hub::log::Log, reactor, wire::sse};\n");
}

#[test]
fn a_comment_or_a_string_names_nothing() {
    assert_silent("src/hub/log.rs", "// crate::wire is not known here; unsafe, dbg!\n");
    assert_silent("src/hub/log.rs", "const A: &str = \"crate::wire \\\" unsafe .unwrap()\";\n");
    assert_silent(
        "src/hub/log.rs",
        "const A: &str = r#\"crate::wire \" unsafe\"#;\n/* a /* dbg! */ todo! */\n",
    );
    assert_silent("src/hub/log.rs", "fn a<'a>(b: &'a str) -> bool { b.contains('\"') }\n");
    assert_complains("src/hub/log.rs", "const A: char = '\"';\nuse crate::wire;\n", "names `wire`");
}

#[test]
fn a_chat_that_reaches_below_is_found() {
    assert_complains("src/chat/mod.rs", "use crate::hub::log::Log;\n", "through App and Ctx");
    assert_complains("src/chat/mod.rs", "use crate::server::session::Session;\n", "through App and Ctx");
    assert_complains("src/chat/mod.rs", "use slab::Slab;\n", "crate of the floors below");
    assert_silent("src/chat/mod.rs", "use crate::server::{App, Ctx};\nuse serde_json::Value;\n");
}

#[test]
fn a_socket_or_a_clock_outside_its_room_is_found() {
    assert_complains("src/hub/log.rs", "use std::time::Instant;\n", "std::time::Instant");
    assert_complains("src/hub/log.rs", "use std::time::{Duration, SystemTime};\n", "std::time::SystemTime");
    assert_complains("src/server/mod.rs", "fn a() { std::time::Instant::now(); }\n", "std::time::Instant");
    assert_complains("src/server/mod.rs", "use std::net::{IpAddr, TcpStream};\n", "std::net::TcpStream");
    assert_complains("src/reactor/mod.rs", "use mio::Token;\n", "`mio`");
    assert_complains("src/reactor/mod.rs", "fn a() -> mio::Token { mio::Token(1) }\n", "`mio`");
    assert_silent("src/reactor/io.rs", "use mio::Token;\nuse std::time::Instant;\n");
    assert_silent("src/ops/run.rs", "use std::net::TcpListener;\n");
    assert_silent("src/server/mod.rs", "use std::net::{IpAddr, SocketAddr};\nuse std::time::Duration;\n");
    assert_silent("src/hub/log.rs", "use crate::reactor_like::time;\n");
}

#[test]
fn a_journal_that_touches_files_or_floors_is_found() {
    assert_complains("src/journal/store.rs", "use std::fs::File;\n", "`std::fs`");
    assert_complains("src/journal/store.rs", "fn a() { rustix::fs::sync(); }\n", "`rustix`");
    assert_complains("src/journal/store.rs", "use crate::hub::Hub;\n", "names `hub::Hub`");
    assert_complains("src/journal/store.rs", "use std::time::Instant;\n", "std::time::Instant");
    assert_silent("src/journal/disk.rs", "use std::fs::File;\nuse std::time::Instant;\n");
    assert_silent("src/ops/key.rs", "use std::fs::File;\n");
}

#[test]
fn shortcuts_are_found_outside_tests_only() {
    assert_complains("src/hub/log.rs", "fn a(b: Option<u8>) -> u8 { b.unwrap() }\n", ".unwrap()");
    assert_complains("src/hub/log.rs", "fn a() { todo!() }\n", "todo!");
    assert_complains("src/hub/log.rs", "fn a() { dbg!(1); }\n", "dbg!");
    assert_complains("src/hub/log.rs", "fn a() { unsafe {} }\n", "unsafe");
    assert_silent("src/hub/log.rs", "#![forbid(unsafe_code)]\n");
    assert_silent(
        "src/hub/log.rs",
        "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() { Some(1).unwrap(); }\n}\n",
    );
}

#[test]
fn sizes_are_found() {
    let line = "    a();\n";
    let long = format!("fn a() {{\n{}}}\n", line.repeat(FUNCTION_LINES_MAX));
    assert_complains("src/hub/log.rs", &long, "fn a has 62 lines");
    assert_silent("src/hub/log.rs", &format!("fn a() {{\n{}}}\n", line.repeat(FUNCTION_LINES_MAX - 3)));
    assert_complains("src/hub/log.rs", &"const A: u8 = 1;\n".repeat(FILE_LINES_MAX), "lines without tests");
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "const A: u8 = 1;\n".repeat(FILE_LINES_MAX));
    assert_silent("src/hub/log.rs", &format!("fn a() {{}}\n\n{tests}"));
}

#[test]
fn functions_without_a_body_have_no_length() {
    let code = "trait T {\n    fn a(&self);\n    fn b(&self) {\n        1\n    }\n}\nfn c(f: fn(u8)) {}\n";
    let found = functions(code);
    assert_eq!(found, [(3, "b".to_string(), 3), (7, "c".to_string(), 1)]);
}

#[test]
fn white_space_is_found() {
    assert_complains("src/hub/log.rs", "fn a() {\n\tb();\n}\n", "a tab");
    assert_complains("src/hub/log.rs", "fn a() {} \n", "at the end of the line");
    assert_complains("src/hub/log.rs", &format!("// {}\n", "x".repeat(LINE_CHARS_MAX)), "wider than");
    assert_complains("src/hub/log.rs", "fn a() {}\n\n", "other than one line end");
}

#[test]
fn a_limit_without_reason_is_found() {
    assert_complains("src/limits.rs", "pub const A: usize = 1;\n", "a limit without");
    assert_complains(
        "src/limits.rs",
        "/// Reason.\npub const A: usize = 1;\npub const B: usize = 1;\n",
        ":5:",
    );
    assert_silent("src/limits.rs", "/// Reason.\n#[allow(dead_code)]\npub const A: usize = 1;\n");
}

#[test]
fn a_dependency_without_reason_is_found() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\n# Why.\na = \"1\"\nb = \"1\"\n\nc = \"1\"\n";
    assert_eq!(dependencies_have_reasons(manifest), ["Cargo.toml:9: `c` without a reason above it"]);
    assert_eq!(dependencies_have_reasons("[dev-dependencies]\na = \"1\"\n").len(), 1);
    assert_eq!(dependencies_have_reasons("[dependencies.a]\nversion = \"1\"\n").len(), 1);
}

#[test]
fn a_stranger_at_the_top_is_found() {
    assert_eq!(top_is_known(["src", ".ci", "target", "notes.txt"].into_iter()).len(), 1);
}

#[test]
fn modules_for_tests_are_known() {
    assert_eq!(
        test_modules("mod a;\n#[cfg(test)]\nmod model;\n#[cfg(test)]\nmod tests {\n    use b;\n}\n"),
        ["model"]
    );
}

#[test]
fn groups_are_spread() {
    assert_eq!(spread("a::{b, c::{d, e as f}, self};"), ["a::b", "a::c::d", "a::c::e", "a::self"]);
    assert_eq!(spread("a::b::C;"), ["a::b::C"]);
}
