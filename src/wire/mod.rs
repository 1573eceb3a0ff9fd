//! Pillar two: the formats. It knows no connection, no time and no socket.

pub mod handshake;
pub mod json;
pub mod message;
pub mod ndjson;
pub mod poll;
pub mod script;
pub mod sse;
pub mod ws;
pub mod body;
pub mod http;
pub mod offence;
pub mod response;
pub mod target;
