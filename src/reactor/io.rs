//! What the reactor asks of the machine, and the real machine behind it.
//!
//! This is the only file that names mio, a socket or a clock. The reactor is written against [`Io`]; a
//! simulated kernel implements the same trait in memory, so that the whole server runs under a seed. Read
//! first: epoll(7), the part on edge-triggered and level-triggered.
//!
//! Readiness is edge-triggered and both directions are registered once, at accept. The kernel then speaks
//! only when something changes, and no system call is ever spent on changing an interest. The price is that
//! the reactor must remember what it was told until a read or write says `WouldBlock`.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::warn;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ};
use signal_hook_mio::v1_0::Signals;

use super::time::Instant;
use crate::limits::{BACKLOG, EVENTS_PER_POLL_MAX};

/// An event of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Connections may wait to be accepted.
    Listener,
    /// Someone asks the program to end.
    Stop,
    /// A connection's readiness changed.
    Link {
        /// The value it was registered under.
        token: usize,
        /// There may be bytes, an end or an error to read.
        readable: bool,
        /// There may be room to write.
        writable: bool,
        /// The peer has shut its side: after the bytes that are left a read will return 0.
        fin: bool,
        /// The connection is broken or shut in both directions.
        dead: bool,
    },
}

/// What the reactor asks of the machine. Nothing here blocks but [`Io::poll`].
pub trait Io {
    /// A connection's socket. Dropping it closes it.
    type Stream;

    /// The monotonic clock and the wall clock, the latter in milliseconds since 1970.
    fn now(&mut self) -> (Instant, u64);

    /// Appends what has become ready to `ready`; waits for it `wait_ms` at most, for ever if `None`.
    ///
    /// # Errors
    /// Those of the system call. An interrupted call is no error: it appends nothing.
    fn poll(&mut self, ready: &mut Vec<Ready>, wait_ms: Option<u64>) -> io::Result<()>;

    /// A connection that waits, and the peer's address.
    ///
    /// # Errors
    /// `WouldBlock` if none waits; else those of the system call.
    fn accept(&mut self) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Takes no more connections.
    fn stop_listening(&mut self);

    /// Has the kernel report the readiness of `stream` under `token`, from now to its end.
    ///
    /// # Errors
    /// Those of the system call.
    fn register(&mut self, stream: &mut Self::Stream, token: usize) -> io::Result<()>;

    /// Reads into `buffer`; 0 means that the peer has shut its side.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there; else those of the system call.
    fn read(&mut self, stream: &mut Self::Stream, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes some of `slices`, in order. One slice is a plain `write`, which is cheaper than a `writev`.
    ///
    /// # Errors
    /// `WouldBlock` if the socket is full; else those of the system call.
    fn write(&mut self, stream: &mut Self::Stream, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Shuts our side: the peer reads an end after what was written.
    ///
    /// # Errors
    /// Those of the system call.
    fn shut(&mut self, stream: &mut Self::Stream) -> io::Result<()>;
}

/// The token of the listener. A link's token is never one of these (see `ConnId::token`).
const LISTENER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);
const WAKER: Token = Token(usize::MAX - 2);

/// The real machine: epoll on Linux, kqueue elsewhere, through mio.
pub struct Kernel {
    poll: Poll,
    events: Events,
    listener: Option<TcpListener>,
    signals: Option<Signals>,
    /// It was started from a terminal, and ends with that.
    has_terminal: bool,
    waker: Arc<Waker>,
    start: std::time::Instant,
}

impl Kernel {
    /// Listens at `address`. Port 0 lets the system choose; [`Kernel::address`] tells what it chose.
    ///
    /// # Errors
    /// The address is in use, not this machine's, or not allowed to this user.
    pub fn listen(address: SocketAddr) -> io::Result<Kernel> {
        let poll = Poll::new()?;
        let mut listener = bind(address)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Kernel {
            poll,
            events: Events::with_capacity(EVENTS_PER_POLL_MAX),
            listener: Some(listener),
            signals: None,
            has_terminal: false,
            waker,
            start: std::time::Instant::now(),
        })
    }

