//! A folder whose disk can hang, for as long as a test wants, or have a driver that panics.

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use encke::journal::Files;

use super::Folder;

/// See the top of this file.
#[derive(Clone)]
pub struct Slow {
    pub folder: Folder,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

#[derive(Default)]
struct Gate {
    is_shut: bool,
    panics: bool,
    waiting: usize,
}

impl Slow {
    pub fn new() -> Slow {
        Slow { folder: Folder::new(1), gate: Arc::default() }
    }

    /// Writes hang from now on, or go on.
    pub fn shut(&self, is_shut: bool) {
        self.gate.0.lock().expect("whole").is_shut = is_shut;
        self.gate.1.notify_all();
    }

    /// The next write panics.
    pub fn panic(&self) {
        self.gate.0.lock().expect("whole").panics = true;
    }

    /// Waits until a write hangs.
    pub fn until_stuck(&self) {
        let gate = self.gate.0.lock().expect("whole");
        drop(self.gate.1.wait_while(gate, |gate| gate.waiting == 0).expect("whole"));
    }

    fn pass(&self) {
        let mut gate = self.gate.0.lock().expect("whole");
        gate.waiting += 1;
        self.gate.1.notify_all();
        let mut gate = self.gate.1.wait_while(gate, |gate| gate.is_shut).expect("whole");
        gate.waiting -= 1;
        let panics = gate.panics;
        drop(gate);
        assert!(!panics, "the driver of this disk is broken");
    }
}

impl Files for Slow {
    type File = <Folder as Files>::File;

    fn create(&self, name: &str) -> io::Result<Self::File> {
        self.folder.create(name)
    }

    fn open(&self, name: &str, to_write: bool) -> io::Result<Self::File> {
        self.folder.open(name, to_write)
    }

    fn length(&self, file: &Self::File) -> io::Result<u64> {
        self.folder.length(file)
    }

    fn read_at(&self, file: &Self::File, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.folder.read_at(file, at, buffer)
    }

    fn write_at(&self, file: &Self::File, at: u64, bytes: &[u8]) -> io::Result<usize> {
        self.pass();
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
        self.folder.list(folder)
    }

    fn lock(&self) -> io::Result<Self::File> {
        self.folder.lock()
    }

    fn boot(&self) -> Option<[u8; 16]> {
        self.folder.boot()
    }
}
