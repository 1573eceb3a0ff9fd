//! A folder that tells of each read, so that something can happen between two of them.

use std::io;
use std::sync::{Arc, Mutex};

use encke::journal::Files;

use super::Folder;

/// What is to happen at the read of this number.
pub type Hook = Box<dyn FnMut(u64) + Send>;

/// See the top of this file.
#[derive(Clone)]
pub struct Hooked {
    pub folder: Folder,
    reads: Arc<Mutex<(u64, Hook)>>,
}

impl Hooked {
    pub fn new(folder: Folder, hook: Hook) -> Hooked {
        Hooked { folder, reads: Arc::new(Mutex::new((0, hook))) }
    }

    /// How many reads there were.
    pub fn reads(&self) -> u64 {
        self.reads.lock().expect("whole").0
    }

    fn tell(&self) {
        let mut reads = self.reads.lock().expect("whole");
        reads.0 += 1;
        let number = reads.0;
        (reads.1)(number);
    }
}

impl Files for Hooked {
    type File = <Folder as Files>::File;

    fn create(&self, name: &str) -> io::Result<Self::File> {
        self.folder.create(name)
    }

    fn open(&self, name: &str, to_write: bool) -> io::Result<Self::File> {
        self.tell();
        self.folder.open(name, to_write)
    }

    fn length(&self, file: &Self::File) -> io::Result<u64> {
        self.folder.length(file)
    }

    fn read_at(&self, file: &Self::File, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.tell();
        self.folder.read_at(file, at, buffer)
    }

    fn write_at(&self, file: &Self::File, at: u64, bytes: &[u8]) -> io::Result<usize> {
        self.folder.write_at(file, at, bytes)
    }

    fn truncate(&self, file: &Self::File, len: u64) -> io::Result<()> {
        self.folder.truncate(file, len)
    }

    fn sync(&self, file: &Self::File) -> io::Result<()> {
        self.folder.sync(file)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.folder.sync_folder(folder)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.folder.unlink(name)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.tell();
        self.folder.list(folder)
    }

    fn lock(&self) -> io::Result<Self::File> {
        self.folder.lock()
    }

    fn boot(&self) -> Option<[u8; 16]> {
        self.folder.boot()
    }
}
