//! The publish key: drawn at the start, kept in a file, or given; and whether it is worth anything.
//!
//! It knows no request. A key that nobody chose is drawn from the system's random source. One that people
//! choose may be weak, and those who search for it are counted by address, of which they may have many.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::reactor::io::entropy;

/// Bytes of a key that is drawn: 144 bits, which nobody finds by trying.
const DRAWN_KEY_BYTES: usize = 18;

/// Characters below which a key that people chose is called weak. Sixteen random ones have 96 bits; a shorter
/// key is mostly a word or two, and those are tried first.
const WEAK_KEY_CHARS: usize = 16;

/// Different characters below which it is called weak, too: sixteen random hexadecimal digits have ten of
/// them.
const WEAK_KEY_DISTINCT: usize = 6;

/// Characters below which a key is refused where strangers may come. At one try a second (`FAILURES_RATE`)
/// from each of 65,536 networks of IPv6 all keys of seven lower-case letters are tried in a day and a half.
const PUBLIC_KEY_CHARS_MIN: usize = 8;

/// Bytes of a file with a key: more than anybody's key has.
const KEY_FILE_BYTES_MAX: u64 = 4_096;

/// What makes a good key, for those who have none.
const GOOD: &str = "`openssl rand -base64 18` makes a good one, --publish-key-file makes and keeps one";

/// A key that nobody knows yet.
pub(super) fn draw() -> String {
    let mut bytes = [0; DRAWN_KEY_BYTES];
    entropy(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key as it can be sent in a field.
///
/// # Errors
/// It can't be: the sentence names where it came from.
pub(super) fn parse(from: &str, text: &str) -> Result<String, String> {
    let is_sendable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_sendable
        .then(|| text.to_owned())
        .ok_or_else(|| format!("{from} takes visible ASCII characters without spaces"))
}

/// The key that a file holds. If there is no file, it is made, with a new key, for its owner alone.
///
/// # Errors
/// The file can't be read or made, or holds no key: the sentence says so.
pub(super) fn of_file(path: &Path) -> Result<String, String> {
    let shown = path.display();
    match make(path) {
        Ok(key) => return Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(format!("can't make the key file {shown}: {error}")),
    }
    let mut text = String::new();
    let file = File::open(path).and_then(|file| file.take(KEY_FILE_BYTES_MAX + 1).read_to_string(&mut text));
    file.map_err(|error| format!("can't read the key file {shown}: {error}"))?;
    if text.len() as u64 > KEY_FILE_BYTES_MAX {
        return Err(format!("the key file {shown} is longer than {KEY_FILE_BYTES_MAX} bytes"));
    }
    parse(&format!("the key file {shown}"), text.trim_ascii())
}

/// Makes the file with a new key, unless there is one.
fn make(path: &Path) -> io::Result<String> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let key = draw();
    let written = writeln!(file, "{key}").and_then(|()| file.sync_all());
    if let Err(error) = written {
        // A file without a key would be in the way of the next start.
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(key)
}

/// What is wrong with a key that people chose, in a sentence, if anything is.
///
/// # Errors
/// The server may be reached by strangers, and the key is so short that they would find it.
pub(super) fn judge(key: &str, is_public: bool) -> Result<Option<String>, String> {
    let mut distinct = key.as_bytes().to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    if key.len() >= WEAK_KEY_CHARS && distinct.len() >= WEAK_KEY_DISTINCT {
        return Ok(None);
    }
    let sentence = format!(
        "the publish key is weak: it has {} characters, {} of them different, and should have at least \
         {WEAK_KEY_CHARS} and {WEAK_KEY_DISTINCT}; {GOOD}",
        key.len(),
        distinct.len(),
    );
    let is_refused = is_public && key.len() < PUBLIC_KEY_CHARS_MIN;
    if is_refused { Err(sentence) } else { Ok(Some(sentence)) }
}

/// Whether others than the owner and the group may read or change a file.
#[cfg(unix)]
pub(super) fn is_exposed(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o006 != 0)
}

/// No such thing is known here.
#[cfg(not(unix))]
pub(super) fn is_exposed(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("encke-key-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        path
    }

    #[test]
    fn drawn_keys_are_long_and_never_the_same() {
        let (one, other) = (draw(), draw());
        assert_ne!(one, other);
        assert_eq!(one.len() * 6, DRAWN_KEY_BYTES * 8);
        assert_eq!(parse("it", &one).as_ref(), Ok(&one));
        assert_eq!(judge(&one, true), Ok(None));
    }

    #[test]
    fn a_file_is_made_once_and_read_from_then_on() {
        let folder = folder("made");
        let path = folder.join("key");
        let key = of_file(&path).expect("it is made");
        assert_eq!(of_file(&path).as_ref(), Ok(&key), "the same at the next start");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(!is_exposed(&path));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            assert!(is_exposed(&path));
        }
        fs::write(&path, "  chosen-by-somebody\r\n").unwrap();
        assert_eq!(of_file(&path).as_deref(), Ok("chosen-by-somebody"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_without_a_key_is_refused_and_left_alone() {
        let folder = folder("refused");
        let path = folder.join("key");
        let long = "x".repeat(KEY_FILE_BYTES_MAX as usize + 1);
        for (bytes, says) in [
            ("", "visible ASCII"),
            ("\n", "visible ASCII"),
            ("two words", "visible ASCII"),
            (&long, "longer"),
        ] {
            fs::write(&path, bytes).unwrap();
            assert!(of_file(&path).unwrap_err().contains(says), "{says}");
            assert_eq!(fs::read_to_string(&path).unwrap(), bytes);
        }
        assert!(of_file(&folder).unwrap_err().contains("can't read"));
        assert!(of_file(&folder.join("no/key")).unwrap_err().contains("can't make"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn weak_keys_are_named_and_not_for_strangers() {
        let repeated = "ab".repeat(WEAK_KEY_CHARS);
        for key in ["x", "s3cret", "8 or more", &repeated, "open-sesame-open"] {
            let is_weak = key != "open-sesame-open";
            assert_eq!(judge(key, false).expect("told, and no more").is_some(), is_weak, "{key}");
            assert_eq!(judge(key, true).is_err(), key.len() < PUBLIC_KEY_CHARS_MIN, "{key}");
        }
        let sentence = judge("x", false).unwrap().unwrap();
        assert!(sentence.contains("openssl") && sentence.contains("1 characters"), "{sentence}");
    }
}
