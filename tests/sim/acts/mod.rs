//! What clients do: each act is one thing that a browser, a back end, a bad network or a bad peer would do.
//!
//! It knows no server. Which acts happen in a run, and how often, is drawn from the seed: a run in which everything
//! happens at once finds less than many runs that each insist on something (Groce et al., "Swarm Testing").

mod commands;
mod hostile;
mod moderators;
mod people;
mod publishing;
mod readers;
mod weather;

use encke::hub::Bounds;
use encke::limits::{MEMORY_LOG_SHARE, MEMORY_PER_CONNECTION};
use encke::server::{Config, Limits};

pub(crate) use self::people::login;
pub(crate) use self::publishing::{publish_again, publish_to};
use crate::scene::{Person, Scene};
use crate::sim::KEY;
use crate::sim::model::Kept;
use crate::sim::rng::Rng;

type Act = fn(&mut Scene);

/// Every act and how often it happens beside the others.
const ACTS: &[(Act, u32)] = &[
    (readers::new_reader, 30),
    (publishing::publish_one, 25),
    (readers::come_back, 30),
    (readers::move_over, 10),
    (readers::crowd_of_one_mind, 6),
    (readers::all_come_back, 10),
    (commands::publish_over_socket, 25),
    (publishing::publish_many, 10),
    (commands::publish_by_sid, 10),
    (publishing::publish_twice, 10),
    (publishing::publish_late, 6),
    (publishing::flood, 4),
    (publishing::publish_too_much, 2),
    (publishing::clear, 3),
    (commands::subscribe, 8),
    (commands::subscribe_back, 8),
    (commands::unsubscribe, 8),
    (commands::look_around, 8),
    (readers::stall, 10),
    (readers::read_slowly, 8),
    (readers::cut, 10),
    (readers::hang_up, 8),
    (readers::half_close, 6),
    (commands::ping, 8),
    (commands::close_socket, 6),
    (hostile::garbage, 10),
    (hostile::garbage_on_socket, 4),
    (hostile::dribble, 4),
    (hostile::pipeline, 8),
    (hostile::burst, 3),
    (hostile::crowd, 2),
    (hostile::greed, 6),
    (hostile::mob, 4),
    (weather::seconds_pass, 4),
    (weather::minutes_pass, 1),
    (weather::wall_clock_jumps, 3),
    (weather::machine_sleeps, 1),
    (weather::wire_is_cut, 5),
    (weather::wire_is_mended, 3),
    (weather::server_restarts, 1),
    (weather::descriptors_run_out, 4),
    (weather::noise, 4),
];

/// What people do who are known by name. In some runs they do little else.
const PEOPLES_ACTS: &[(Act, u32)] = &[
    (people::log_in, 40),
    (people::open_inbox, 25),
    (people::write_to_somebody, 30),
    (people::confirm, 25),
    (people::move_about, 8),
    (people::impersonate, 2),
    (moderators::take_back, 25),
    (moderators::sentence, 6),
    (moderators::kick, 2),
    (moderators::notice, 3),
    (moderators::clear_room, 2),
    (moderators::leave_picture, 6),
    (moderators::look_at_picture, 6),
];

/// The acts of one run, weighed.
pub(crate) struct Plan {
    weights: Vec<u32>,
}

impl Plan {
    pub(crate) fn new(rng: &mut Rng) -> Plan {
        let is_about_people = rng.per_mille(250);
        let peoples = PEOPLES_ACTS.iter().map(|(_, weight)| weight * if is_about_people { 5 } else { 1 });
        let weights =
            ACTS.iter().map(|(_, weight)| *weight).chain(peoples).map(|weight| match rng.below(4) {
                0 if !is_about_people => 0,
                1 => weight * 4,
                _ => weight,
            });
        let mut weights: Vec<u32> = weights.collect();
        // Without readers and messages there is nothing to see.
        weights[0] = weights[0].max(10);
        weights[1] = weights[1].max(10);
        Plan { weights }
    }

    pub(crate) fn act(&self, scene: &mut Scene) {
        let place = scene.rng.weighted(&self.weights);
        let (act, _) = ACTS.get(place).unwrap_or_else(|| &PEOPLES_ACTS[place - ACTS.len()]);
        act(scene);
    }
}

/// Milliseconds that a connection may stay between two requests: a reader that was refused tries again when its
/// connection has ended, and all of them must catch up in the time that there is for that.
const IDLE_MS: u64 = 60_000;

/// What the server of one run keeps: in most of them little of one kind, so that each bound is met alone.
pub(crate) fn draw_config(rng: &mut Rng) -> (Config, Kept) {
    // Everybody comes from one address here, and does in a second what people do in an hour.
    let publish_key = Some(KEY.to_owned());
    let mut config =
        Config { jsonp: true, limits: Limits::Off, idle_ms: IDLE_MS, publish_key, ..Config::default() };
    let bounds = &mut config.bounds;
    bounds.channel_messages = *rng.pick(&[2, 8, 64, 512]);
    match rng.below(6) {
        0 => bounds.channel_bytes = *rng.pick(&[1_000, 10_000]),
        1 => bounds.log_bytes = *rng.pick(&[3_000, 20_000]),
        2 => bounds.message_kept_ms = *rng.pick(&[3_000, 30_000]),
        _ => bounds.channel_bytes = 64 << 20,
    }
    // A few, so that they are dropped, or so many that none ever is.
    bounds.presences_kept = *rng.pick(&[3, 100_000]);
    let kept = kept(bounds);
    // Longer than a poller of this simulation takes to come back.
    config.grace_ms = *rng.pick(&[3_000, 15_000, 60_000]);
    config.connections = *rng.pick(&[8, 40, 1000, 1000]);
    let mut kept = kept;
    match rng.below(8) {
        // Each does in a second what a person does in an hour: it meets them.
        0 => config.limits = Limits::Strict,
        1 => {
            config.memory = *rng.pick(&[100_000, 150_000, 300_000]);
            // A table that a crowd has made large never shrinks. The program asks for half as much, but of more,
            // of which what is there from the start is a small part.
            config.connections = config.connections.min(config.memory / (2 * MEMORY_PER_CONNECTION));
            (kept.short, kept.presences) = (true, false);
            // What all history together may take is a part of that.
            kept.all_bytes = kept.all_bytes.min(config.memory / MEMORY_LOG_SHARE);
        }
        _ => {}
    }
    (config, kept)
}

fn kept(bounds: &Bounds) -> Kept {
    Kept {
        messages: bounds.channel_messages,
        bytes: bounds.channel_bytes,
        all_bytes: bounds.log_bytes,
        ms: bounds.message_kept_ms,
        // Those that age, or make room for others' messages, go without a gap.
        presences: bounds.presences_kept > 1000
            && bounds.message_kept_ms > 1 << 20
            && bounds.log_bytes > 1 << 20,
        short: false,
    }
}

/// The people of one run. Some know their secrets before they come for the first time.
pub(crate) fn draw_people(rng: &mut Rng) -> Vec<Person> {
    let nicks = ["ann", "Bob", "Łucja", "d_e", "李"];
    let count = rng.range(0, nicks.len());
    let person = |nick: &&str| {
        let mut bytes = [0; 15];
        rng.fill(&mut bytes);
        let secret = people::secret(&bytes);
        Person {
            nick: (*nick).to_owned(),
            secret: rng.coin().then_some(secret),
            known_in: None,
            muted: Default::default(),
            banned: Default::default(),
            sent_away: false,
        }
    };
    nicks[..count].iter().map(person).collect()
}
