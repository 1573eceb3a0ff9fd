//! Every bound in the program: its value, its unit, and the reason for it.
//!
//! A bound that a command line may change is a default here and says so. Relations that other code
//! relies on are asserted at compile time, below the bounds that they relate.

mod chat;
mod connection;
mod journal;
mod work;

pub use self::chat::*;
pub use self::connection::*;
pub use self::journal::*;
pub use self::work::*;

/// Bytes of a method. The longest one registered, UPDATEREDIRECTREF, has 17.
pub const METHOD_BYTES_MAX: usize = 32;

/// Empty lines passed over before a request line. RFC 9112, section 2.2 asks for one at least; old clients
/// send it after a body.
pub const EMPTY_LINES_MAX: u8 = 2;

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

/// Frames of one WebSocket message. Empty fragments cost a peer six bytes and grow nothing, so that the bound
/// on a message's bytes never stops them; this one does. 4 MiB in fragments of 64 bytes, which suites for
/// conformance send with an empty one behind, fit well.
pub const FRAGMENTS_MAX: u32 = 131_072;

/// Octets of a PROXY header. The addresses take 52 at most; the rest is for what proxies tell beside them,
/// of which the longest is the name in a client's certificate.
pub const PROXY_HEADER_BYTES_MAX: usize = 2 * 1024;

/// Hops of `X-Forwarded-For` or `Forwarded` that are looked at, from the right: who has more proxies.
pub const FORWARDED_HOPS_MAX: usize = 16;

/// Bytes of a message below which it is never compressed: what it would save is less than what it would cost
/// its readers. A chat line without context shrinks by a fifth at best.
pub const DEFLATE_BYTES_MIN: usize = 256;

/// Compressing must save one part in this many, or the message goes as it is.
pub const DEFLATE_GAIN: usize = 8;

/// zlib's level, 1 to 9.
pub const DEFLATE_LEVEL: u32 = 6;

/// Bytes of a message up to which the memory that it was compressed in is kept for the next one.
pub const DEFLATE_KEPT_BYTES_MAX: usize = 64 * 1024;

/// DEFLATE streams in one compressed message. Each costs an inflater its beginning, and two bytes make one.
/// Encoders make one, or one for each fragment.
pub const DEFLATE_STREAMS_MAX: usize = 1024;

/// A compressed message may be longer than the longest message by one part in this many, because there are
/// encoders, poor but lawful, to which nine bits are an octet.
pub const DEFLATED_SLACK: u32 = 8;

/// Arrays and objects inside one another in published JSON. Many parsers take no more than some hundred.
pub const JSON_DEPTH_MAX: usize = 64;

/// Bytes of a callback's name (iframe, JSONP): room for a few dotted namespaces and a generated suffix.
pub const CALLBACK_BYTES_MAX: usize = 128;

/// Bytes of padding in front of a stream. The hungriest browsers and proxies hold back 4 KiB to 8 KiB.
pub const PAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a channel name. The wire surface promises it.
pub const CHANNEL_NAME_BYTES_MAX: usize = 128;

/// Connections in the table, whatever the command line asks for. Slot numbers have 20 bits in a token.
pub const LINKS_MAX: usize = 1_000_000;

/// Places beyond the table's for connections that are told that it is full. Without a place of its own
/// such an answer could be lost to a reset.
pub const REFUSALS_MAX: usize = 64;

/// Connections that the kernel keeps for us until they are accepted.
pub const BACKLOG: i32 = 4096;

/// Events taken from the kernel at once.
pub const EVENTS_PER_POLL_MAX: usize = 1024;

/// Connections accepted in a turn.
pub const ACCEPTS_PER_TURN_MAX: usize = 256;

/// Milliseconds after which accepting is tried again when the system had no descriptor left.
pub const ACCEPT_RETRY_MS: u64 = 100;

/// Bytes of the receive buffer. There is one, for all connections.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Connections read from in a turn.
pub const LINKS_READ_PER_TURN_MAX: usize = 1024;

