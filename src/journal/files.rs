//! What the journal asks of a folder, and the few things that are made of that.
//!
//! It knows no format. The real folder is in `disk.rs`; the tests have one in memory that tears, drops and
//! reorders what was not synced. Read first: T. Pillai and others, "All file systems are not created equal"
//! (OSDI 2014): a name is on the medium when its folder was synced, bytes when their file was, and nothing
//! else is promised.

use std::io::{self, ErrorKind};

/// A folder, its files and its three sub-folders `log`, `keep` and `blob`. Names are relative: `log/…`.
pub trait Files: Clone + Send + 'static {
    /// An open file.
    type File: Send;

    /// Makes an empty file, or empties one that is there, and opens it for writing.
    ///
    /// # Errors
    /// Those of the system.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file that is there; for writing too, if asked.
    ///
    /// # Errors
    /// `NotFound`, and those of the system.
    fn open(&self, name: &str, to_write: bool) -> io::Result<Self::File>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// Those of the system.
    fn length(&self, file: &Self::File) -> io::Result<u64>;

    /// Reads from a place on; 0 at the end.
    ///
    /// # Errors
    /// Those of the system.
    fn read_at(&self, file: &Self::File, at: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes some of `bytes` to a place.
    ///
    /// # Errors
    /// Those of the system. What was written of `bytes` is then unknown.
    fn write_at(&self, file: &Self::File, at: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Cuts a file.
    ///
    /// # Errors
    /// Those of the system.
    fn truncate(&self, file: &Self::File, len: u64) -> io::Result<()>;

    /// Has what was written to the file, and its length, on the medium.
    ///
    /// # Errors
    /// Those of the system. What is on the medium is then unknown, and stays so.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Has the names in a sub-folder, or of the folder itself (`""`), on the medium.
    ///
    /// # Errors
    /// Those of the system.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;

    /// Gives a file another name; one that has it is replaced.
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a file's name away.
    ///
    /// # Errors
    /// Those of the system.
    fn unlink(&self, name: &str) -> io::Result<()>;

    /// The names in a sub-folder, or of the folder's own files (`""`), in order.
    ///
    /// # Errors
    /// Those of the system.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Keeps others out as long as the file it gives is open.
    ///
    /// # Errors
    /// `WouldBlock` if another program has it.
    fn lock(&self) -> io::Result<Self::File>;

    /// What is drawn anew when the machine starts; `None` where that can't be known.
    fn boot(&self) -> Option<[u8; 16]>;
}

/// Writes all of `bytes`.
pub(super) fn write_all<F: Files>(files: &F, file: &F::File, mut at: u64, bytes: &[u8]) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        let written = files.write_at(file, at, left)?;
        if written == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        left = &left[written..];
        at += written as u64;
    }
    Ok(())
}

/// Fills as much of `buffer` as the file has from there on.
pub(super) fn read_full<F: Files>(
    files: &F,
    file: &F::File,
    at: u64,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        let read = files.read_at(file, at + filled as u64, &mut buffer[filled..])?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    Ok(filled)
}

/// `len` bytes from a place on; `None` if the file is shorter.
pub(super) fn read_exact<F: Files>(
    files: &F,
    file: &F::File,
    at: u64,
    len: usize,
) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; len];
    Ok((read_full(files, file, at, &mut bytes)? == len).then_some(bytes))
}

/// A whole file, if it is not longer than `max`.
pub(super) fn read_whole<F: Files>(files: &F, name: &str, max: usize) -> io::Result<Vec<u8>> {
    let file = files.open(name, false)?;
    let len = usize::try_from(files.length(&file)?).unwrap_or(usize::MAX);
    if len > max {
        return Err(io::Error::new(ErrorKind::InvalidData, "longer than it can be"));
    }
    Ok(read_exact(files, &file, 0, len)?.unwrap_or_default())
}

/// Gives a file this content: all of it or, if that fails, what it had before.
pub(super) fn replace<F: Files>(files: &F, name: &str, bytes: &[u8]) -> io::Result<()> {
    let draft = format!("{name}.tmp");
    let written = (|| {
        let file = files.create(&draft)?;
        write_all(files, &file, 0, bytes)?;
        files.sync(&file)
    })();
    if let Err(error) = written {
        // It takes room that may lack elsewhere; what matters is the first error.
        let _ = files.unlink(&draft);
        return Err(error);
    }
    files.rename(&draft, name)?;
    files.sync_folder(folder(name))
}

/// The sub-folder that a name is in.
pub(super) fn folder(name: &str) -> &str {
    name.split_once('/').map_or("", |(folder, _)| folder)
}

/// Whether an error means that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge | ErrorKind::WriteZero
    )
}

/// The name of the segment that begins with a number.
pub(super) fn segment_name(first: u64) -> String {
    format!("log/{first:020}.seg")
}

/// The name of the keeper whose first entry has that number.
pub(super) fn keeper_name(first: u64) -> String {
    format!("keep/{first:020}.seg")
}

/// The number in the name of a segment or keeper.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_segments() {
        assert_eq!(segment_name(42), "log/00000000000000000042.seg");
        assert_eq!(first_of("00000000000000000042.seg"), Some(42));
        for name in
            ["42.seg", "00000000000000000042.seg.tmp", "+0000000000000000042.seg", "99999999999999999999.seg"]
        {
            assert_eq!(first_of(name), None, "{name}");
        }
        assert_eq!((folder("log/1"), folder("state")), ("log", ""));
    }
}