    /// Heeds the signals that people and their tools send to programs, all of which would end this one at
    /// once by default: see `Meaning`. Only the program itself should ask for that: signals belong to the
    /// whole process.
    ///
    /// # Errors
    /// The system refuses another handler.
    pub fn heed_signals(&mut self) -> io::Result<()> {
        let mut heeded = vec![SIGINT, SIGTERM, SIGALRM, SIGXCPU, SIGXFSZ, SIGUSR1, SIGUSR2];
        // Who has started it with `nohup`, or in the background of a script, does not want these heeded.
        heeded.extend([SIGHUP, SIGQUIT].into_iter().filter(|signal| !is_ignored(*signal)));
        let mut signals = Signals::new(heeded)?;
        self.poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        self.signals = Some(signals);
        self.has_terminal = has_terminal();
        Ok(())
    }

    /// The address it listens at, while it does.
    ///
    /// # Errors
    /// Those of the system call; `NotConnected` once it has stopped listening.
    pub fn address(&self) -> io::Result<SocketAddr> {
        match &self.listener {
            Some(listener) => listener.local_addr(),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// A handle with which another thread ends the loop.
    pub fn stopper(&self) -> Stopper {
        Stopper { waker: Arc::clone(&self.waker) }
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// To end, with a goodbye to everyone: SIGINT and SIGQUIT from the keyboard, SIGTERM, the end of an
    /// allotted time (SIGALRM, SIGXCPU), and SIGHUP when the terminal that the program was started from is
    /// closed.
    Stop,
    /// What other programs do at this signal, and this one does not. It says so and goes on.
    Said(&'static str),
    /// Nothing: a file that the log is written to has reached the size that the system allows (SIGXFSZ). To
    /// say so would be written there, too.
    Nothing,
}

impl Meaning {
    fn of(signal: i32, has_terminal: bool) -> Meaning {
        match signal {
            SIGHUP if !has_terminal => Meaning::Said(
                "SIGHUP changes nothing: there is no configuration to load again; SIGTERM ends the program",
            ),
            SIGUSR1 => {
                Meaning::Said("SIGUSR1 changes nothing: the log goes to standard error, not to a file")
            }
            SIGUSR2 => Meaning::Said("SIGUSR2 changes nothing: this program can't replace itself"),
            SIGXFSZ => Meaning::Nothing,
            _ => Meaning::Stop,
        }
    }
}

/// Whether the program was started from a terminal, whatever its input and output are now.
fn has_terminal() -> bool {
    cfg!(unix) && std::fs::File::open("/dev/tty").is_ok()
}

/// Whether a signal was ignored before the program changed anything, as far as the system tells: on Linux, in
/// proc_pid_status(5), as a bit of `SigIgn`.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// Ends a running loop from another thread, as a SIGTERM would.
#[derive(Clone, Debug)]
pub struct Stopper {
    waker: Arc<Waker>,
}

impl Stopper {
    /// Asks the loop to end.
    pub fn stop(&self) {
        // The loop may be gone already; then there is nothing left to ask for.
        let _ = self.waker.wake();
    }
}

/// A listening socket, its options set before it is bound. What accepted sockets inherit is set here once
/// and not on each of them.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last connections of the program before it. (On Windows this option
    // would let two programs share the port.)
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // The wildcard of IPv6 takes IPv4 too, whatever the system's default.
        socket.set_only_v6(false)?;
    }
    // Messages are joined into one write a turn here; Nagle's algorithm would only add a delay to that.
    socket.set_tcp_nodelay(true)?;
    // A reader that stops is a place in the log. It must not be a hundred kilobytes of the kernel's as well.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(crate::limits::UNSENT_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

impl Io for Kernel {
    type Stream = TcpStream;

    fn now(&mut self) -> (Instant, u64) {
        let monotonic = Instant::from_millis(self.start.elapsed().as_millis() as u64);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        (monotonic, wall)
    }

    fn poll(&mut self, ready: &mut Vec<Ready>, wait_ms: Option<u64>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, wait_ms.map(Duration::from_millis)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            match event.token() {
                LISTENER => ready.push(Ready::Listener),
                WAKER => ready.push(Ready::Stop),
                SIGNALS => {
                    for signal in self.signals.iter_mut().flat_map(Signals::pending) {
                        match Meaning::of(signal, self.has_terminal) {
                            Meaning::Stop => ready.push(Ready::Stop),
                            Meaning::Said(sentence) => warn!("{sentence}"),
                            Meaning::Nothing => {}
                        }
                    }
                }
                Token(token) => ready.push(Ready::Link {
                    token,
                    readable: event.is_readable() || event.is_read_closed() || event.is_error(),
                    writable: event.is_writable() || event.is_write_closed() || event.is_error(),
                    fin: event.is_read_closed(),
                    dead: event.is_error() || (event.is_read_closed() && event.is_write_closed()),
                }),
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let Some(listener) = &self.listener else { return Err(io::ErrorKind::WouldBlock.into()) };
        let (stream, peer) = listener.accept()?;
        // Linux hands the listener's options down; other systems may not.
        if cfg!(not(target_os = "linux")) {
            stream.set_nodelay(true)?;
        }
        Ok((stream, peer))
    }

    fn stop_listening(&mut self) {
        if let Some(mut listener) = self.listener.take() {
            // Closing alone would do; where it does not, the events of a closed listener mean nothing.
            let _ = self.poll.registry().deregister(&mut listener);
        }
    }

    fn register(&mut self, stream: &mut TcpStream, token: usize) -> io::Result<()> {
        self.poll.registry().register(stream, Token(token), Interest::READABLE | Interest::WRITABLE)
    }

    fn read(&mut self, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        stream.read(buffer)
    }

    fn write(&mut self, stream: &mut TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => stream.write(one),
            many => stream.write_vectored(many),
        }
    }

    fn shut(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        stream.shutdown(Shutdown::Write)
    }
}

/// Fills `bytes` from the system's random source.
///
/// # Panics
/// If the system has none: nothing that must not be guessed could then be made.
pub fn entropy(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has a random source");
}

/// Whether an error of accept concerns only the connection that it would have returned (accept(2)).
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn accepted_sockets_have_the_listeners_options() {
        use super::{Io, Kernel, SocketAddr};
        use crate::limits::UNSENT_BYTES;
        let mut kernel = Kernel::listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let address = kernel.address().expect("it listens");
        let _client = std::net::TcpStream::connect(address).expect("it listens");
        let (stream, _) = kernel.accept().expect("it waits");
        let socket = socket2::SockRef::from(&stream);
        assert_eq!(socket.tcp_notsent_lowat().expect("Linux knows it"), UNSENT_BYTES);
        assert!(socket.tcp_nodelay().expect("every system knows it"));
    }

    /// More sockets are ready than are asked for at once: each is told of once, the rest with the next poll.
    #[cfg(target_os = "linux")]
    #[test]
    fn so_many_events_are_taken_at_once() {
        use super::{EVENTS_PER_POLL_MAX, Io, Kernel, Ready, SocketAddr};
        const BEYOND: usize = 10;
        let mut kernel = Kernel::listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let address = kernel.address().expect("it listens");
        let mut open = Vec::new();
        for token in 0..EVENTS_PER_POLL_MAX + BEYOND {
            let client = std::net::TcpStream::connect(address).expect("it listens");
            let (mut stream, _) = kernel.accept().expect("it waits");
            kernel.register(&mut stream, token).expect("it is watched");
            open.push((client, stream));
        }
        let mut told: Vec<usize> = Vec::new();
        let mut poll = || {
            let mut ready = Vec::new();
            kernel.poll(&mut ready, Some(0)).expect("it polls");
            told.extend(ready.iter().filter_map(|event| match event {
                Ready::Link { token, .. } => Some(token),
                _ => None,
            }));
            ready.len()
        };
        assert_eq!(poll(), EVENTS_PER_POLL_MAX);
        assert_eq!((poll(), poll()), (BEYOND, 0));
        told.sort_unstable();
        assert!(told.into_iter().eq(0..open.len()), "each once");
    }
}
