//! The command line.
//!
//! It knows no socket: it says what was asked for, or in one sentence what is wrong with it.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use lexopt::prelude::*;
use log::LevelFilter;

use super::key;
use crate::chat::Options;
use crate::hub::is_channel_name;
use crate::limits;
use crate::server::{Config, Limits, Network, hosts, origin};

/// What `--help` prints.
pub const USAGE: &str = "\
encke: live messages for any web page, over every transport a browser has had, and a chat

Usage: encke [OPTION]...

Where to listen
  --address IP         listen at this address (127.0.0.1)
  --port N             and at this port; 0 lets the system choose and prints its choice (8080)

Who may use it
  --publish-key KEY    back ends and moderators send `Authorization: Bearer KEY`; a public address needs one
                       (better in the environment, where other users can't see it: ENCKE_PUBLISH_KEY).
                       Without one a key is drawn at each start and told on the terminal, and programs on
                       this machine publish to rooms and list them without it, until a proxy shows
  --publish-key-file FILE
                       the key is the content of FILE, which is made with a new key if it isn't there
                       (ENCKE_PUBLISH_KEY_FILE)
  --open-publish       everybody may publish to rooms without the key; only if you mean it
  --origin ORIGIN      pages of this origin may use it too, https://example.com; https://*.example.com is
                       every name below it, `*` every origin (repeatable)
  --host NAME          a name that the server is called by, chat.example; *.chat.example is every name below
                       it, `*` every one (repeatable). Other
                       names are refused once one is given, and at a loopback address always, so that no
                       site can pass for this one; addresses and localhost are always good
  --trusted-proxy NET  believe what this proxy says of whom it speaks for, in X-Forwarded-For or Forwarded:
                       an address or a network, 10.0.0.0/8 (repeatable)
  --proxy-protocol     every connection comes from a trusted proxy and begins with a PROXY header, v1 or v2
  --jsonp              serve /jsonp, which any page of any site can read
  --no-deflate         never compress WebSocket messages, nor take compressed ones

What it keeps and allows
  --history N          messages a channel keeps (1024)
  --history-bytes N    bytes a channel keeps (1M; K, M and G may follow the number)
  --history-age S      seconds a message is kept (86400)
  --message-bytes N    bytes of the largest message (64K)
  --limits WHICH       off, normal or strict: how much one address and one connection may do in a time; this
                       machine's own programs are counted only by strict, a quarter as much for all (normal)
  --memory N           bytes of all that is held for peers; near them history goes first, then readers that
                       are behind, then newcomers are refused (512M)
  --connections N      connections at a time; more are answered 503 (16384)
  --head-bytes N       bytes of a request's head, cookies and all (16K, up to 128K)
  --idle S             seconds a connection may stay between two requests (620, longer than proxies keep
                       theirs)
  --heartbeat S        seconds between two heartbeats of a stream (25)
  --grace S            seconds a client without a connection is still present (15)

The chat
  --room NAME          a room that is listed though nobody is in it (lobby; repeatable)
  --picture-bytes N    bytes of the largest picture (512K)
  --pictures-bytes N   bytes of all pictures that are kept; the oldest go (32M,
                       or a quarter of --memory)

Others
  --log LEVEL          error, warn, info, debug or trace (warn)
  --help, --version    print this, or the version

Open http://127.0.0.1:8080/ in two windows and chat; from a terminal:
  curl -N 'localhost:8080/stream?ch=lobby'
  curl -d hello localhost:8080/publish/lobby
";

/// What was asked for.
#[derive(Debug)]
pub struct Args {
    /// Where to listen.
    pub address: SocketAddr,
    /// How to serve.
    pub config: Config,
    /// The file that holds the publish key, or will.
    pub key_file: Option<PathBuf>,
    /// How to chat.
    pub chat: Options,
    /// What to log.
    pub log: LevelFilter,
}

/// Why nothing is to be served.
#[derive(Debug, PartialEq, Eq)]
pub enum Misuse {
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// A mistake, in one sentence.
    Wrong(String),
}

impl From<lexopt::Error> for Misuse {
    fn from(error: lexopt::Error) -> Misuse {
        Misuse::Wrong(error.to_string())
    }
}

impl Args {
    /// Reads the command line, without the program's name, and the environment.
    ///
    /// # Errors
    /// There is nothing to serve; the value says why.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, Misuse> {
        Args::parse_with(args, |name| std::env::var_os(name))
    }

    fn parse_with(
        args: impl IntoIterator<Item = OsString>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Args, Misuse> {
        let mut said = Secret::default();
        let mut config = Config::default();
        let mut chat = Options { rooms: Vec::new(), ..Options::default() };
        let mut address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (mut port, mut log) = (8080, LevelFilter::Warn);
        let (mut is_open, mut has_pictures) = (false, false);
        let mut parser = lexopt::Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Short('h') | Long("help") => return Err(Misuse::Help),
                Short('V') | Long("version") => return Err(Misuse::Version),
                Long("address") => address = parser.value()?.parse()?,
                Long("port") => port = parser.value()?.parse()?,
                Long("log") => log = parser.value()?.parse()?,
                Long("open-publish") => is_open = true,
                Long("jsonp") => config.jsonp = true,
                Long("trusted-proxy") => {
                    config.trusted_proxies.push(network_of(&parser.value()?.string()?)?);
                }
                Long("limits") => config.limits = limits_of(&parser.value()?.string()?)?,
                Long("proxy-protocol") => config.proxy_protocol = true,
                Long("no-deflate") => config.deflate = false,
                Long("publish-key") => {
                    said.key = Some(key_of("--publish-key", &parser.value()?)?);
                }
                Long("publish-key-file") => said.file = Some(PathBuf::from(parser.value()?)),
                Long("origin") => config.origins.push(origin_of(&parser.value()?.string()?)?),
                Long("host") => {
                    config.hosts.get_or_insert_default().push(host_of(&parser.value()?.string()?)?);
                }
                Long("room") => chat.rooms.push(room_of(&parser.value()?.string()?)?),
                Long(name) => {
                    let name = name.to_owned();
                    has_pictures |= name == "pictures-bytes";
                    set_number(&mut config, &mut chat, &name, &mut parser)?;
                }
                other => return Err(other.unexpected().into()),
            }
        }
        let Secret { key, file: key_file } = said.or_of(variable)?;
        config.publish_key = key;
        config.open_publish = is_open;
        if chat.rooms.is_empty() {
            chat.rooms = Options::default().rooms;
        }
        let share = config.memory / limits::PICTURES_MEMORY_SHARE;
        if !has_pictures {
            chat.pictures_bytes = chat.pictures_bytes.min(share);
        }
        check(&config, &chat, address, key_file.is_some())?;
        // A request carries a picture, or a message and a little around it.
        let message_bytes = config.bounds.message_bytes + limits::HEAD_BYTES_DEFAULT;
        config.message_bytes = config.message_bytes.max(message_bytes).max(chat.picture_bytes);
        Ok(Args { address: SocketAddr::new(address, port), config, key_file, chat, log })
    }
}