/// Reads from one connection in a turn. One that sends faster than that waits for the others.
pub const READS_PER_LINK_MAX: usize = 4;

/// Readers served between two rounds of writing: few enough for their links to stay in the cache.
pub const FAN_OUT_BATCH_MAX: usize = 256;

/// Writes in a turn. At three to four microseconds each this is the time for which a broadcast may delay all
/// else: two milliseconds.
pub const FLUSHES_PER_TURN_MAX: usize = 512;

/// Chunks handed to one system call. The kernel's own limit is 1,024 (IOV_MAX).
pub const SLICES_PER_WRITE_MAX: usize = 32;

/// Bytes that the kernel takes of a connection beyond what it has sent (TCP_NOTSENT_LOWAT). What a slow
/// reader has not been sent waits in the log then, once for all, and not in the kernel for each. Two runs:
/// one to be sent while the next is written.
pub const UNSENT_BYTES: u32 = 32 * 1024;

/// Bytes of a response's body up to which it is copied behind its head, to be written in one piece. A longer
/// one goes out as a second piece, and is held once however many are sent it.
pub const BODY_COPIED_BYTES_MAX: usize = 4 * 1024;

/// Bytes written to one connection in a turn.
pub const WRITE_BYTES_PER_LINK_MAX: usize = 256 * 1024;

/// Milliseconds that a connection whose end was asked for may take to read what waits for it.
pub const DRAIN_MS: u64 = 10_000;

/// Milliseconds that a peer may take to shut its side after we have shut ours.
pub const LINGER_MS: u64 = 2_000;

/// The same once the program ends: long enough for what is already on its way to us, and too short for
/// anyone who waits for the end to notice.
pub const LINGER_AT_STOP_MS: u64 = 50;

/// Bytes that a peer may send in that time.
pub const LINGER_BYTES_MAX: u32 = 1024 * 1024;

/// Milliseconds in which the program ends when it is asked to, whoever has not read his goodbye by then.
pub const STOP_MS: u64 = 1_000;

const _: () = assert!(LINKS_MAX + REFUSALS_MAX + 4 < 1 << 20);
const _: () = assert!(SLICES_PER_WRITE_MAX <= 1024 && FAN_OUT_BATCH_MAX <= FLUSHES_PER_TURN_MAX);
const _: () = assert!(LINGER_AT_STOP_MS < LINGER_MS && LINGER_AT_STOP_MS < STOP_MS);
// The head scanner and the body decoder count in small integers.
const _: () = assert!(HEAD_BYTES_MAX <= u32::MAX as usize && CHUNK_LINE_BYTES_MAX < u16::MAX as usize);
const _: () = assert!(TRAILER_BYTES_MAX < u16::MAX as usize);

// The hub. All of these are defaults of `hub::Bounds`, which the program may be told otherwise.

/// Channels open at once. A channel costs some 300 bytes beyond its messages and its readers.
pub const CHANNELS_MAX: usize = 65_536;

/// Readers joined at once: ten times the 100,000 connections one process is built for, because a client
/// that polls keeps its reader between two polls.
pub const READERS_MAX: usize = 1_000_000;

/// Channels one reader may subscribe to. Merging them costs a step for each in every take.
pub const SUBSCRIPTIONS_MAX: usize = 128;

/// Messages a channel keeps for readers that come back.
pub const CHANNEL_MESSAGES_MAX: usize = 1_024;

/// Bytes of the messages a channel keeps, so that a few long ones can't do what many short ones may not.
pub const CHANNEL_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of all that all channels keep together: what a small machine can spare for its log.
pub const LOG_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes of one message's data as canonical JSON. Long enough for a page of text, short enough that one
/// turn's messages are copied in well under a millisecond.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Milliseconds a message is kept: a day, so that whoever closes a laptop overnight misses nothing.
pub const MESSAGE_KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// Presence events a channel keeps beside its messages. They age fast: `who` tells the state.
pub const PRESENCE_KEPT_MAX: usize = 64;

