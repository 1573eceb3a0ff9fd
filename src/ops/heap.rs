//! The heap: how the C library's allocator is to cut it up, so that resident memory keeps its bound.
//!
//! It knows nothing that is held. glibc maps a large block by itself and gives it back to the kernel when it
//! is freed, but raises the size from which it does so with each such block, up to 32 MiB. From then on
//! bodies, histories and images are cut out of one heap, and what is freed between two that stay is a hole
//! that nothing of another size fits into: half a budget more became resident, though nothing more was held.
//! With that size fixed nothing large leaves a hole. Read first: mallopt(3), `M_MMAP_THRESHOLD`; the glibc
//! manual, "Memory Allocation Tunables".
//!
//! Tunables are read once, when a program starts, and no safe call sets them later: the program executes
//! itself again, in the same process. Other C libraries have other allocators, which don't read them.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::limits::MAPPED_BYTES_MIN;

/// The variable that glibc reads tunables from.
const TUNABLES: &str = "GLIBC_TUNABLES";

/// The tunables that this program wants, unless whoever starts it has named some of the allocator's: then
/// theirs hold.
fn wanted(given: Option<OsString>) -> Option<OsString> {
    let mut tunables = given.unwrap_or_default();
    if tunables.to_string_lossy().contains("glibc.malloc.") {
        return None;
    }
    if !tunables.is_empty() {
        tunables.push(":");
    }
    tunables.push(format!("glibc.malloc.mmap_threshold={MAPPED_BYTES_MIN}"));
    Some(tunables)
}

/// Starts the program again with the tunables it wants, if it has none. Where that is not possible it goes on
/// without them: then more is resident, and nothing else is different.
pub(super) fn fix() {
    let Some(tunables) = wanted(std::env::var_os(TUNABLES)) else { return };
    let Ok(program) = std::env::current_exe() else { return };
    let args = std::env::args_os().skip(1);
    // It comes back only if it failed.
    let error = Command::new(program).args(args).env(TUNABLES, tunables).exec();
    log::debug!("the allocator stays as it is: {error}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunables_are_added_once_and_those_that_were_given_hold() {
        let ours = format!("glibc.malloc.mmap_threshold={MAPPED_BYTES_MIN}");
        assert_eq!(wanted(None), Some(ours.clone().into()));
        assert_eq!(wanted(Some(ours.clone().into())), None, "else it would start itself for ever");
        let other = OsString::from("glibc.cpu.x86_shstk=on");
        assert_eq!(wanted(Some(other)), Some(format!("glibc.cpu.x86_shstk=on:{ours}").into()));
        assert_eq!(wanted(Some("glibc.malloc.check=1".into())), None);
    }
}
