//! What the loop counts. It knows no connection, only how many there were and what went over them.

/// Counted since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Turns of the loop.
    pub turns: u64,
    /// The most work that one turn has done, in the unit of `limits::work`.
    pub turn_work_max: u64,
    /// The most work that one turn has done about what it read from one connection.
    pub link_work_max: u64,
    /// Connections accepted, those refused for want of room included.
    pub accepted: u64,
    /// Connections that were told that there is no room.
    pub refused: u64,
    /// Times that the system had no descriptor left for a connection that waited.
    pub accept_faults: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Writes that the kernel took.
    pub writes: u64,
}
