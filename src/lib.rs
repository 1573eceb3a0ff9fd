//! encke is a comet server: one small native program that gives any web page live messages over every
//! transport a browser has ever had, and a chat on top of it that works out of the box.
//!
//! This page is the way in for someone who wants to read how such a server works, from `epoll_wait` to the
//! last byte of a frame. The program is a house: three pillars that don't know each other, a hall that joins
//! them, an application upstairs, a roof.
//!
//! ```text
//!                 ops: command line, log                    web: the pages
//!                                  chat: names, receipts
//!                          ── trait App, Ctx ──
//!          server: sessions, clients, routes, commands, delivery
//!    ── Handler, Links ──      ── bytes ──         ── Hub, Due, Item ──
//!    reactor                   wire                hub
//!    sockets, slots, turns     formats             messages, channels, readers
//!    ── trait Io ──                                      ── trait Journal ──
//!    the kernel, or a simulated one                     journal: the log in memory or on disk
//! ```
//!
//! The journal is the cellar beneath the hub. It is whole by itself and not joined to the hub yet.
//!
//! # The path of one message
//!
//! 1. Somebody sends `{"op":"publish","ch":"lobby","data":"hi"}` in a WebSocket frame. The kernel says
//!    that a socket is readable; [`reactor`] reads it into the one buffer of the program and hands the
//!    bytes to the [`server`], as [`Handler::on_read`](reactor::Handler::on_read).
//! 2. The connection's session gives them to the frame parser of [`wire`], which gives back a text message.
//!    It is read as a command, [`App`](server::App) is asked whether this client may publish there, and the
//!    data, brought into its one canonical spelling, goes to the [`hub`].
//! 3. The hub gives it the next number of the log and puts it into the ring of its channel, where it stays
//!    until count, bytes or age push it out. Nobody is told yet; the channel is only marked.
//! 4. At the end of the turn the hub names those who are due, one after the other, and the server queues
//!    for each the message's image: the frame, the event or the script call that it is on that transport,
//!    made once for all of them. Ten messages of one turn become one run of bytes.
//! 5. The reactor writes each outbox out. A socket that takes no more is left alone; its reader stays behind
//!    in the log and takes the next messages from there when it has drained. A poll that was held is
//!    answered.
//!
//! # Five ideas
//!
//! - **One log, one cursor.** A cursor is an epoch and a number. With it a reader leaves one transport and
//!   comes back on another, and gets every message once, in order, or is told of a gap.
//! - **The log is the queue.** Nobody has a backlog of his own. Ten thousand readers that have stopped
//!   reading cost what ten thousand silent ones do.
//! - **Encode once.** Nothing is encoded or copied for each receiver.
//! - **One turn, fixed phases.** Everything has a budget, and what a budget stopped is remembered.
//! - **One file touches the machine.** All else takes bytes and a time, so the whole server runs under a
//!   seed: see `tests/simulation.rs`.
//!
//! # Where to begin
//!
//! [`limits`] for every bound there is; [`reactor`] for the loop; `server/session.rs` for what may follow
//! what on a connection; [`hub`] for the log. An application of one's own begins with [`server::App`] and
//! [`serve`]; `examples/echo.rs` is one.

pub mod limits;

pub mod account;

pub mod work;

pub mod defect;

pub mod reactor;

pub mod wire;

pub mod journal;

pub mod hub;

pub mod server;

pub mod chat;

pub mod ops;

mod web;

pub use ops::serve;
pub use web::Library;