/// Users of a channel up to which single joins and leaves are told. Everyone coming and everyone told makes
/// n² events; in a crowd of more than this nobody reads them.
pub const PRESENCE_TOLD_MAX: usize = 500;

/// Milliseconds an idempotency key is remembered at least. It lives as long as its message; this is for a
/// message that is evicted, or cleared, earlier. The wire surface promises five minutes.
pub const KEY_KEPT_MS: u64 = 5 * 60 * 1000;

/// Idempotency keys remembered of messages that were evicted before `KEY_KEPT_MS`: beyond what channels keep,
/// 400 keyed publishes a second for all of that time. A smaller `--memory` has room for fewer
/// (`MEMORY_KEYS_SHARE`).
pub const KEYS_MAX: usize = 131_072;

/// Bytes of one such key at most: its places in an index and a heap that have just doubled.
pub const EVICTED_KEY_BYTES: usize = 128;

/// Dropped channels whose floor is remembered by name. Beyond them one common floor is kept.
pub const TOMBSTONES_MAX: usize = 4_096;

/// Readers of one channel served before the next channel that has news gets its turn.
pub const FANOUT_SLICE: usize = 64;

/// Readers without news that one step of a fan-out passes over before it comes back to its caller, which
/// has a budget to look at.
pub const FANOUT_PASSED_OVER_MAX: usize = 256;

/// Messages joined into one run for readers at the same place. Who is further behind takes one at a time.
pub const RUN_MESSAGES_MAX: usize = 64;

/// Messages of a channel, the newest, that keep their images. Not fewer than a run has.
pub const FRESH_MESSAGES_MAX: usize = RUN_MESSAGES_MAX;

/// Milliseconds for which a message keeps its images: longer than a reader that keeps up needs them.
pub const FRESH_MS: u64 = 10_000;

/// Bytes of messages joined into one run; one message is a run whatever its length. A reader that has stopped
/// holds one.
pub const RUN_BYTES_MAX: usize = 16 * 1024;

const _: () = assert!(MESSAGE_BYTES_MAX < CHANNEL_BYTES_MAX && CHANNEL_BYTES_MAX < LOG_BYTES_MAX);
const _: () = assert!(PRESENCE_KEPT_MAX < CHANNEL_MESSAGES_MAX);
const _: () = assert!(KEY_KEPT_MS >= 5 * 60 * 1000);

// The hall.

/// Connections at a time, unless the command line says otherwise.
pub const CONNECTIONS_DEFAULT: usize = 16_384;

/// Bytes of a request body and of a WebSocket message, unless the command line says otherwise.
pub const MESSAGE_BYTES_DEFAULT: usize = 1024 * 1024;

/// Milliseconds that a request head may take from its first byte to its last.
pub const HEAD_MS: u64 = 10_000;

/// Milliseconds that a PROXY header may take. The proxy sends it with the connection.
pub const PROXY_MS: u64 = 5_000;

/// Milliseconds that a request body may take.
pub const BODY_MS: u64 = 60_000;

/// Milliseconds that a WebSocket message may take from its first byte to its last, with all its fragments.
pub const MESSAGE_MS: u64 = 60_000;

/// Milliseconds between two parts of a probe: longer than a network parts two packets that follow each
/// other, and short enough to wait for.
pub const PROBE_MS: u64 = 400;

/// Milliseconds after which a blank line follows what a stream over HTTP began with: long enough that a proxy
/// has read the head of the response by then, and well below what a reader notices.
pub const FOLLOW_UP_MS: u64 = 200;

/// Seconds between two heartbeats, unless asked otherwise. Proxies give up on silence after 30 or 60.
pub const HEARTBEAT_S_DEFAULT: u64 = 25;

/// Seconds between two heartbeats at least: one that asks for more is still no burden.
pub const HEARTBEAT_S_MIN: u64 = 1;

/// Seconds between two heartbeats at most.
pub const HEARTBEAT_S_MAX: u64 = 300;

