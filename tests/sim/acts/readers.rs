//! Readers come, go, stall, and change their transport.

use crate::scene::Scene;
use crate::sim::client::Transport;

pub(super) fn transport(scene: &mut Scene) -> Transport {
    *scene.rng.pick(&Transport::ALL)
}

pub(super) fn some_channels(scene: &mut Scene) -> Vec<String> {
    let count = scene.rng.range(1, scene.channels.len());
    let mut channels = scene.channels.clone();
    while channels.len() > count {
        channels.remove(scene.rng.below(channels.len()));
    }
    channels
}

pub(super) fn new_reader(scene: &mut Scene) {
    if scene.model.readers.len() < 40 {
        let (channels, transport) = (some_channels(scene), transport(scene));
        scene.new_reader(&channels, transport);
    }
}

/// A reader without a line.
pub(super) fn come_back(scene: &mut Scene) {
    let absent: Vec<usize> =
        (0..scene.model.readers.len()).filter(|reader| scene.line_of(*reader).is_none()).collect();
    if !absent.is_empty() {
        let (reader, transport) = (*scene.rng.pick(&absent), transport(scene));
        scene.read(reader, transport);
    }
}

/// A reader with a line leaves it for another one, at once.
pub(super) fn move_over(scene: &mut Scene) {
    if let Some(place) = reading_line(scene) {
        let reader = scene.lines[place].reader.expect("a reading line has a reader");
        let (reset, transport) = (scene.rng.coin(), transport(scene));
        scene.abandon(place, reset);
        scene.read(reader, transport);
    }
}

pub(super) fn some_line(scene: &mut Scene, which: impl Fn(&crate::scene::Line) -> bool) -> Option<usize> {
    let places: Vec<usize> = (0..scene.lines.len()).filter(|place| which(&scene.lines[*place])).collect();
    (!places.is_empty()).then(|| *scene.rng.pick(&places))
}

pub(super) fn reading_line(scene: &mut Scene) -> Option<usize> {
    some_line(scene, |line| line.reader.is_some())
}

pub(super) fn socket(scene: &mut Scene) -> Option<usize> {
    some_line(scene, |line| line.is_live_socket() && line.reader.is_some())
}

pub(super) fn cut(scene: &mut Scene) {
    if let Some(place) = some_line(scene, |_| true) {
        scene.abandon(place, true);
    }
}

pub(super) fn hang_up(scene: &mut Scene) {
    if let Some(place) = some_line(scene, |_| true) {
        scene.abandon(place, false);
    }
}

pub(super) fn half_close(scene: &mut Scene) {
    if let Some(place) = some_line(scene, |line| line.conn.is_flushed() && !line.ending) {
        let peer = scene.lines[place].conn.peer;
        scene.world().shut(peer);
        scene.lines[place].ending = true;
    }
}

pub(super) fn stall(scene: &mut Scene) {
    if let Some(place) = reading_line(scene) {
        let ms = *scene.rng.pick(&[100, 1_000, 10_000, 100_000]);
        scene.lines[place].conn.stalled_until = scene.now() + ms;
    }
}

pub(super) fn read_slowly(scene: &mut Scene) {
    if let Some(place) = reading_line(scene) {
        scene.lines[place].conn.read_max = scene.rng.range(1, 200);
        scene.lines[place].conn.pace_ms = *scene.rng.pick(&[0, 10, 200]);
    }
}

/// Some readers of one channel over one transport, which take turns in falling behind: what one of them is sent
/// is made for all that stand at the same place, and for nobody else.
pub(super) fn crowd_of_one_mind(scene: &mut Scene) {
    let (channel, transport) = (scene.channels[0].clone(), stream(scene));
    for _ in 0..scene.rng.range(2, 5) {
        if scene.model.readers.len() >= 40 {
            return;
        }
        if let Some(place) = scene.new_reader(std::slice::from_ref(&channel), transport)
            && scene.rng.coin()
        {
            scene.lines[place].conn.stalled_until = scene.now() + scene.rng.range(1, 200) as u64;
        }
    }
}

fn stream(scene: &mut Scene) -> Transport {
    let streams: Vec<Transport> = Transport::ALL.into_iter().filter(|one| !one.is_poll()).collect();
    *scene.rng.pick(&streams)
}

/// Readers that were away since different times come back in the same moment, over one transport.
pub(super) fn all_come_back(scene: &mut Scene) {
    let transport = stream(scene);
    for reader in 0..scene.model.readers.len() {
        if scene.line_of(reader).is_none() && scene.rng.per_mille(800) {
            scene.read(reader, transport);
        }
    }
}
