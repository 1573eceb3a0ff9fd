//! How many files the system lets the program have open, and how many connections fit into that.
//!
//! It knows no connection. Each takes a descriptor, and the usual limit is 1,024 although the system would
//! let a program raise its own to a hundred times as many. Read first: getrlimit(2), the part on
//! RLIMIT_NOFILE.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::{DESCRIPTORS_SPARED, REFUSALS_MAX};

/// Raises the limit to what the system allows without a privilege. How many descriptors the program may have
/// then; `None` for any number.
pub(super) fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    // Where the system refuses (macOS, a limit that is no number) it stays what it was.
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// How many of `connections` fit into a limit, and, if that is not all, a sentence that says so and what to
/// do.
pub(super) fn fit(connections: usize, limit: Option<u64>) -> (usize, Option<String>) {
    let beside = DESCRIPTORS_SPARED + REFUSALS_MAX;
    let room = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let reachable = room.saturating_sub(beside).max(1);
    if connections <= reachable {
        return (connections, None);
    }
    let (limit, needed) = (room, connections.saturating_add(beside));
    let sentence = format!(
        "the system lets this program have {limit} files open, which is enough for {reachable} connections \
         and not for {connections}: allow {needed} (LimitNOFILE={needed} in a unit of systemd, \
         `ulimit -n {needed}` in a shell that may, --ulimit nofile={needed} for a container), or say \
         --connections {reachable}"
    );
    (reachable, Some(sentence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told() {
        let beside = (DESCRIPTORS_SPARED + REFUSALS_MAX) as u64;
        assert_eq!(fit(16_384, None), (16_384, None));
        assert_eq!(fit(900, Some(900 + beside)), (900, None));
        let (reachable, said) = fit(16_384, Some(1_024));
        let said = said.expect("it does not fit");
        assert_eq!(reachable as u64, 1_024 - beside);
        for number in [1_024, reachable, 16_384, 16_384 + beside as usize] {
            assert!(said.contains(&number.to_string()), "{number}: {said}");
        }
        assert_eq!(fit(10, Some(3)).0, 1);
    }
}
