//! Which path is what, and which methods it takes.
//!
//! It knows the paths of the wire surface and nothing of what happens behind them.

use super::refusal::Refusal;
use super::rights::Right;
use super::transport::Transport;
use crate::wire::target::Target;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Reading, over one of the transports.
    Read(Transport),
    /// `/send`: commands of a client.
    Send,
    /// `/publish`: many messages of a back end, one a line.
    PublishMany,
    /// `/publish/{channel}`: one message of a back end.
    Publish(String),
    /// `/channels`: a listing.
    Channels,
    /// `/channels/{channel}`: one channel.
    Channel(String),
    /// `/channels/{channel}/history`: what it keeps.
    History(String),
    /// `/probe`: whether what is sent in parts arrives in parts.
    Probe,
    /// `/healthz`: whether the server serves.
    Health,
    /// `/metrics`: what it counted.
    Metrics,
    /// `*`: the server as a whole, for OPTIONS.
    Server,
    /// Anything else is the application's.
    App,
}

/// Methods that are registered and could be meant; any other is not implemented here (RFC 9110, 15.6.2).
const KNOWN_METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];

impl Route {
    /// The route of a target.
    ///
    /// # Errors
    /// A channel name in the path has a broken percent-escape.
    pub fn of(target: &Target<'_>) -> Result<Route, Refusal> {
        let path = target.path();
        let fixed = match path {
            "/ws" => Route::Read(Transport::WebSocket(None)),
            "/sse" => Route::Read(Transport::Sse),
            "/stream" => Route::Read(Transport::Stream),
            "/iframe" => Route::Read(Transport::Iframe),
            "/poll" => Route::Read(Transport::Poll),
            "/jsonp" => Route::Read(Transport::Jsonp),
            "/send" => Route::Send,
            "/publish" => Route::PublishMany,
            "/channels" => Route::Channels,
            "/probe" => Route::Probe,
            "/healthz" => Route::Health,
            "/metrics" => Route::Metrics,
            "*" => Route::Server,
            _ => Route::App,
        };
        let has_channel = path.starts_with("/publish/") || path.starts_with("/channels/");
        if !matches!(fixed, Route::App) || !has_channel {
            return Ok(fixed);
        }
        let segments: Result<Vec<_>, _> = target.segments().collect();
        let segments = segments.map_err(|error| {
            Refusal::new(
                400,
                "bad_path",
                format!("The channel's name is not percent-encoded UTF-8: {error}."),
            )
        })?;
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        Ok(match segments[..] {
            ["publish", channel] => Route::Publish(channel.to_owned()),
            ["channels", channel] => Route::Channel(channel.to_owned()),
            ["channels", channel, "history"] => Route::History(channel.to_owned()),
            _ => Route::App,
        })
    }

    /// The methods it takes, as `Allow` lists them. The application's are its own affair.
    pub fn methods(&self) -> &'static str {
        match self {
            // RFC 6455, section 4.1: the method must be GET.
            Route::Read(Transport::WebSocket(_)) => "GET, OPTIONS",
            Route::Read(_)
            | Route::Probe
            | Route::Channels
            | Route::History(_)
            | Route::Health
            | Route::Metrics => "GET, HEAD, OPTIONS",
            Route::Send | Route::PublishMany | Route::Publish(_) => "POST, OPTIONS",
            Route::Channel(_) => "GET, HEAD, DELETE, OPTIONS",
            Route::Server | Route::App => "GET, HEAD, POST, DELETE, OPTIONS",
        }
    }

    /// Whether a request of that method may go on.
    ///
    /// # Errors
    /// 501 for a method that is for no path, 405 for one that isn't for this path. Which of the methods that
    /// are known an application's path takes is the application's affair.
    pub fn admit(&self, method: &str) -> Result<(), Refusal> {
        if !KNOWN_METHODS.contains(&method) {
            return Err(Refusal::new(501, "unknown_method", "This method is not implemented here."));
        }
        if matches!(self, Route::App) || self.takes(method) {
            return Ok(());
        }
        let sentence = format!("This path takes {}.", self.methods());
        Err(Refusal::new(405, "method_not_allowed", sentence))
    }

    fn takes(&self, method: &str) -> bool {
        let mut methods = self.methods().as_bytes().split(|byte| *byte == b',');
        methods.any(|allowed| allowed.trim_ascii() == method.as_bytes())
    }

    /// What a request of that method to this route must be permitted to do. None: it is no route for back
    /// ends.
    pub fn right(&self, method: &str) -> Option<Right> {
        match self {
            Route::Publish(channel) => Some(Right::publish(channel)),
            // Line by line, when they are read.
            Route::PublishMany => Some(Right::PublishToRoom),
            Route::Channels => Some(Right::LookAtRooms),
            Route::Channel(_) if method == "DELETE" => Some(Right::Operate),
            Route::Channel(channel) | Route::History(channel) => Some(Right::look(channel)),
            Route::Metrics => Some(Right::Operate),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Route {
        Route::of(&Target::parse(path)).expect("a good path")
    }

    #[test]
    fn paths_name_routes() {
        assert_eq!(route("/ws?ch=a"), Route::Read(Transport::WebSocket(None)));
        assert_eq!(route("/publish/caf%C3%A9"), Route::Publish("café".into()));
        assert_eq!(route("/publish/a%2Fb"), Route::Publish("a/b".into()), "the hub refuses the name");
        assert_eq!(route("/channels/a/history?limit=3"), Route::History("a".into()));
        for path in ["/", "/publish/a/b", "/channels/a/b", "/WS", "/ws/"] {
            assert_eq!(route(path), Route::App, "{path}");
        }
        assert_eq!(Route::of(&Target::parse("/publish/%zz")).unwrap_err().status, 400);
    }

    #[test]
    fn methods_are_admitted_by_route() {
        assert!(Route::Send.admit("POST").is_ok());
        assert_eq!(Route::Send.admit("GET").unwrap_err().status, 405);
        assert_eq!(route("/ws").admit("HEAD").unwrap_err().status, 405);
        assert_eq!(Route::Send.admit("BREW").unwrap_err().status, 501);
        assert!(Route::Channel("a".into()).admit("DELETE").is_ok());
        assert!(Route::App.admit("PATCH").is_ok());
        assert_eq!(Route::App.admit("BREW").unwrap_err().status, 501);
    }
}
