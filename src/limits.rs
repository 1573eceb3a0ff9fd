//! Every bound in the program: its value, its unit, and the reason for it.
//!
//! A bound that a command line may change is a default here and says so. Relations that other code
//! relies on are asserted at compile time at the end of this file.

/// Bytes of one request head, request line and all field lines, up to and with the empty line. Ten times
/// what a browser with many cookies sends; a head is the one thing a peer makes us hold before we know it.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a request target. RFC 9110, section 4.1 asks for at least 8,000.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Field lines of one request.
pub const HEADERS_MAX: usize = 64;

/// Bytes of one chunk-size line, extensions included, without its line end.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Bytes of all trailer fields of a chunked body together.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;

/// Bytes of a control frame's payload. RFC 6455, section 5.5.
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// Bytes of a channel name. The wire surface promises it.
pub const CHANNEL_NAME_BYTES_MAX: usize = 128;

const _: () = assert!(TARGET_BYTES_MAX < HEAD_BYTES_MAX);
