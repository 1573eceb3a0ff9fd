//! Work: how much a turn of the loop has done, by an estimate of what each act costs.
//!
//! It knows no connection and no turn. An act whose cost a peer can choose (bytes read, parsed, compressed,
//! inflated, written; events numbered, looked for, listed) spends its cost where it is done, and the phases
//! of a turn stop when enough was spent: see `limits::work` for the costs and the budgets. The loop has one
//! thread, and so has the sum: each thread has its own.
//!
//! ```text
//!   act ── spend(cost) ──► spent ── read by ──► the phases of a turn, a connection's share, a peer's debt
//!   publish ── cause(cost) ──► caused ── read by ──► a peer's debt: others are told in later turns
//! ```
//!
//! The unit is what reading one byte costs, about a nanosecond. A count and not a clock, so that a turn does
//! the same under every load of the machine, and the simulation can hold every turn to its budget.

use std::cell::Cell;

thread_local! {
    static SPENT: Cell<u64> = const { Cell::new(0) };
    static CAUSED: Cell<u64> = const { Cell::new(0) };
}

/// Takes note of an act that costs as much as reading so many bytes.
pub fn spend(cost: u64) {
    SPENT.with(|spent| spent.set(spent.get().wrapping_add(cost)));
}

/// What this thread has spent since it began.
#[must_use]
pub fn spent() -> u64 {
    SPENT.with(Cell::get)
}

/// Takes note of an act that makes work for later turns: a message that many have to be told.
pub fn cause(cost: u64) {
    CAUSED.with(|caused| caused.set(caused.get().wrapping_add(cost)));
}

/// What this thread has spent and caused since it began: who asked for an act owes both.
#[must_use]
pub fn owed() -> u64 {
    spent().wrapping_add(CAUSED.with(Cell::get))
}
