//! The other side of every connection: a simulated kernel, and what talks to the server through it.
#![allow(dead_code, reason = "each test program uses its own part of this")]

pub(crate) mod client;
pub(crate) mod decode;
#[path = "../common/inflate.rs"]
pub(crate) mod inflate;
pub(crate) mod kernel;
pub(crate) mod model;
pub(crate) mod rng;
pub(crate) mod stage;
pub(crate) mod track;

/// The key for back ends and moderators.
pub(crate) const KEY: &str = "key";