/// Where the publish key is: given, or in a file.
#[derive(Debug, Default, PartialEq)]
struct Secret {
    key: Option<String>,
    file: Option<PathBuf>,
}

impl Secret {
    /// What the command line says, or else the environment.
    fn or_of(self, variable: impl Fn(&str) -> Option<OsString>) -> Result<Secret, Misuse> {
        const NAME: &str = "ENCKE_PUBLISH_KEY";
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let secret = if self == Secret::default() {
            let key = variable(NAME).map(|key| key_of(NAME, &key)).transpose()?;
            Secret { key, file: variable("ENCKE_PUBLISH_KEY_FILE").map(PathBuf::from) }
        } else {
            self
        };
        if secret.key.is_some() && secret.file.is_some() {
            let sentence = "a publish key and a file with one are given: only one of them can be meant";
            return Err(Misuse::Wrong(sentence.to_owned()));
        }
        Ok(secret)
    }
}

/// What can't be meant together.
fn check(config: &Config, chat: &Options, address: IpAddr, has_file: bool) -> Result<(), Misuse> {
    let has_key = config.publish_key.is_some() || has_file;
    if !has_key && !config.open_publish && !address.is_loopback() {
        return Err(Misuse::Wrong(format!(
            "at {address} strangers reach this program, and back ends need a key: set ENCKE_PUBLISH_KEY to a \
             secret, or name a file for one with --publish-key-file, or say --open-publish"
        )));
    }
    let is_loopback = |proxy: &Network| {
        [IpAddr::from([127, 0, 0, 1]), IpAddr::from(Ipv6Addr::LOCALHOST)].iter().any(|own| proxy.has(*own))
    };
    if address.is_loopback()
        && !config.trusted_proxies.is_empty()
        && !config.trusted_proxies.iter().any(is_loopback)
    {
        return Err(Misuse::Wrong(format!(
            "at {address} every connection comes from this machine: name the proxy on it with \
             --trusted-proxy 127.0.0.1, without which no other is heard"
        )));
    }
    if config.proxy_protocol && config.trusted_proxies.is_empty() {
        return Err(Misuse::Wrong(
            "--proxy-protocol needs to know whose word to take: name the proxy with --trusted-proxy"
                .to_owned(),
        ));
    }
    if config.bounds.message_bytes >= config.bounds.channel_bytes {
        return Err(Misuse::Wrong("--message-bytes must be less than --history-bytes".to_owned()));
    }
    if chat.pictures_bytes > config.memory / limits::PICTURES_MEMORY_SHARE {
        let share = limits::PICTURES_MEMORY_SHARE;
        return Err(Misuse::Wrong(format!("--memory must be at least {share} times --pictures-bytes")));
    }
    if config.connections > config.memory / limits::MEMORY_PER_CONNECTION {
        let least = config.connections * limits::MEMORY_PER_CONNECTION;
        return Err(Misuse::Wrong(format!("--memory must be at least {least} for so many --connections")));
    }
    let share = chat.pictures_bytes / limits::PICTURE_SHARE;
    if chat.picture_bytes + limits::PICTURE_OVERHEAD_BYTES > share {
        return Err(Misuse::Wrong(format!(
            "--pictures-bytes must be a little more than {} times --picture-bytes",
            limits::PICTURE_SHARE
        )));
    }
    Ok(())
}

