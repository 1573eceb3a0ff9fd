//! Time and the machine: clocks that jump, faults that stay, wires that are cut, a server that dies.

use super::readers::some_line;
use crate::scene::Scene;
use crate::sim::kernel::Faults;

pub(super) fn seconds_pass(scene: &mut Scene) {
    let ms = scene.rng.range(1_000, 20_000) as u64;
    scene.pass(ms);
}

pub(super) fn minutes_pass(scene: &mut Scene) {
    let ms = scene.rng.range(60_000, 200_000) as u64;
    scene.pass(ms);
}

pub(super) fn wall_clock_jumps(scene: &mut Scene) {
    let hour = 3_600_000;
    let wall = scene.world().wall_ms;
    scene.world().wall_ms = if scene.rng.coin() { wall + hour } else { wall - hour };
}

/// A shortage begins, or ends: it lasts until this act comes again.
pub(super) fn descriptors_run_out(scene: &mut Scene) {
    let shortage = scene.world().faults.descriptors.is_some();
    let open = scene.world().open();
    let max = open + scene.rng.below(4);
    scene.world().faults.descriptors = (!shortage).then_some(max);
}

/// The kernel's own moods.
pub(super) fn noise(scene: &mut Scene) {
    let mut chance = |max| if scene.rng.coin() { scene.rng.below(max) as u32 } else { 0 };
    let faults = Faults {
        aborted: chance(100),
        interrupted: chance(200),
        unwatched: chance(30),
        stale: chance(300),
        spurious: chance(300),
        partial: chance(500),
        descriptors: None,
    };
    let descriptors = scene.world().faults.descriptors;
    scene.world().faults = Faults { descriptors, ..faults };
}

/// The machine was suspended: all clocks go on at once, and nobody had a turn in between.
pub(super) fn machine_sleeps(scene: &mut Scene) {
    let ms = *scene.rng.pick(&[5_000, 60_000, 7_200_000]);
    scene.jump(ms);
}

/// A wire carries nothing until it is mended. Neither end is told.
pub(super) fn wire_is_cut(scene: &mut Scene) {
    if let Some(place) = some_line(scene, |_| true) {
        scene.lines[place].was_lost = true;
        let peer = scene.lines[place].conn.peer;
        scene.world().lose(peer, true);
    }
}

pub(super) fn wire_is_mended(scene: &mut Scene) {
    scene.world().mend();
}

/// The program is killed and another one started, or it ends as it should.
pub(super) fn server_restarts(scene: &mut Scene) {
    scene.restart();
}
