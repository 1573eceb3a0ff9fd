//! A channel that ticks every second, over all transports at once.
//!
//! Run it with a port, `cargo run --release --example time 9002`, and read it as you like:
//! `curl -N 'localhost:9002/stream?ch=time'`, or `/sse`, `/ws`, `/poll`, `/iframe`, `/jsonp`.

use encke::server::{App, Config, Ctx, Object};

const SECOND_MS: u64 = 1_000;

struct Time;

impl App for Time {
    fn on_start(&mut self, ctx: &mut Ctx<'_>) {
        ctx.set_timer(SECOND_MS, 0);
    }

    fn on_timer(&mut self, ctx: &mut Ctx<'_>, _tag: u64) {
        let now = Object::new().number("seconds", ctx.wall() / SECOND_MS);
        if let Err(refusal) = ctx.publish("time", None, now.as_bytes()) {
            eprintln!("time stands still: {}", refusal.message);
        }
        ctx.set_timer(SECOND_MS, 0);
    }
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9002);
    let config = Config { jsonp: true, ..Config::default() };
    encke::serve(([127, 0, 0, 1], port).into(), config, Box::new(Time))
}
