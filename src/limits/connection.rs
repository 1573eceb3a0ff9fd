//! Bounds of a connection that depend on what stands around the program: browsers, proxies, the system.

use super::{METHOD_BYTES_MAX, TARGET_BYTES_MAX};

/// Bytes of one request head, request line and all field lines, up to and with the empty line, unless the
/// command line says otherwise. Ten times what a browser with many cookies sends; a head is the one thing a
/// peer makes us hold before we know it.
pub const HEAD_BYTES_DEFAULT: usize = 16 * 1024;

/// Bytes of a head that the command line can't go below: a longest target and some fields.
pub const HEAD_BYTES_MIN: usize = 12 * 1024;

/// Bytes of a head that the command line can't go beyond: the cookies of some thirty sites on one host.
pub const HEAD_BYTES_MAX: usize = 128 * 1024;

/// Milliseconds that a connection may stay between two requests, unless the command line says otherwise.
/// Longer than proxies keep theirs, or a request is now and then on its way when this side closes, and its
/// sender is told 502: nginx and AWS's load balancers keep them for 60 s, Oracle's for 300, Google's for 600.
pub const IDLE_MS: u64 = 620_000;

/// Seconds of that at least.
pub const IDLE_S_MIN: u64 = 1;

/// Seconds of that at most: a day.
pub const IDLE_S_MAX: u64 = 86_400;

/// Descriptors that the program has open beside its connections: standard input, output and error, the
/// listener, epoll, the pair through which signals come, and a few more.
pub const DESCRIPTORS_SPARED: usize = 32;

const _: () = assert!(METHOD_BYTES_MAX + TARGET_BYTES_MAX < HEAD_BYTES_MIN);
const _: () = assert!(HEAD_BYTES_MIN <= HEAD_BYTES_DEFAULT && HEAD_BYTES_DEFAULT <= HEAD_BYTES_MAX);

/// Times that one connection is asked for more within a turn, once what waited for it is out. Each may make
/// an answer, and small answers reach no bound of bytes.
pub const DRAINS_PER_LINK_MAX: usize = 32;

/// Bytes after which no further message is compressed in a turn. The slowest text takes 30 nanoseconds a
/// byte, so three milliseconds, and the last message may take two more. What comes after goes out as it is
/// (RFC 7692, section 6).
pub const DEFLATE_BYTES_PER_TURN_MAX: u64 = 96 * 1024;

/// Bytes of a reply to one client up to which it is compressed. Longer ones, which a few bytes can ask for,
/// would take the turn's compression away from messages that are compressed once for many.
pub const DEFLATE_REPLY_BYTES_MAX: usize = 16 * 1024;

const _: () = assert!(DEFLATE_REPLY_BYTES_MAX as u64 <= DEFLATE_BYTES_PER_TURN_MAX);
