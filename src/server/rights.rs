//! Rights: what a request may do beyond what every client may.
//!
//! It knows no command and no route. The publish key gives every right. A program on this machine has some
//! without the key, as long as nothing shows that a proxy stands in front of this server; and everybody may
//! have one. Where a request comes from can be seen from the outside only, and a proxy may pass it on as if
//! it were a program's: so a right that is given without the key never goes beyond what a client has anyway.
//!
//! | right | the key | a program on this machine | everybody |
//! |---|---|---|---|
//! | `PublishToRoom` | yes | with `open_local`, until a proxy shows | with `open_publish` |
//! | `LookAtRooms` | yes | with `open_local`, until a proxy shows | no |
//! | `Operate` | yes | no | no |

use log::warn;

use super::app::Request;
use super::client::same_bytes;
use super::hall::Hall;
use super::peer;
use super::refusal::Refusal;
use crate::wire::http::{Head, Version};

/// Something that not every request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Publishing to a room, in no user's name.
    PublishToRoom,
    /// Listing rooms, their users and what they keep, as every client can.
    LookAtRooms,
    /// All else that back ends and moderators do: publishing into inboxes and looking into them, clearing,
    /// counters, acting on people.
    Operate,
}

impl Right {
    /// What publishing to a channel takes. An inbox takes what users write, and the word of a back end.
    pub fn publish(channel: &str) -> Right {
        if channel.starts_with('@') { Right::Operate } else { Right::PublishToRoom }
    }

    /// What looking into a channel takes.
    pub fn look(channel: &str) -> Right {
        if channel.starts_with('@') { Right::Operate } else { Right::LookAtRooms }
    }
}

impl Hall {
    /// Whether a request has a right.
    ///
    /// # Errors
    /// It has not: 401, or 403 where no key would help, for there is none.
    pub(super) fn permit(&self, right: Right, request: &Request<'_>) -> Result<(), Refusal> {
        match self.shown_key(request) {
            Some(true) => return Ok(()),
            None if self.is_open(right, request) => return Ok(()),
            Some(false) | None => {}
        }
        if self.config.publish_key.is_none() {
            let sentence = "This needs a publish key: start encke with ENCKE_PUBLISH_KEY set, and send it.";
            return Err(Refusal::new(403, "needs_key", sentence));
        }
        let sentence = "Send the publish key as `Authorization: Bearer KEY`: the one that encke was \
            given, or tells on the terminal when it starts.";
        Err(Refusal::new(401, "unauthorized", sentence).with_field("WWW-Authenticate", "Bearer"))
    }

    /// Whether the key that a request shows is the right one; None if it shows none.
    pub(super) fn shown_key(&self, request: &Request<'_>) -> Option<bool> {
        let (scheme, token) = request.header("authorization")?.split_once(' ')?;
        let key = self.config.publish_key.as_ref()?;
        let is_bearer = scheme.eq_ignore_ascii_case("bearer");
        is_bearer.then(|| same_bytes(token.trim().as_bytes(), key.as_bytes()))
    }

    fn is_open(&self, right: Right, request: &Request<'_>) -> bool {
        let is_local = self.config.open_local && !self.has_proxy && request.peer.is_local();
        match right {
            Right::PublishToRoom => is_local || self.config.open_publish,
            Right::LookAtRooms => is_local,
            Right::Operate => false,
        }
    }

    /// Remembers that a request has shown that a proxy stands in front of this server: what comes through it
    /// may look like a program's the next time.
    pub(super) fn mark_proxy(&mut self, head: &Head<'_>, is_proxied: bool) {
        if self.has_proxy || !is_proxied || (head.version == Version::Http10 && !peer::shows_proxy(head)) {
            return;
        }
        self.has_proxy = true;
        if self.config.open_local {
            warn!(
                "a request came through a proxy, or by a name that is not this machine's own: from now on \
                 programs on this machine need the publish key, too"
            );
        }
    }
}
