//! The bounds of the journal: of its entries, its files, its queues, and what it holds in memory.

/// Bytes of one message's data in the log: the longest message that the command line allows, with its copy's
/// frame.
pub const ENTRY_DATA_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a user's name, or of a blob's, in an entry.
pub const ENTRY_NAME_BYTES_MAX: usize = 256;

/// Bytes of a record's key.
pub const RECORD_KEY_BYTES_MAX: usize = 256;

/// Bytes of a record's value: facts about a person or a room, and no picture.
pub const RECORD_VALUE_BYTES_MAX: usize = 4 * 1024;

/// Bytes that stand in the place of a message that was taken back.
pub const REDACTION_BYTES_MAX: usize = 4 * 1024;

/// Entries that are kept together or not at all.
pub const BATCH_ENTRIES_MAX: u16 = 256;

/// Bytes of a batch as it is proposed.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a batch as it is read: each of its messages may have been taken back since.
pub const BATCH_READ_BYTES_MAX: usize = BATCH_BYTES_MAX + BATCH_ENTRIES_MAX as usize * REDACTION_BYTES_MAX;

/// Batches that wait for the disk. Beyond them a publish is refused with `busy`.
pub const JOURNAL_QUEUE_MAX: usize = 65_536;

/// Bytes of the batches that wait for the disk, or for being applied.
pub const JOURNAL_QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Milliseconds that the oldest batch may have waited for the disk before further ones are refused.
pub const JOURNAL_BEHIND_MS: u64 = 2_000;

/// Milliseconds after which a publish that was refused with `busy` should be tried again.
pub const JOURNAL_RETRY_MS: u64 = 1_000;

/// Presences that wait while the queue is full, one a user and channel. Beyond them the oldest is forgotten:
/// the list of users tells the state.
pub const LATE_PRESENCES_MAX: usize = 16_384;

/// Batches that are written, and told, at once.
pub const GROUP_BATCHES_MAX: usize = 4_096;

/// Bytes after which no batch more is added to a group.
pub const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Milliseconds between two syncs under `--sync interval`: a second, less what a sync takes.
pub const SYNC_INTERVAL_MS: u64 = 800;

/// Milliseconds that a stop waits for the disk.
pub const JOURNAL_STOP_MS: u64 = 5_000;

/// Bytes of a segment after which the next one is begun.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes that a segment may have in any case: offsets within it have 32 bits.
pub const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Entries of a segment after which the next one is begun: its index is in memory until then.
pub const SEGMENT_ENTRIES: u32 = 262_144;

/// Channels of a segment after which the next one is begun, for the same reason.
pub const SEGMENT_CHANNELS: usize = 65_536;

/// Bytes of a segment's index as it is read: 12 for each message, 144 for each channel.
pub const INDEX_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of the filters that tell in which segments a key is not: 26 million keys. Those of older segments
/// are looked for on disk.
pub const KEY_FILTERS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Milliseconds after which a segment that does not fill is closed, at most. It is what lets a quiet server's
/// messages grow old.
pub const SEGMENT_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// The same, at least, however short messages are kept.
pub const SEGMENT_MS_MIN: u64 = 60 * 1000;

/// Segments closed within the time that messages are kept: so much longer they may be on disk.
pub const SEGMENTS_PER_AGE: u64 = 8;

/// Numbers promised at once. So many are skipped after a loss of power.
pub const PROMISE_NUMBERS: u64 = 65_536;

/// Bytes that a file is read ahead while it is scanned.
pub const SCAN_BYTES: usize = 256 * 1024;

/// Bytes of the file of records and of what waits to be erased, as it is read.
pub const STATE_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Records of an application.
pub const RECORDS_MAX: usize = 262_144;

/// Bytes of all records, keys and values.
pub const RECORDS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Users in channels whom the log knows to be there.
pub const PRESENT_MAX: usize = 1_000_000;

/// Messages that wait for their readers, in all inboxes. Beyond them an inbox gives up its oldest, which then
/// is kept as long as other messages.
pub const KEPT_MAX: usize = 262_144;

/// Messages that wait in one inbox, by the same rule.
pub const KEPT_PER_CHANNEL_MAX: usize = super::CHANNEL_MESSAGES_MAX;

/// Messages that were taken back and are still on disk. At this bound they are erased at once.
pub const ERASURES_MAX: usize = 16_384;

/// Files of messages that wait for their readers, beyond which they are made one.
pub const KEEPERS_MAX: usize = 16;

/// Bytes of a segment that are rewritten between two groups, so that publishes don't wait for it.
pub const REWRITE_STEP_BYTES: usize = 1024 * 1024;

/// Milliseconds between two looks for old segments, or for room on a disk that was full.
pub const TEND_MS: u64 = 1_000;

/// Milliseconds within which a message that was taken back is erased from disk, unless the command line says
/// otherwise.
pub const ERASE_WITHIN_MS: u64 = 24 * 60 * 60 * 1000;

/// Milliseconds for which messages are kept on disk, unless the command line says otherwise: 30 days.
pub const JOURNAL_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Milliseconds for which a message waits for its reader: 90 days.
pub const INBOX_KEPT_MS: u64 = 90 * 24 * 60 * 60 * 1000;

/// Bytes of all segments, unless the command line says otherwise.
pub const JOURNAL_BYTES_DEFAULT: u64 = 10 * 1024 * 1024 * 1024;

/// Bytes that are held for the moment in which the disk is full, so that messages can still be deleted.
pub const BALLAST_BYTES: u64 = 4 * 1024 * 1024;

/// Reads of history that are under way or wait for their turn.
pub const HISTORY_READS_MAX: usize = 4;

/// Messages of one read.
pub const HISTORY_PAGE_MAX: usize = 256;

/// Bytes of one read, after the first message.
pub const HISTORY_PAGE_BYTES_MAX: usize = 64 * 1024;

/// Times that a read is begun again because a segment was rewritten or dropped under it.
pub const HISTORY_TRIES_MAX: usize = 8;

/// Times that a backup is begun again because a segment was dropped under it.
pub const BACKUP_TRIES_MAX: usize = 8;

/// Faults that a check of a folder names, of those that it counts.
pub const FAULTS_TOLD_MAX: usize = 64;

/// Wall milliseconds before which no clock can be right, because this was written then: the ages of the log
/// don't follow a clock that says less.
pub const WALL_MS_MIN: u64 = 1_795_000_000_000;

const _: () = assert!(super::MESSAGE_BYTES_MAX + super::COPY_BYTES <= ENTRY_DATA_BYTES_MAX);
const _: () = assert!(ENTRY_DATA_BYTES_MAX < BATCH_BYTES_MAX && BATCH_BYTES_MAX < JOURNAL_QUEUE_BYTES_MAX);
const _: () = assert!(RECORDS_BYTES_MAX < STATE_BYTES_MAX);
const _: () = assert!(SEGMENT_ENTRIES as usize * 12 + SEGMENT_CHANNELS * 144 < INDEX_BYTES_MAX);
const _: () =
    assert!(SEGMENT_BYTES + GROUP_BYTES_MAX as u64 + BATCH_READ_BYTES_MAX as u64 <= SEGMENT_BYTES_MAX);
const _: () = assert!(SEGMENT_BYTES_MAX < u32::MAX as u64);
