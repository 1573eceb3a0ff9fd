//! A folder in memory whose machine can lose its power: what was not synced is then dropped, torn, or there
//! without what was written before it.
//!
//! It knows nothing of the journal. What programs see and what is on the medium are two things here:
//!
//! ```text
//!   write, truncate ─▶ seen at once ── sync ────────▶ on the medium
//!   create, rename, unlink ─▶ seen at once ── sync_folder ─▶ on the medium
//!
//!   the program dies    all that was seen stays, and is as little on the medium as before
//!   the power is lost   of what is not on the medium any part is: each sector of 512 bytes for itself,
//!                       and of the names in a folder those up to some change
//! ```

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use encke::journal::Files;

use super::rng::Rng;

pub mod hooked;
pub mod model;
pub mod slow;
pub mod small;

const SECTOR: usize = 512;

/// See the top of this file.
#[derive(Clone)]
pub struct Folder(Arc<Mutex<World>>);

pub struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    names_kept: BTreeMap<String, usize>,
    changes: Vec<Change>,
    lock: Weak<()>,
    boot: [u8; 16],
    rng: Rng,
    /// Changes that are left until the program dies.
    pub fuse: Option<u32>,
    pub has_died: bool,
    /// Bytes of all files together.
    pub capacity: usize,
    /// Writes of a thousand that fail, and that write only a part.
    pub failing: u32,
    pub short: u32,
    /// Every sync fails.
    pub syncs_fail: bool,
}

#[derive(Default)]
struct Inode {
    seen: Vec<u8>,
    kept: Vec<u8>,
    changes: Vec<Write>,
}

enum Write {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

enum Change {
    Name(String, usize),
    Gone(String),
}

/// An open file.
pub struct Handle {
    inode: usize,
    _lock: Option<Arc<()>>,
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    if bytes.len() < at + new.len() {
        bytes.resize(at + new.len(), 0);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

fn folder_of(name: &str) -> &str {
    name.split_once('/').map_or("", |(folder, _)| folder)
}

impl Folder {
    pub fn new(seed: u64) -> Folder {
        let world = World {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            names_kept: BTreeMap::new(),
            changes: Vec::new(),
            lock: Weak::new(),
            boot: [1; 16],
            rng: Rng::new(seed),
            fuse: None,
            has_died: false,
            capacity: usize::MAX,
            failing: 0,
            short: 0,
            syncs_fail: false,
        };
        Folder(Arc::new(Mutex::new(world)))
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("one thread")
    }

    /// The files as they are seen.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let world = self.world();
        world.names.iter().map(|(name, inode)| (name.clone(), world.inodes[*inode].seen.clone())).collect()
    }

    /// The same folder again, with these files, all on the medium.
    pub fn with(contents: &BTreeMap<String, Vec<u8>>) -> Folder {
        let folder = Folder::new(1);
        let mut world = folder.world();
        for (name, bytes) in contents {
            let inode = world.inodes.len();
            world.inodes.push(Inode { seen: bytes.clone(), kept: bytes.clone(), changes: Vec::new() });
            world.names.insert(name.clone(), inode);
            world.names_kept.insert(name.clone(), inode);
        }
        drop(world);
        folder
    }
}

impl World {
    /// The program is started again, on the same machine.
    pub fn restart(&mut self) {
        (self.fuse, self.has_died) = (None, false);
    }

    /// The machine is started again after it lost its power.
    pub fn lose_power(&mut self) {
        self.restart();
        self.boot[0] = self.boot[0].wrapping_add(1);
        // All of it, nothing, or anything between.
        let kept = *self.rng.pick(&[0, 0, 300, 700, 950, 1000]);
        for inode in &mut self.inodes {
            for write in inode.changes.drain(..) {
                match write {
                    Write::Bytes(at, bytes) => {
                        let mut from = 0;
                        while from < bytes.len() {
                            // Up to the next sector of the file.
                            let end = (((at + from) / SECTOR + 1) * SECTOR - at).min(bytes.len());
                            if self.rng.per_mille(kept) {
                                put(&mut inode.kept, at + from, &bytes[from..end]);
                            }
                            from = end;
                        }
                    }
                    Write::Length(len) if self.rng.per_mille(kept) => inode.kept.resize(len, 0),
                    Write::Length(_) => {}
                }
            }
            inode.seen = inode.kept.clone();
        }
        let mut stopped: Vec<String> = Vec::new();
        for change in std::mem::take(&mut self.changes) {
            let name = match &change {
                Change::Name(name, _) | Change::Gone(name) => name,
            };
            let folder = folder_of(name).to_owned();
            if stopped.contains(&folder) || !self.rng.per_mille(kept) {
                stopped.push(folder);
                continue;
            }
            apply(&mut self.names_kept, change);
        }
        self.names = self.names_kept.clone();
    }

    /// Whether the program may go on, and else whether it dies in the midst of this change.
    fn burn(&mut self) -> io::Result<bool> {
        if self.has_died {
            return Err(io::Error::other("the program is dead"));
        }
        let Some(fuse) = &mut self.fuse else { return Ok(true) };
        if *fuse == 0 {
            self.has_died = true;
            return Ok(false);
        }
        *fuse -= 1;
        Ok(true)
    }