/// The options whose value is a number within bounds.
fn set_number(
    config: &mut Config,
    chat: &mut Options,
    name: &str,
    parser: &mut lexopt::Parser,
) -> Result<(), Misuse> {
    let (least, most) = match name {
        "history" => (1, 1_000_000),
        "history-bytes" => (4 * 1024, limits::LOG_BYTES_MAX as u64 / 2),
        "history-age" => (1, 10 * 365 * 86_400),
        "message-bytes" => (256, 16 << 20),
        "memory" => (limits::MEMORY_MIN as u64, 1 << 40),
        "connections" => (1, limits::LINKS_MAX as u64),
        "heartbeat" => (limits::HEARTBEAT_S_MIN, limits::HEARTBEAT_S_MAX),
        "grace" => (0, 3_600),
        "idle" => (limits::IDLE_S_MIN, limits::IDLE_S_MAX),
        "head-bytes" => (limits::HEAD_BYTES_MIN as u64, limits::HEAD_BYTES_MAX as u64),
        "picture-bytes" => (1_024, 64 << 20),
        "pictures-bytes" => (8 * 1024, 16 << 30),
        _ => return Err(Misuse::Wrong(format!("there is no option --{name}"))),
    };
    let text = parser.value()?.string()?;
    let number = number_of(&text).filter(|number| (least..=most).contains(number));
    let number = number.ok_or_else(|| {
        Misuse::Wrong(format!("--{name} takes a number from {least} to {most}, and `{text}` is none"))
    })?;
    match name {
        "history" => config.bounds.channel_messages = number as usize,
        "history-bytes" => config.bounds.channel_bytes = number as usize,
        "history-age" => config.bounds.message_kept_ms = number * 1000,
        "message-bytes" => config.bounds.message_bytes = number as usize,
        "memory" => config.memory = usize::try_from(number).unwrap_or(usize::MAX),
        "connections" => config.connections = number as usize,
        "heartbeat" => config.heartbeat_s = number,
        "idle" => config.idle_ms = number * 1000,
        "head-bytes" => config.head_bytes = number as usize,
        "picture-bytes" => chat.picture_bytes = number as usize,
        "pictures-bytes" => chat.pictures_bytes = number as usize,
        _ => config.grace_ms = number * 1000,
    }
    Ok(())
}

