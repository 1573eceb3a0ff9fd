//! Pillar two: the formats. It knows no connection, no time and no socket.

pub mod body;
pub mod deflate;
pub mod extensions;
pub mod handshake;
pub mod http;
pub mod json;
pub mod message;
pub mod ndjson;
pub mod offence;
pub mod poll;
pub mod proxy;
pub mod response;
mod runs;
mod scan;
pub mod script;
pub mod sse;
pub mod target;
pub mod ws;