    fn alive(&mut self) -> io::Result<()> {
        if self.burn()? { Ok(()) } else { Err(io::Error::other("the program dies")) }
    }

    fn used(&self) -> usize {
        self.names.values().map(|inode| self.inodes[*inode].seen.len()).sum()
    }

    fn rename_one(&mut self, change: Change) {
        let copy = match &change {
            Change::Name(name, inode) => Change::Name(name.clone(), *inode),
            Change::Gone(name) => Change::Gone(name.clone()),
        };
        apply(&mut self.names, copy);
        self.changes.push(change);
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: Change) {
    match change {
        Change::Name(name, inode) => {
            names.retain(|_, other| *other != inode);
            names.insert(name, inode);
        }
        Change::Gone(name) => {
            names.remove(&name);
        }
    }
}

impl Files for Folder {
    type File = Handle;

    fn create(&self, name: &str) -> io::Result<Handle> {
        let mut world = self.world();
        world.alive()?;
        if world.used() >= world.capacity {
            return Err(ErrorKind::StorageFull.into());
        }
        let inode = world.inodes.len();
        world.inodes.push(Inode::default());
        world.rename_one(Change::Name(name.to_owned(), inode));
        Ok(Handle { inode, _lock: None })
    }

    fn open(&self, name: &str, _to_write: bool) -> io::Result<Handle> {
        let world = self.world();
        let inode = *world.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(Handle { inode, _lock: None })
    }

    fn length(&self, file: &Handle) -> io::Result<u64> {
        Ok(self.world().inodes[file.inode].seen.len() as u64)
    }

    fn read_at(&self, file: &Handle, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let world = self.world();
        let seen = &world.inodes[file.inode].seen;
        let rest = &seen[(at as usize).min(seen.len())..];
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, file: &Handle, at: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.world();
        let lives = world.burn()?;
        let mut len = bytes.len();
        let grows = (at as usize + len).saturating_sub(world.inodes[file.inode].seen.len());
        let room = world.capacity.saturating_sub(world.used());
        let is_full = grows > room;
        let (failing, short) = (world.failing, world.short);
        let fails = world.rng.per_mille(failing);
        if !lives || is_full || fails || (len > 1 && world.rng.per_mille(short)) {
            len = world.rng.below(len.max(1));
            len = if is_full { len.min(room) } else { len };
        }
        let at = at as usize;
        let inode = &mut world.inodes[file.inode];
        put(&mut inode.seen, at, &bytes[..len]);
        inode.changes.push(Write::Bytes(at, bytes[..len].to_vec()));
        match (lives, is_full, fails) {
            (false, ..) => Err(io::Error::other("the program dies")),
            (_, true, _) if len == 0 => Err(ErrorKind::StorageFull.into()),
            (_, false, true) => Err(io::Error::other("the write failed")),
            _ => Ok(len.max(usize::from(len == 0 && bytes.is_empty()))),
        }
    }

    fn truncate(&self, file: &Handle, len: u64) -> io::Result<()> {
        let mut world = self.world();
        world.alive()?;
        let failing = world.failing;
        if world.rng.per_mille(failing) {
            return Err(io::Error::other("the cut failed"));
        }
        let inode = &mut world.inodes[file.inode];
        inode.seen.resize(len as usize, 0);
        inode.changes.push(Write::Length(len as usize));
        Ok(())
    }

    fn sync(&self, file: &Handle) -> io::Result<()> {
        let mut world = self.world();
        let lives = world.burn()?;
        let fails = world.syncs_fail;
        let inode = &mut world.inodes[file.inode];
        if !lives {
            return Err(io::Error::other("the program dies"));
        }
        if fails {
            // The system believes its pages to be clean from now on.
            inode.changes.clear();
            return Err(io::Error::other("the sync failed"));
        }
        inode.kept = inode.seen.clone();
        inode.changes.clear();
        Ok(())
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut world = self.world();
        world.alive()?;
        if world.syncs_fail {
            return Err(io::Error::other("the sync failed"));
        }
        for change in std::mem::take(&mut world.changes) {
            let name = match &change {
                Change::Name(name, _) | Change::Gone(name) => name,
            };
            if folder_of(name) == folder {
                apply(&mut world.names_kept, change);
            } else {
                world.changes.push(change);
            }
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.world();
        world.alive()?;
        let inode = *world.names.get(from).ok_or(ErrorKind::NotFound)?;
        world.rename_one(Change::Name(to.to_owned(), inode));
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.alive()?;
        if !world.names.contains_key(name) {
            return Err(ErrorKind::NotFound.into());
        }
        world.rename_one(Change::Gone(name.to_owned()));
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let world = self.world();
        let own = world.names.keys().filter(|name| folder_of(name) == folder);
        Ok(own.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect())
    }

    fn lock(&self) -> io::Result<Handle> {
        let mut world = self.world();
        if world.lock.upgrade().is_some() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let lock = Arc::new(());
        world.lock = Arc::downgrade(&lock);
        Ok(Handle { inode: 0, _lock: Some(lock) })
    }

    fn boot(&self) -> Option<[u8; 16]> {
        Some(self.world().boot)
    }
}