/// A number with K, M or G behind it, perhaps.
fn number_of(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 1024),
        b'G' | b'g' => (&text[..text.len() - 1], 1024 * 1024 * 1024),
        b'M' | b'm' => (&text[..text.len() - 1], 1024 * 1024),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// What is no UTF-8 is no key either, and not nothing: a key that is left out in silence would be missed too
/// late.
fn key_of(name: &str, text: &OsStr) -> Result<String, Misuse> {
    key::parse(name, &text.to_string_lossy()).map_err(Misuse::Wrong)
}

fn limits_of(text: &str) -> Result<Limits, Misuse> {
    match text {
        "off" => Ok(Limits::Off),
        "normal" => Ok(Limits::Normal),
        "strict" => Ok(Limits::Strict),
        _ => Err(Misuse::Wrong(format!("--limits takes off, normal or strict, not `{text}`"))),
    }
}

fn network_of(text: &str) -> Result<Network, Misuse> {
    Network::parse(text).ok_or_else(|| {
        Misuse::Wrong(format!("--trusted-proxy takes an address or a network like 10.0.0.0/8, not `{text}`"))
    })
}

fn host_of(text: &str) -> Result<String, Misuse> {
    let wrong = || {
        Misuse::Wrong(format!(
            "--host takes a name as browsers send it, without scheme and port, not `{text}`"
        ))
    };
    hosts::parse(text).ok_or_else(wrong)
}

fn room_of(text: &str) -> Result<String, Misuse> {
    if is_channel_name(text) && !text.starts_with('@') {
        return Ok(text.to_owned());
    }
    Err(Misuse::Wrong(format!(
        "--room takes a name of 1 to 128 bytes without / , ? # and no @ first, not `{text}`"
    )))
}

