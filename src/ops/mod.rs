//! The roof: the command line, the log, and the act of serving.
//!
//! It knows no protocol. What it decides is where to listen, whether that is safe, and what people see of it.

mod args;
mod descriptors;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod heap;
mod key;
mod logging;

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;

use log::info;

pub use self::args::{Args, Misuse, USAGE};
use crate::chat::Chat;
use crate::reactor::Reactor;
use crate::reactor::io::{Kernel, entropy};
use crate::server::{App, Config, Server};
use crate::web::Library;

/// Serves `app` at `address`, and with it the client library (`/encke.js`), until it is asked to end: by
/// SIGTERM, from the keyboard, or with the terminal that it was started from. Says on standard output where
/// it listens, which for port 0 is the only way to know; and on standard error, if that is so, how many of
/// [`Config::connections`] the system has no room for. Where there is no publish key it draws one, and tells
/// it if standard output is a terminal.
///
/// # Errors
/// The address can't be listened at, or the system's poll fails.
pub fn serve(address: SocketAddr, mut config: Config, app: Box<dyn App>) -> io::Result<()> {
    if address.ip().is_loopback() {
        config.hosts.get_or_insert_default();
    }
    // With a key of its own the server is nobody's who doesn't show it.
    config.open_local &= address.ip().is_loopback() && config.publish_key.is_none();
    let drawn = config.publish_key.is_none().then(key::draw);
    config.publish_key = config.publish_key.or_else(|| drawn.clone());
    let (reachable, said) = descriptors::fit(config.connections, descriptors::raise());
    config.connections = reachable;
    let mut kernel = Kernel::listen(address)?;
    kernel.heed_signals()?;
    let address = kernel.address()?;
    let announcement = announcement(address, drawn.as_deref(), io::stdout().is_terminal());
    // Nobody may be reading it; that is no reason not to serve.
    let _ = io::stdout().write_all(announcement.as_bytes());
    let _ = io::stdout().flush();
    if let Some(sentence) = said {
        let _ = writeln!(io::stderr(), "encke: {sentence}");
    }
    let app: Box<dyn App> = if config.comet { Box::new(Library(app)) } else { app };
    let mut server = Server::new(config, app, Box::new(entropy));
    Reactor::new(kernel).run(&mut server)?;
    info!("ended");
    Ok(())
}

/// What is said at the start. A key that was drawn is for whoever sits at the terminal: standard output that
/// is something else is mostly a log, where others read it and where it outlives the program.
fn announcement(address: SocketAddr, drawn: Option<&str>, is_terminal: bool) -> String {
    let mut said = format!("encke listens at http://{address}\n");
    if let Some(key) = drawn.filter(|_| is_terminal) {
        said += &format!(
            "its key for back ends and moderators, until it ends: {key}\n\
             (to be sent as `Authorization: Bearer KEY`; --publish-key-file FILE makes one that stays)\n"
        );
    }
    said
}

/// The whole program: reads the command line, serves the chat, and gives back the exit status.
pub fn run() -> u8 {
    let args = match Args::parse(std::env::args_os().skip(1)) {
        Ok(args) => args,
        Err(Misuse::Help) => return say(USAGE),
        Err(Misuse::Version) => return say(concat!("encke ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(Misuse::Wrong(sentence)) => {
            eprintln!("encke: {sentence}\nencke: `encke --help` lists the options");
            return 2;
        }
    };
    logging::start(args.log);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    heap::fix();
    let address = args.address;
    let mut config = args.config;
    if let Err(sentence) = set_key(&mut config, address, args.key_file.as_deref()) {
        eprintln!("encke: {sentence}");
        return 2;
    }
    match serve(address, config, Box::new(Chat::with(args.chat))) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("encke: can't serve at {address}: {error}{}", hint(&error));
            1
        }
    }
}

/// Reads the key's file, if there is one, and judges the key.
fn set_key(config: &mut Config, address: SocketAddr, file: Option<&Path>) -> Result<(), String> {
    if let Some(path) = file {
        config.publish_key = Some(key::of_file(path)?);
        if key::is_exposed(path) {
            eprintln!(
                "encke: warning: everybody on this machine can read the key in {0}: chmod 600 {0}",
                path.display()
            );
        }
    }
    let Some(key) = &config.publish_key else { return Ok(()) };
    if let Some(warning) = key::judge(key, !address.ip().is_loopback() || config.names_proxy())? {
        eprintln!("encke: warning: {warning}");
    }
    Ok(())
}

fn say(text: &str) -> u8 {
    // A reader that went away has read enough.
    let _ = io::stdout().write_all(text.as_bytes());
    0
}

/// What to do about an error that people meet when they start a server.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program has this port, choose one with --port",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need a privilege, choose a higher one with --port"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine does not have this address",
        _ => "",
    }
}