/// Seconds between two pings on a WebSocket of an application's own: a peer that is gone is found by them.
pub const SOCKET_BEAT_S: u16 = 60;

/// Seconds that a poll is held, unless asked otherwise.
pub const WAIT_S_DEFAULT: u64 = 25;

/// Seconds that a poll is held at most.
pub const WAIT_S_MAX: u64 = 120;

/// Milliseconds for which a client without a connection is still present, unless the command line says
/// otherwise: longer than a page takes to reload, shorter than people wonder who is there.
pub const GRACE_MS_DEFAULT: u64 = 15_000;

/// Milliseconds without a byte taken after which a stream is given up. Long enough for a phone to come out
/// of a tunnel.
pub const STALL_MS: u64 = 120_000;

/// Milliseconds at least after which a client that is sent away should come back.
pub const RETRY_MS_MIN: u64 = 500;

/// Milliseconds at most after which a client that is sent away should come back. The spread between the two
/// is what a restart's reconnects are spread over.
pub const RETRY_MS_MAX: u64 = 4_000;

/// Bytes up to which a connection's outbox is filled from the log. What lies beyond waits in the log, where
/// it is everyone's.
pub const HIGH_WATER_BYTES: usize = 16 * 1024;

/// Bytes that may wait for a connection before an application's events for it are refused.
pub const SEND_QUEUE_BYTES_MAX: usize = 256 * 1024;

/// Bytes of messages in the answer to a poll. More comes with the next one.
pub const POLL_BYTES_MAX: usize = 256 * 1024;

/// Latest messages that reading may begin with.
pub const LAST_MAX: u32 = 1_000;

/// Messages in an answer to `history`, unless asked otherwise.
pub const HISTORY_DEFAULT: u64 = 50;

/// Messages in an answer to `history`.
pub const HISTORY_MAX: u64 = 1_000;

/// Bytes of messages in an answer to `history`; one message is given whatever its length.
pub const HISTORY_BYTES_MAX: usize = 256 * 1024;

/// Bytes of all replies to one `POST /send` together. Commands beyond that are not carried out.
pub const SEND_REPLY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of an idempotency key.
pub const KEY_BYTES_MAX: usize = 128;

/// Bytes of a command's `ref` as it is written.
pub const COMMAND_REF_BYTES_MAX: usize = 64;

/// Members of a command, and of every object within one that the server or an application reads by name.
pub const COMMAND_MEMBERS_MAX: usize = 256;

/// Bytes that a command may have beyond the message it carries.
pub const COMMAND_BYTES_MAX: usize = 4 * 1024;

/// Clients for each connection that may be open: pollers between two polls, and who is in a grace period.
pub const CLIENTS_PER_CONNECTION: usize = 4;

/// Commands in one `POST /send`.
pub const COMMANDS_PER_SEND_MAX: usize = 100;

/// Bytes of the names of fields that a preflight gets allowed beyond those that encke reads itself.
pub const PREFLIGHT_FIELDS_BYTES_MAX: usize = 1_024;

/// Lines of one `POST /publish`.
pub const BATCH_LINES_MAX: usize = 10_000;

/// Bytes of padding that a forever iframe begins with: Safari and Chromium hold back the first 1,024.
pub const IFRAME_PAD_BYTES_MIN: usize = 2_048;

/// The function that a forever iframe calls, unless asked otherwise.
pub const CALLBACK_DEFAULT: &str = "encke";

/// Milliseconds between two sweeps for old messages.
pub const SWEEP_MS: u64 = 1_000;

/// Channels looked at in a sweep.
pub const SWEEP_CHANNELS: usize = 1_024;

/// Readers that one unkept event (somebody is typing) is told to. In a larger room nobody could follow it.
pub const TELL_READERS_MAX: usize = 500;

/// So many a second in the long run, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In a second.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// Connections that one address may make. Hundreds of people behind one come back at once after a restart.
pub const CONNECTIONS_RATE: Rate = Rate { per_second: 50, burst: 1_000 };

