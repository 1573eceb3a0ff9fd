//! Rooms: the channels that people chat in, listed for whoever asks.
//!
//! A room is any channel that is nobody's inbox; it begins with its first reader or message and ends when
//! neither is left. The default rooms are listed all the same.

use std::cmp::Reverse;

use crate::limits::{ROOMS_FRESH_MAX, ROOMS_FRESH_MS, ROOMS_LISTED_MAX};
use crate::server::{ChannelInfo, Ctx, Object};

/// See the top of this file.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    /// When the listing was made, if there were so many channels that it serves for a while.
    listing: Option<(u64, Object)>,
}

impl Rooms {
    /// Bytes of the listing that is kept.
    pub(super) fn held(&self) -> usize {
        self.listing.as_ref().map_or(0, |(_, listing)| listing.as_bytes().len())
    }

    /// `rooms {}`: those with the most users first.
    pub(super) fn list(&mut self, ctx: &Ctx<'_>, defaults: &[String]) -> Object {
        let now = ctx.now();
        if let Some((made, listing)) = &self.listing
            && now - made < ROOMS_FRESH_MS
        {
            return listing.clone();
        }
        let (listing, looked_at) = list(ctx, defaults);
        self.listing = (looked_at > ROOMS_FRESH_MAX).then(|| (now, listing.clone()));
        listing
    }
}

/// One line of the listing.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Room<'a> {
    users: Reverse<usize>,
    name: &'a str,
    readers: usize,
}

/// The listing, and how many channels were looked at for it.
fn list(ctx: &Ctx<'_>, defaults: &[String]) -> (Object, usize) {
    let mut looked_at = 0;
    let is_room = |channel: &ChannelInfo<'_>| {
        looked_at += 1;
        let is_default = || defaults.iter().any(|room| **room == **channel.name);
        !channel.name.starts_with('@') && (channel.readers > 0 || channel.kept > 0) && !is_default()
    };
    let others = ctx.channels().filter(is_room);
    let mut others: Vec<Room<'_>> = others
        .map(|channel| Room { users: Reverse(channel.users), name: channel.name, readers: channel.readers })
        .collect();
    let room_for = ROOMS_LISTED_MAX.saturating_sub(defaults.len());
    if others.len() > room_for {
        others.select_nth_unstable(room_for);
        others.truncate(room_for);
    }
    let defaults = defaults.iter().map(|name| {
        let (users, readers) = ctx.channel(name).map_or((0, 0), |channel| (channel.users, channel.readers));
        Room { users: Reverse(users), name, readers }
    });
    let mut rooms: Vec<Room<'_>> = others.into_iter().chain(defaults).collect();
    rooms.sort_unstable();
    let rooms: Vec<Object> = rooms
        .iter()
        .map(|room| {
            Object::new()
                .string("name", room.name)
                .number("users", room.users.0 as u64)
                .number("readers", room.readers as u64)
        })
        .collect();
    (Object::new().array("rooms", rooms.iter().map(Object::as_bytes)), looked_at)
}
