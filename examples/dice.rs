//! The chat, page and all, with one command more: `{"op":"roll","ch":"lobby","dice":[6,6]}` throws dice in a room,
//! and nobody has to take the player's word for what came.
//!
//! Run it with a port, `cargo run --release --example dice 9003`, and chat on its page. The command goes up like
//! any other, on `/ws` or by `POST /send`; from a page of your own, over `/encke.js`:
//! `c.command("roll", { ch: "lobby", dice: [6, 20] })`.

use encke::chat::Chat;
use encke::server::{App, ClientId, Command, Config, Ctx, Object, Refusal};

/// Dice thrown at once.
const DICE_MAX: usize = 8;

/// The chat, and dice.
#[derive(Default)]
pub struct Dice {
    chat: Chat,
}

impl App for Dice {
    // All that is not said here is done by the chat.
    fn base(&mut self) -> Option<&mut dyn App> {
        Some(&mut self.chat)
    }

    fn on_command(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        if command.op() != "roll" {
            return self.chat.on_command(ctx, client, command);
        }
        let (room, dice) = (command.string("ch")?, command.numbers("dice")?);
        let is_fair =
            (1..=DICE_MAX).contains(&dice.len()) && dice.iter().all(|sides| (2..=100).contains(sides));
        if !is_fair || room.starts_with('@') {
            return Err(Refusal::bad_value("dice", "up to 8 dice of 2 to 100 sides, thrown in a room"));
        }
        let mut random = [0; DICE_MAX];
        ctx.random(&mut random);
        let thrown: Vec<String> =
            dice.iter().zip(random).map(|(sides, byte)| (u64::from(byte) % sides + 1).to_string()).collect();
        let said = Object::new().string("text", &format!("🎲 {}", thrown.join(" ")));
        // The chat knows who may speak, and where; the message is the player's.
        self.chat.on_publish(ctx, client, &room, said.as_bytes())?;
        let user = ctx.user(client).map(str::to_owned);
        let id = ctx.publish(&room, user.as_deref(), said.as_bytes())?;
        Ok(Object::new().string("id", &id))
    }
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9003);
    encke::serve(([127, 0, 0, 1], port).into(), Config::default(), Box::new(Dice::default()))
}