/// Requests of one address: fifty short pollers and everyone's page loads.
pub const REQUESTS_RATE: Rate = Rate { per_second: 400, burst: 4_000 };

/// Messages that one address may publish.
pub const PUBLISHES_RATE: Rate = Rate { per_second: 100, burst: 1_000 };

/// Clients that one address may be. A page that comes back keeps its sid.
pub const CLIENTS_RATE: Rate = Rate { per_second: 50, burst: 1_000 };

/// Channels that one address may open: inboxes and rooms of all who are behind it.
pub const CHANNELS_RATE: Rate = Rate { per_second: 20, burst: 1_000 };

/// Wrong keys and secrets of one address: a script that is set up wrong gets by, a search does not.
pub const FAILURES_RATE: Rate = Rate { per_second: 1, burst: 40 };

/// Commands of one client: nobody types that fast, and who subscribes to all at once stays below.
pub const COMMANDS_RATE: Rate = Rate { per_second: 50, burst: 500 };

/// A login costs one command more for every so many channels that the client reads.
pub const LOGIN_SHARE: u32 = 8;

/// Frames of one WebSocket, control frames and fragments included, after which it is closed.
pub const FRAMES_RATE: Rate = Rate { per_second: 200, burst: 2_000 };

/// Bytes that compressed messages of one connection may come to before all others have their turn.
pub const INFLATED_BYTES_PER_TURN_MAX: u64 = 64 * 1024;

/// Connections that go on in a turn with what was more than their share of an earlier one.
pub const LINKS_CALLED_BACK_PER_TURN_MAX: usize = 8;

/// Connections or clients looked at in a full table to find one to end for a newcomer.
pub const IDLE_LOOKS_MAX: usize = 64;

/// Milliseconds for which a connection that says nothing is spared when a full table looks for one to end: as
/// long as its first request may be on its way. Newcomers would else push each other out before they spoke.
pub const SPARED_MS: u64 = 1_000;

/// Connections that an address may have and still take the place of anybody's idle one: what a browser opens,
/// and then some. An address with more takes the place of its own, or of one that has more than it.
pub const MODEST_ADDRESS_MAX: u32 = 8;

/// The part of each rate that `--limits strict` leaves, one of so many.
pub const STRICT_SHARE: u32 = 4;

/// The part of all connections that one address may have, one of so many.
pub const PER_ADDRESS_SHARE: usize = 8;

/// Connections that one address may have at least.
pub const PER_ADDRESS_MIN: usize = 64;

/// Addresses that are told apart, in some megabyte if all are used.
pub const ADDRESSES_MAX: usize = 16_384;

const _: () = assert!(COMMANDS_RATE.burst / STRICT_SHARE < FRAMES_RATE.burst / STRICT_SHARE);
const _: () = assert!(COMMANDS_RATE.burst as usize > SUBSCRIPTIONS_MAX);
const _: () = assert!(COMMANDS_RATE.burst / STRICT_SHARE > SUBSCRIPTIONS_MAX as u32 / LOGIN_SHARE);

/// Bytes of all that is held for peers, unless the command line says otherwise: `account` counts them, and
/// near this budget the server gives way in the order that `server/memory.rs` tells.
pub const MEMORY_DEFAULT: usize = 512 * 1024 * 1024;

/// Bytes of the least budget that one can ask for.
pub const MEMORY_MIN: usize = 16 * 1024 * 1024;

/// Bytes of the budget for each connection that is to be admitted. Its places in the tables take a third of
/// it, or two just after the tables have grown, and tables never shrink: without it a crowd could fill the
/// budget with them for good.
pub const MEMORY_PER_CONNECTION: usize = 1024;

const _: () = assert!(CONNECTIONS_DEFAULT * MEMORY_PER_CONNECTION <= MEMORY_MIN);

/// The part of the budget that all history together may take, one of so many: the rest is for those who are
/// connected.
pub const MEMORY_LOG_SHARE: usize = 2;

