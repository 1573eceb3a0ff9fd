//! encke: a comet server in one small program.
//!
//! (The architecture page; it grows with the house.)

pub mod limits;

pub mod reactor;

pub mod wire;

pub mod hub;

pub mod server;

pub mod chat;

pub mod ops;

mod web;
