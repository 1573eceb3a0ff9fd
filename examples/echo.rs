//! What comes is sent back: on a WebSocket to any path, and as the body of any POST.
//!
//! Run it with a port: `cargo run --release --example echo 9001`.

use encke::server::{App, ClientId, Config, Ctx, Message, Request, Response};

struct Echo;

impl App for Echo {
    fn on_message(&mut self, ctx: &mut Ctx<'_>, client: ClientId, message: Message<'_>) {
        ctx.send_message(client, message);
    }

    fn on_request(&mut self, _ctx: &mut Ctx<'_>, request: &Request<'_>) -> Response {
        let body = if request.method() == "POST" { request.body.to_vec() } else { Vec::new() };
        Response::new(200).with_body("application/octet-stream", body)
    }
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9001);
    // It has nothing that a page of another site, or of another name, could take.
    let every = vec!["*".to_owned()];
    let (origins, hosts) = (every.clone(), Some(every));
    let config = Config { comet: false, message_bytes: 16 << 20, origins, hosts, ..Config::default() };
    encke::serve(([127, 0, 0, 1], port).into(), config, Box::new(Echo))
}