/// The part of the budget that keys of evicted messages may take, one of so many.
pub const MEMORY_KEYS_SHARE: usize = 32;

const _: () = assert!(KEYS_MAX <= MEMORY_DEFAULT / MEMORY_KEYS_SHARE / EVICTED_KEY_BYTES);

/// The part of the budget, one of so many, that history keeps until there is nothing else left to give up: or
/// whoever holds enough of the rest could make the server forget everything that was said.
pub const MEMORY_RESERVE_SHARE: usize = 16;

/// The part of the budget below its end at which history begins to be given up, one of so many.
pub const MEMORY_HIGH_SHARE: usize = 8;

/// The part of the budget below its end at which newcomers are refused, one of so many.
pub const MEMORY_FULL_SHARE: usize = 16;

/// The part of the budget that may be charged between two searches for what to give up, one of so many. A
/// search looks at every channel and every connection, a few milliseconds where there are 100,000.
pub const MEMORY_STEP_SHARE: usize = 64;

/// Bytes held for one connection below which it is not worth ending it to get them back.
pub const MEMORY_HEAVY_MIN: usize = 1024;

/// Bytes that a client without a connection holds alone, in subscriptions, below which it is not worth ending
/// it to get them back.
pub const MEMORY_ABSENT_MIN: usize = 128;

/// Subscriptions of one reader that are weighed; of one with more, some that stand for all.
pub const MEMORY_WEIGHED_MAX: usize = 16;

/// Bytes from which on a block of the heap is mapped by itself, and given back to the kernel when it is
/// freed: less than the bodies and histories that come and go, and more than most messages, which would pay
/// for it. With 64 KiB and with 32 KiB the holes still came to more than a quarter of the budget.
pub const MAPPED_BYTES_MIN: usize = 16 * 1024;

/// Milliseconds between two fruitless searches for what to give up, unless that much was charged in between.
pub const MEMORY_SEARCH_MS: u64 = 1_000;

const _: () = assert!(MEMORY_STEP_SHARE > MEMORY_FULL_SHARE && MEMORY_FULL_SHARE > MEMORY_HIGH_SHARE);
const _: () = assert!(LOG_BYTES_MAX <= MEMORY_DEFAULT / MEMORY_LOG_SHARE);
const _: () = assert!(MEMORY_RESERVE_SHARE > MEMORY_LOG_SHARE);
// What one read and its answers may take before anyone looks again.
const _: () = assert!(MEMORY_MIN / MEMORY_FULL_SHARE >= READ_BUFFER_BYTES);

const _: () = assert!(COPY_BYTES < MESSAGE_BYTES_MAX);
const _: () = assert!(PICTURES_BYTES_DEFAULT <= MEMORY_DEFAULT / PICTURES_MEMORY_SHARE);
const _: () =
    assert!(PICTURE_BYTES_DEFAULT + PICTURE_OVERHEAD_BYTES <= PICTURES_BYTES_DEFAULT / PICTURE_SHARE);
const _: () = assert!(PICTURE_BYTES_DEFAULT <= MESSAGE_BYTES_DEFAULT);

const _: () = assert!(3 * NICK_CHARS_MAX < CHANNEL_NAME_BYTES_MAX);
const _: () = assert!(READERS_MAX < 1 << 29, "a client's slot shares a timer's key with three other bits");
const _: () = assert!(HEARTBEAT_S_MAX <= u16::MAX as u64);
const _: () = assert!(FOLLOW_UP_MS < HEARTBEAT_S_MIN * 1000, "it comes before the first heartbeat");
const _: () = assert!(RETRY_MS_MIN < RETRY_MS_MAX && RETRY_MS_MAX <= u32::MAX as u64);
const _: () = assert!(IFRAME_PAD_BYTES_MIN <= PAD_BYTES_MAX && HIGH_WATER_BYTES < WRITE_BYTES_PER_LINK_MAX);
