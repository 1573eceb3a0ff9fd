//! The folder on a real disk, and the clocks: the one file of the journal that touches the machine.
//!
//! Files are made for their owner alone: private messages are in them. Read first: fdatasync(2), rename(2).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};

use super::files::Files;
use super::store::Time;

/// Who may read and write the files, and enter the folders.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Sub-folders that a log has.
const FOLDERS: [&str; 3] = ["log", "keep", "blob"];

/// See the top of this file.
#[derive(Clone, Debug)]
pub struct DiskFolder(Arc<Path>);

impl DiskFolder {
    /// The folder at `path`, made if it is not there.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(path: &Path) -> io::Result<DiskFolder> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(FOLDER_MODE);
        for folder in FOLDERS {
            builder.create(path.join(folder))?;
        }
        Ok(DiskFolder(path.into()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Files for DiskFolder {
    type File = File;

    fn create(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(FILE_MODE);
        options.open(self.path(name))
    }

    fn open(&self, name: &str, to_write: bool) -> io::Result<File> {
        OpenOptions::new().read(true).write(to_write).open(self.path(name))
    }

    fn length(&self, file: &File) -> io::Result<u64> {
        file.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, file: &File, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        again(|| file.read_at(buffer, at))
    }

    fn write_at(&self, file: &File, at: u64, bytes: &[u8]) -> io::Result<usize> {
        again(|| file.write_at(bytes, at))
    }

    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        again(|| file.set_len(len))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        File::open(self.path(folder))?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(folder))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                // What is no text is nothing of ours.
                names.extend(entry.file_name().into_string());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn lock(&self) -> io::Result<File> {
        let file = self.create("lock")?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    fn boot(&self) -> Option<[u8; 16]> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        parse_boot(text.trim())
    }
}

/// Tries again what a signal has interrupted.
fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Thirty-two hex digits, in groups.
fn parse_boot(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32).then(|| number.to_be_bytes())
}

/// The clocks of the machine, since the moment in which this is called.
pub fn clock() -> impl Fn() -> Time + Clone + Send + Sync + 'static {
    let start = Instant::now();
    move || {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time { now: start.elapsed().as_millis() as u64, wall: wall.as_millis() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_ids() {
        let id = "0123abcd-0000-4000-8000-0000000000ff";
        assert_eq!(parse_boot(id).map(|id| (id[0], id[15])), Some((0x01, 0xff)));
        for text in ["", "x", "0123abcd", "0123abcd-0000-4000-8000-0000000000fg"] {
            assert_eq!(parse_boot(text), None, "{text}");
        }
    }
}
