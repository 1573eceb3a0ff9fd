//! The budgets of work, and what acts cost. The unit is what reading one byte costs, about a nanosecond: see
//! `work`. A cost is an estimate from measurements of an unloaded machine, rounded up.

/// Work of one turn: its timers, what it reads, what it writes, and by how much the last acts of each of them
/// may be beyond its budget.
pub const TURN_WORK_MAX: u64 =
    TIMERS_WORK_MAX + READ_BYTES_PER_TURN_MAX + WRITE_BYTES_PER_TURN_MAX + 4 * ACT_WORK_MAX;

/// Work of one act that is not interrupted: a request with its body, a message, what one reader is told at
/// once. The longest that a stranger can ask for is an array of commands at `/send`.
pub const ACT_WORK_MAX: u64 = 4 * 1024 * 1024;

/// Work of the timers of a turn. Those that are left come with the next turn.
pub const TIMERS_WORK_MAX: u64 = 1024 * 1024;

/// Bytes read in a turn, and work done about them, all connections together; beyond them no connection is
/// read from any more, so that one act is the most that exceeds them.
pub const READ_BYTES_PER_TURN_MAX: u64 = 4 * 1024 * 1024;

/// Bytes written in a turn, and work done for them, all connections together; beyond them no connection is
/// written to any more, so that the share of one is the most that exceeds them.
pub const WRITE_BYTES_PER_TURN_MAX: u64 = 4 * 1024 * 1024;

/// Work after which one connection is not read from again in its turn.
pub const SPENT_PER_LINK_MAX: u64 = 256 * 1024;

/// Work after which handing out news is interrupted by writing.
pub const FAN_OUT_SPENT_MAX: u64 = 1024 * 1024;

/// Work that an address may owe before its connections wait for those of others.
pub const DEBT_MAX: u64 = 4 * 1024 * 1024;

/// Work that an address can owe at most: it is light again after 20 s.
pub const DEBT_KEPT_MAX: u64 = 1024 * 1024 * 1024;

/// Work that an address is forgiven in a millisecond: a twentieth of what the machine can do.
pub const FORGIVEN_PER_MS: u64 = 50 * 1024;

/// Connections of heavy addresses that are written to in a turn, whatever the others have left of its budget.
pub const LATE_FLUSHES_MIN: usize = 1;

/// Writes to one connection before it waits for all others of the turn.
pub const WRITES_AT_ONCE_MAX: usize = 1;

/// Writes to one connection that has waited for the others.
pub const WRITES_PER_LINK_MAX: usize = 8;

/// Slices of readers that are served before one of a channel that can wait.
pub const FANOUT_URGENT_SLICES: u32 = 8;

/// To look whether a body is JSON, and to bring it into its canonical spelling, for one byte of it.
pub const CHECKED_BYTE_COST: u64 = 4;

/// To parse one byte of a command, whose members are found by name.
pub const PARSED_BYTE_COST: u64 = 16;

/// To compress one byte.
pub const DEFLATED_BYTE_COST: u64 = 30;

/// One event: to be numbered and put into a ring, or to be made and queued for one reader.
pub const EVENT_COST: u64 = 1024;

/// One reader that is to be told of an event, beside what is written to it.
pub const DELIVERY_COST: u64 = 512;

/// One item looked at in a list: a name, a subscription, a connection, a timer.
pub const ITEM_COST: u64 = 64;

/// One message taken from the log for one reader of several channels, and queued.
pub const TAKEN_COST: u64 = 256;

/// One request: its head judged, routed and answered.
pub const REQUEST_COST: u64 = 8 * 1024;

/// One new client: its secret, its places in the tables, the head of its stream.
pub const CLIENT_COST: u64 = 16 * 1024;

const _: () = assert!(FAN_OUT_SPENT_MAX < WRITE_BYTES_PER_TURN_MAX);
const _: () = assert!(SPENT_PER_LINK_MAX < READ_BYTES_PER_TURN_MAX);
const _: () = assert!(SPENT_PER_LINK_MAX <= DEBT_MAX && DEBT_MAX < DEBT_KEPT_MAX);
const _: () = assert!(DEBT_KEPT_MAX < u32::MAX as u64);
