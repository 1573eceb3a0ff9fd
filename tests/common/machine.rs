//! A real kernel with real sockets, but its clock and its faults are the test's.
//!
//! Deadlines of a minute are tested in a moment, and a shortage of descriptors lasts exactly as long as the
//! test wants it to. While the test does nothing of the kind this is `Kernel` and nothing else.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};

use encke::reactor::Instant;
use encke::reactor::io::{Io, Kernel, Ready, Stopper};

/// What is not as it was when the machine started.
#[derive(Debug, Default)]
pub struct World {
    skipped_ms: AtomicU64,
    wall_ms: AtomicI64,
    frozen: AtomicBool,
    no_descriptor: AtomicBool,
    /// How often the server has looked at the clock.
    looks: AtomicU64,
}

impl World {
    /// Moves the monotonic clock on. The server sees it in its next turn.
    pub fn skip(&self, ms: u64) {
        self.skipped_ms.fetch_add(ms, SeqCst);
    }

    /// How often the server has looked at the clock. One look more, and it has seen what was changed before.
    pub fn looks(&self) -> u64 {
        self.looks.load(SeqCst)
    }

    /// Moves the wall clock alone, in either direction.
    pub fn move_wall(&self, ms: i64) {
        self.wall_ms.fetch_add(ms, SeqCst);
    }

    /// Stops the monotonic clock but for [`World::skip`]: whatever happens now does not happen for a timeout.
    pub fn freeze(&self) {
        self.frozen.store(true, SeqCst);
    }

    /// Lets it run again.
    pub fn thaw(&self) {
        self.frozen.store(false, SeqCst);
    }

    /// Takes all descriptors from accepting, or gives them back.
    pub fn set_no_descriptor(&self, fault: bool) {
        self.no_descriptor.store(fault, SeqCst);
    }
}

/// See the top of this file.
#[derive(Debug)]
pub struct Machine {
    kernel: Kernel,
    world: Arc<World>,
    frozen_at: Option<u64>,
}

impl Machine {
    /// Listens at a port of the system's choice.
    pub fn listen(world: Arc<World>) -> Machine {
        let kernel = Kernel::listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        Machine { kernel, world, frozen_at: None }
    }

    pub fn address(&self) -> SocketAddr {
        self.kernel.address().expect("it listens")
    }

    pub fn stopper(&self) -> Stopper {
        self.kernel.stopper()
    }
}

impl Io for Machine {
    type Stream = <Kernel as Io>::Stream;

    fn now(&mut self) -> (Instant, u64) {
        self.world.looks.fetch_add(1, SeqCst);
        let (now, wall) = self.kernel.now();
        let mut now = now.as_millis();
        if self.world.frozen.load(SeqCst) {
            now = *self.frozen_at.get_or_insert(now);
        } else {
            self.frozen_at = None;
        }
        let wall = wall.saturating_add_signed(self.world.wall_ms.load(SeqCst));
        (Instant::from_millis(now + self.world.skipped_ms.load(SeqCst)), wall)
    }

    fn poll(&mut self, ready: &mut Vec<Ready>, wait_ms: Option<u64>) -> io::Result<()> {
        // A clock that stands still makes every wait one for events.
        self.kernel.poll(ready, if self.frozen_at.is_some() && wait_ms != Some(0) { None } else { wait_ms })
    }

    fn accept(&mut self) -> io::Result<(Self::Stream, SocketAddr)> {
        if self.world.no_descriptor.load(SeqCst) {
            const EMFILE: i32 = 24;
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        self.kernel.accept()
    }

    fn stop_listening(&mut self) {
        self.kernel.stop_listening();
    }

    fn register(&mut self, stream: &mut Self::Stream, token: usize) -> io::Result<()> {
        self.kernel.register(stream, token)
    }

    fn read(&mut self, stream: &mut Self::Stream, buffer: &mut [u8]) -> io::Result<usize> {
        self.kernel.read(stream, buffer)
    }

    fn write(&mut self, stream: &mut Self::Stream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.kernel.write(stream, slices)
    }

    fn shut(&mut self, stream: &mut Self::Stream) -> io::Result<()> {
        self.kernel.shut(stream)
    }
}
