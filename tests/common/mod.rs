//! What the tests over real sockets share: a server in a thread, a client that knows only bytes.
//!
//! Nothing here uses the server's own parsers or emitters: what both sides misunderstand alike would never
//! be found. Nothing sleeps either. A client waits for bytes, and fails with what it has read when they
//! don't come; where a time has to pass, the server's clock is moved.
//!
//! | file | holds |
//! |---|---|
//! | `machine` | a real kernel whose clock and whose faults are the test's |
//! | `client` | a connection: bytes, requests, responses, frames |
//! | `inflate` | DEFLATE read in the plainest way |
//! | `reader` | a client that reads events, over whichever transport |
//! | `writer` | somebody who sends commands |
//! | `stories` | what is true of every transport, told once |

#![allow(dead_code, unreachable_pub, reason = "every file under tests/ uses its own part of this")]

pub mod client;
pub mod inflate;
pub mod machine;
pub mod reader;
pub mod stories;
pub mod writer;

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use encke::chat::Chat;
use encke::reactor::Reactor;
use encke::reactor::io::{Stopper, entropy};
use encke::server::{App, Config, Server};
use serde_json::Value;

pub use self::client::{Client, Response};
use self::machine::{Machine, World};
pub use self::reader::{Reader, Way};

/// A server that runs in a thread of its own until this is dropped.
pub struct Running {
    pub address: SocketAddr,
    pub world: Arc<World>,
    stopper: Stopper,
    /// Closed when the server's thread has ended.
    end: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// The key of a server that was given none: the program draws one at its start.
pub const KEY: &str = "drawn-at-the-start";

/// The field of somebody who runs such a server.
pub const AS_OPERATOR: &str = "Authorization: Bearer drawn-at-the-start\r\n";

/// The chat, with the choices that `change` makes.
pub fn serve(change: impl FnOnce(&mut Config)) -> Running {
    serve_app(change, || Box::new(Chat::new()))
}

/// An application of the test's own.
pub fn serve_app(
    change: impl FnOnce(&mut Config),
    app: impl FnOnce() -> Box<dyn App> + Send + 'static,
) -> Running {
    let mut config = Config { publish_key: Some(KEY.to_owned()), ..Config::default() };
    change(&mut config);
    let world = Arc::new(World::default());
    let (report, started) = mpsc::channel();
    let (alive, end) = mpsc::channel();
    let seen = Arc::clone(&world);
    let thread = std::thread::spawn(move || {
        let _alive = alive;
        let machine = Machine::listen(seen);
        report.send((machine.address(), machine.stopper())).expect("the test waits for it");
        let mut server = Server::new(config, app(), Box::new(entropy));
        let mut reactor = Reactor::new(machine);
        while !reactor.is_finished() {
            reactor.turn(&mut server).expect("the kernel polls");
            reactor.links().audit();
            server.audit(reactor.links());
        }
        // What is left has not read its goodbye; this ends it.
        reactor.run(&mut server).expect("the kernel polls");
    });
    let (address, stopper) = started.recv().expect("it listens");
    Running { address, world, stopper, end, thread: Some(thread) }
}

impl Running {
    /// Asks it to end, as SIGTERM would.
    pub fn stop(&self) {
        self.stopper.stop();
    }

    /// Waits for its end, which must not take long.
    #[track_caller]
    pub fn join(mut self) {
        let end = self.end.recv_timeout(Duration::from_secs(5));
        assert_eq!(end, Err(RecvTimeoutError::Disconnected), "it does not end");
        self.thread.take().expect("not joined yet").join().expect("the server ends in good order");
    }

    /// Lets `ms` milliseconds of the server's time pass at once, and a tick of its timers more.
    pub fn skip(&self, ms: u64) {
        self.world.skip(ms + 100);
        let seen = self.world.looks();
        // It may be in the middle of a turn that began before; somebody knocks until another one has begun.
        while self.world.looks() == seen {
            drop(TcpStream::connect(self.address).expect("it listens"));
        }
    }

    /// Waits until the server has read all that was sent to it before, over whichever connection: the second
    /// of two requests is read in a turn that began after the first was answered.
    pub fn settle(&self) {
        self.connect().settle();
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// GET on a connection of its own.
    pub fn get(&self, path: &str) -> Response {
        self.connect().ask("GET", path, "Connection: close\r\n", b"")
    }

    /// POST on a connection of its own.
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.connect().ask("POST", path, "Connection: close\r\n", body.as_ref())
    }

    /// The same, by somebody who has the key.
    pub fn get_as_operator(&self, path: &str) -> Response {
        self.connect().ask("GET", path, &format!("Connection: close\r\n{AS_OPERATOR}"), b"")
    }

    /// The same, by somebody who has the key.
    pub fn post_as_operator(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.connect().ask("POST", path, &format!("Connection: close\r\n{AS_OPERATOR}"), body.as_ref())
    }

    /// Publishes as a back end does and gives back the message's id.
    pub fn publish(&self, channel: &str, body: impl AsRef<[u8]>) -> String {
        let path = format!("/publish/{channel}");
        let is_inbox = channel.starts_with('@');
        let response = if is_inbox { self.post_as_operator(&path, body) } else { self.post(&path, body) };
        assert_eq!(response.status, 200, "{response:?}");
        response.json()["id"].as_str().expect("an id").to_owned()
    }

    /// The counter of that name in the metrics.
    pub fn counter(&self, name: &str) -> u64 {
        let text = self.get_as_operator("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
    }

    /// Sends commands for a client and gives back the reply.
    pub fn command(&self, sid: &str, command: &Value) -> Value {
        let response = self.post(&format!("/send?sid={sid}"), command.to_string());
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // However the test ended, this does: by its time if not by itself.
        self.world.thaw();
        self.stop();
        let Some(thread) = self.thread.take() else { return };
        let ended = thread.join();
        assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
    }
}

/// The `code` of an error in a reply.
#[track_caller]
pub fn refused(reply: &Value) -> &str {
    assert_eq!(reply["ok"], false, "{reply}");
    reply["error"]["code"].as_str().expect("a code")
}
