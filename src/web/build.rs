//! Makes the compressed forms of the pages, and their entity tags, when the program is built.
//!
//! Every text file of this folder is compressed once, as well as deflate can, so that serving it costs
//! nothing. `mod.rs` includes what is made here. Read first: RFC 1952 (gzip).

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};

/// What is worth compressing, by the last part of its name.
const TEXT: [&str; 7] = ["html", "css", "js", "mjs", "ts", "svg", "json"];

fn main() -> io::Result<()> {
    let here = Path::new("src/web");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo names a folder for what is built"));
    // A folder's time changes with the files that come and go; the files are named each for what is in them.
    println!("cargo::rerun-if-changed={}", here.display());
    for entry in fs::read_dir(here)? {
        let path = entry?.path();
        let is_text = path.extension().is_some_and(|ending| TEXT.iter().any(|text| ending == *text));
        let (true, Some(name)) = (is_text, path.file_name().and_then(|name| name.to_str())) else { continue };
        let bytes = fs::read(&path)?;
        fs::write(out.join(format!("{name}.gz")), gzip(&bytes)?)?;
        fs::write(out.join(format!("{name}.tag")), tag(&bytes))?;
    }
    Ok(())
}

/// Without name and time in its head: the same bytes become the same bytes, whenever it is built.
fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    zopfli::compress(zopfli::Options::default(), zopfli::Format::Gzip, bytes, &mut out)?;
    Ok(out)
}

/// Names the bytes of a file: what is between the quotes of its entity tag.
fn tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("{:016x}", hasher.finish())
}
