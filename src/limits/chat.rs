//! The bounds of the chat. It knows nothing else; relations to other bounds are asserted with those.

/// Characters of a nick. It must fit into an inbox's channel name, behind `@` and in UTF-8.
pub const NICK_CHARS_MAX: usize = 32;

/// Names that are somebody's, used or not.
pub const NAMES_MAX: usize = 20_000;

/// Names that one client is the first to take. Who wants more has something else in mind than to be called.
pub const NAMES_PER_CLIENT_MAX: usize = 8;

/// Names that nobody had which one network takes within `NAMES_MS`: a school's, and no more than a hundredth
/// of all.
pub const NAMES_PER_NETWORK_MAX: usize = 200;

/// Milliseconds in which so many are.
pub const NAMES_MS: u64 = 3_600_000;

/// Networks of which it is known how many names they took. Beyond them the first is forgotten.
pub const NAME_NETWORKS_MAX: usize = 20_000;

/// Milliseconds for which a person who is typing need not be told of again.
pub const TYPING_MS: u64 = 2_000;

/// Clients of one name at a time: the tabs and devices of a person, and no crowd that must be searched.
pub const TABS_MAX: usize = 32;

/// Milliseconds between two times that a person is told to be away or back.
pub const AWAY_MS: u64 = 2_000;

/// Rooms that are told that somebody is away or back: all that one client reads.
pub const AWAY_ROOMS_MAX: usize = super::SUBSCRIPTIONS_MAX;

/// People in an answer to `people`, and users in the list for moderators. Nobody reads on.
pub const PEOPLE_LISTED_MAX: usize = 1_000;

/// Rooms in an answer to `rooms`.
pub const ROOMS_LISTED_MAX: usize = 200;

/// Channels up to which the list of rooms is made anew for each who asks.
pub const ROOMS_FRESH_MAX: usize = 1_000;

/// Milliseconds for which a list of rooms that took longer serves everybody.
pub const ROOMS_FRESH_MS: u64 = 1_000;

/// Rooms that a notice is published to, those with the most readers.
pub const NOTICE_ROOMS_MAX: usize = 1_000;

/// Pairs of reader and author, or reader and room, of which it is remembered how far was read: some three
/// megabytes.
pub const RECEIPTS_MAX: usize = 16_384;

/// Users of a room up to which it is told who has read what. Everyone telling everyone makes n² events.
pub const RECEIPT_ROOM_MAX: usize = 32;

/// Bytes by which the copy of a private message may be longer than the message: a nick with every character
/// escaped, an id, and the names of three members.
pub const COPY_BYTES: usize = 1_024;

/// Names and networks that are muted and that are banned, each.
pub const SENTENCES_MAX: usize = 10_000;

/// Seconds that a mute or a ban may last: ten years, so that no sum of times runs over.
pub const SENTENCE_S_MAX: u64 = 10 * 365 * 86_400;

/// Bytes of a picture, unless the command line says otherwise: one that a page has made small enough for a
/// screen.
pub const PICTURE_BYTES_DEFAULT: usize = 512 * 1024;

/// Bytes of all pictures that are kept, unless the command line says otherwise.
pub const PICTURES_BYTES_DEFAULT: usize = 32 * 1024 * 1024;

/// Pictures that are kept, however small.
pub const PICTURES_MAX: usize = 4_096;

/// One person's pictures may take one part in this many of the room for all.
pub const PICTURE_SHARE: usize = 4;

/// All pictures may take one part in this many of the memory budget.
pub const PICTURES_MEMORY_SHARE: usize = 4;

/// Pixels of a picture. A browser that shows it needs four bytes for each, however few it was sent as.
pub const PICTURE_PIXELS_MAX: u64 = 40_000_000;

/// Bytes counted for a picture beyond its own: its name, its owner's, their places in two tables.
pub const PICTURE_OVERHEAD_BYTES: usize = 256;