fn origin_of(text: &str) -> Result<String, Misuse> {
    origin::parse(text).map_err(|wants| Misuse::Wrong(format!("--origin takes {wants}, not `{text}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, Misuse> {
        Args::parse_with(line.split_whitespace().map(OsString::from), |_| None)
    }

    fn wrong(line: &str) -> String {
        match parse(line) {
            Err(Misuse::Wrong(sentence)) => sentence,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_those_that_the_help_tells() {
        let args = parse("").unwrap();
        assert_eq!(args.address.to_string(), "127.0.0.1:8080");
        assert_eq!(args.config.bounds.channel_messages, 1024);
        assert_eq!(args.config.bounds.channel_bytes, 1 << 20);
        assert_eq!(args.config.bounds.message_kept_ms, 86_400_000);
        assert_eq!(args.config.bounds.message_bytes, 64 << 10);
        assert_eq!(args.config.memory, 512 << 20);
        assert_eq!(
            (args.config.connections, args.config.heartbeat_s, args.config.grace_ms),
            (16_384, 25, 15_000)
        );
        assert_eq!((args.config.head_bytes, args.config.idle_ms), (16 << 10, 620_000));
        let args = parse("--head-bytes 128K --idle 3700").unwrap();
        assert_eq!((args.config.head_bytes, args.config.idle_ms), (128 << 10, 3_700_000));
    }

    #[test]
    fn options_are_taken() {
        let args =
            parse("--port 0 --history 9 --history-bytes 2M --origin HTTPS://A.example --jsonp --log debug");
        let args = args.unwrap();
        assert_eq!((args.address.port(), args.log), (0, LevelFilter::Debug));
        assert_eq!((args.config.bounds.channel_messages, args.config.bounds.channel_bytes), (9, 2 << 20));
        assert_eq!(args.config.origins, ["https://a.example"]);
        assert!(args.config.jsonp && args.config.deflate);
        assert!(!parse("--no-deflate").unwrap().config.deflate);
        let hosts = parse("--host a.example --host b.example").unwrap().config.hosts;
        assert_eq!(hosts.as_deref(), Some(&["a.example".to_owned(), "b.example".to_owned()][..]));
        assert_eq!(args.chat.rooms, ["lobby"]);
        let args = parse("--room tea --room café --picture-bytes 4M").unwrap();
        assert_eq!(args.chat.rooms, ["tea", "café"]);
        assert_eq!((args.chat.picture_bytes, args.config.message_bytes), (4 << 20, 4 << 20));
    }

    #[test]
    fn a_public_address_needs_a_key_or_a_word() {
        assert!(wrong("--address 0.0.0.0").contains("ENCKE_PUBLISH_KEY"));
        assert!(parse("--address 0.0.0.0 --open-publish").is_ok());
        assert!(parse("--address :: --publish-key s3cret").is_ok());
        assert!(parse("--address :: --publish-key-file encke.key").is_ok());
        assert!(parse("--address ::1").is_ok());
    }

    #[test]
    fn a_key_comes_from_the_command_line_or_the_environment() {
        let with = |line: &str, name: &str, value: OsString| {
            let args = line.split_whitespace().map(OsString::from);
            Args::parse_with(args, move |asked| (asked == name).then(|| value.clone()))
        };
        let keys =
            |args: Args| (args.config.publish_key, args.key_file.map(|path| path.display().to_string()));
        let in_key = |line: &str, value: &str| with(line, "ENCKE_PUBLISH_KEY", value.into()).map(keys);
        let in_file = |line: &str, value: &str| with(line, "ENCKE_PUBLISH_KEY_FILE", value.into()).map(keys);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(in_key("", "k1"), Ok((some("k1"), None)));
        assert_eq!(in_key("--publish-key k2", "k1"), Ok((some("k2"), None)));
        assert_eq!(in_key("--publish-key-file f", "k1"), Ok((None, some("f"))));
        assert_eq!(in_file("", "f"), Ok((None, some("f"))));
        assert_eq!(in_file("--publish-key k2", "f"), Ok((some("k2"), None)));
        assert_eq!(in_key("", ""), Ok((None, None)));
        assert!(in_key("", "two words").is_err() && in_key("", "é").is_err());
        assert!(wrong("--publish-key a --publish-key-file b").contains("only one"));
        #[cfg(unix)]
        {
            let no_text = std::os::unix::ffi::OsStringExt::from_vec(b"k\xff".to_vec());
            assert!(with("", "ENCKE_PUBLISH_KEY", no_text).is_err());
        }
    }

    #[test]
    fn mistakes_say_what_would_be_right() {
        assert!(wrong("--history 0").contains("from 1 to"));
        assert!(wrong("--history many").contains("`many`"));
        assert!(wrong("--head-bytes 8K").contains("from 12288 to 131072"));
        assert!(wrong("--idle 0").contains("from 1 to 86400"));
        assert!(wrong("--histroy 3").contains("--histroy"));
        assert!(wrong("--origin example.com").contains("scheme://"));
        assert!(wrong("--host https://example.com").contains("without scheme"));
        assert!(wrong("--message-bytes 2M").contains("--history-bytes"));
        assert!(wrong("--trusted-proxy 10.0.0.1/8").contains("10.0.0.0/8"));
        assert!(wrong("--origin https://*.com").contains("two labels"));
        assert!(wrong("--origin https://example.com/").contains("without a path"));
        assert!(wrong("--host 127.1").contains("as browsers send it"));
        assert!(wrong("--trusted-proxy 10.0.0.1").contains("127.0.0.1"));
        assert!(parse("--trusted-proxy 10.0.0.1 --trusted-proxy 127.0.0.1").is_ok());
        assert!(parse("--address 0.0.0.0 --open-publish --trusted-proxy 10.0.0.1").is_ok());
        assert!(wrong("--limits none").contains("strict"));
        assert_eq!(parse("--limits strict").unwrap().config.limits, Limits::Strict);
        assert!(wrong("--proxy-protocol").contains("--trusted-proxy"));
        assert!(parse("--proxy-protocol --trusted-proxy ::1 --trusted-proxy 10.0.0.0/8").is_ok());
        assert!(wrong("--picture-bytes 9M").contains("--pictures-bytes"));
        assert!(wrong("--pictures-bytes 200M").contains("--memory"));
        assert_eq!(parse("--memory 16M").unwrap().chat.pictures_bytes, 4 << 20);
        assert!(wrong("--memory 16M --connections 20000").contains("--memory must be at least 20480000"));
        assert!(parse("--memory 20480000 --connections 20000").is_ok());
        assert!(wrong("--room @ann").contains("@ann") && wrong("--room a/b").contains("a/b"));
        assert!(wrong("extra").contains("extra"));
        assert_eq!(parse("--port 70000").is_err(), parse("--help").is_err());
    }
}
