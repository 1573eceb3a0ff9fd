//! What whoever runs the program may choose. Every default is a bound or a time of `limits.rs`.

use super::hosts;
use super::peer::Network;
use super::quota::Limits;
use crate::hub::Bounds;
use crate::limits;

/// The choices, with their defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// Serve the routes of the wire surface: `/ws`, `/sse`, `/poll`, `/publish` and the rest. Without them
    /// every request and every WebSocket, whatever its path, is the application's.
    pub comet: bool,
    /// Connections at a time. More are answered 503.
    pub connections: usize,
    /// How much one address and one connection may do in a time.
    pub limits: Limits,
    /// Bytes of all that is held for peers: what is kept, what waits, what is not whole, and the tables. The
    /// tables never shrink, so it wants `MEMORY_PER_CONNECTION` for each of `connections`.
    pub memory: usize,
    /// What each channel keeps, and how many channels and readers there may be.
    pub bounds: Bounds,
    /// Bytes of a request body, and of a WebSocket message.
    pub message_bytes: usize,
    /// Seconds between two heartbeats of a stream whose reader did not ask for others.
    pub heartbeat_s: u64,
    /// Milliseconds that a connection may stay between two requests. A proxy that keeps connections for
    /// longer sends a request, now and then, just as this side closes.
    pub idle_ms: u64,
    /// Bytes of a request's head, from [`HEAD_BYTES_MIN`](limits::HEAD_BYTES_MIN) to
    /// [`HEAD_BYTES_MAX`](limits::HEAD_BYTES_MAX).
    pub head_bytes: usize,
    /// Milliseconds for which a client without a connection is still present, and its sid still good.
    pub grace_ms: u64,
    /// Origins whose pages may use the server beside its own, `https://example.com` each, or
    /// `https://*.example.com` for every one below it; `*` is every one.
    pub origins: Vec<String>,
    /// Proxies that are believed when they say, in `X-Forwarded-For` or `Forwarded`, whom they speak for.
    pub trusted_proxies: Vec<Network>,
    /// Every connection comes from one of the trusted proxies and begins with a PROXY header, version 1 or 2.
    pub proxy_protocol: bool,
    /// The names that the server may be called by in `Host`, beside addresses and localhost; `*` is every
    /// one. `None`: every one too, but at a loopback address [`serve`](crate::serve) takes it for an empty
    /// list, so that no site can have its own name point here and pass for this one (DNS rebinding).
    pub hosts: Option<Vec<String>>,
    /// The key that back ends and moderators show. Without one nobody can; [`serve`](crate::serve) then draws
    /// one and tells it on the terminal.
    pub publish_key: Option<String>,
    /// Programs on this machine may publish to rooms and look at them without the key: as long as no other
    /// option and no request shows that a proxy stands in front. [`serve`](crate::serve) takes it back where
    /// the address is not a loopback one.
    pub open_local: bool,
    /// Everybody may publish to rooms without the key.
    pub open_publish: bool,
    /// The subprotocols of an application's own WebSockets, the best first: tokens (RFC 6455, section 11.5).
    pub subprotocols: Vec<&'static str>,
    /// Let WebSocket messages be compressed (RFC 7692) for clients that offer it.
    pub deflate: bool,
    /// Serve `/jsonp`, which any page of any site can read.
    pub jsonp: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            comet: true,
            connections: limits::CONNECTIONS_DEFAULT,
            limits: Limits::default(),
            memory: limits::MEMORY_DEFAULT,
            bounds: Bounds::default(),
            message_bytes: limits::MESSAGE_BYTES_DEFAULT,
            heartbeat_s: limits::HEARTBEAT_S_DEFAULT,
            idle_ms: limits::IDLE_MS,
            head_bytes: limits::HEAD_BYTES_DEFAULT,
            grace_ms: limits::GRACE_MS_DEFAULT,
            origins: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            hosts: None,
            publish_key: None,
            open_local: true,
            open_publish: false,
            subprotocols: Vec::new(),
            deflate: true,
            jsonp: false,
        }
    }
}

impl Config {
    /// Whether an option says that others than this machine's own programs come to this server: by a name,
    /// through a proxy, or with a page of another origin.
    pub(crate) fn names_proxy(&self) -> bool {
        let has_name = self.hosts.iter().flatten().any(|name| !hosts::is_own(name));
        has_name || self.proxy_protocol || !self.trusted_proxies.is_empty() || !self.origins.is_empty()
    }
}
