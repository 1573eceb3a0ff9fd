// encke.js, the browser client of encke: its types, and how to use it. How it works is told in the file itself,
// served as /encke.src.js; /encke.js is the same in a compact form. As a plain script it leaves the global
// `Encke`; in Node and bundlers it is a CommonJS module; encke.mjs beside it is the same as an ES module.
//
//   var c = Encke({ channels: ["lobby"] });
//   c.on("message", function (m) { show(m.from, m.data); });
//   c.on("state", function (state, why) { light(state, c.transport, why); });
//   c.publish("lobby", "hello").then(function (reply) { tick(reply.id); });
//
// What a page may rely on: each message once and in order, or a `gap`, whatever happens to the network, the
// transport, the server or the page's tab; each command answered once, each publish made one message of the log at
// most. What a page says while there is no link waits for one.
//
// Once. A publish whose answer was lost is sent again, with the same key, after however long. The server knows the
// key as long as it keeps the message. If it may have forgotten both (hours later, in a busy channel), nothing is
// published and the answer is the failure `unknown`: look whether it is there. After a restart of the server without
// a log on disk there is a new log, which nothing of the old one is in; what the old one had not answered for is
// published in the new one, so those who were told of it before the restart may be told of it again.
//
// Commands other than `publish` have no key: one whose answer was lost is carried out again. `login`, `subscribe` and
// the like mean the same the second time; of an application's own commands that is for the application to see to.
//
// Names. What is published goes out under the name of the last `login`. When the server has forgotten us, and the
// name is somebody else's by now, publishes fail with what the login was refused for (`nick_taken`, told as an
// `error` too) until a `login` succeeds.
//
// Full. At most 1,000 commands of a tab wait for an answer. One more fails at once with the code `queue_full`, and
// is not sent: say so, and keep what was written. `publish` without a callback returns a promise that is rejected
// then; whoever calls it has to look. What is no JSON (a circle, a BigInt) fails with `bad_data`. Everything is copied
// when it is said.
//
// Tabs. The tabs of an origin that name the same server, token, transports and heartbeat share one connection.
// To the server they are one client: they have one `sid` and one user, and a login in one is a login in all.
// Subscriptions, messages, replies and handlers are each tab's own. A page that wants a client of its own, with
// another name than the other tabs, says `share: false`; browsers allow six connections to an HTTP/1.1 server,
// so the seventh such tab may wait for one.
//
// Frames in a sandbox, full or forbidden storage, old browsers: where the tabs can't agree, each has a connection
// of its own.
//
// Reading alone. A page that only reads sends nothing but its reading requests, so a network that refuses POST does
// no harm. With `readOnly` it stays so: `subscribe` and `unsubscribe` work by the reading requests, without `last`,
// and every other command fails with `read_only`. Where POST is refused and a page writes, each command fails with
// what was answered (`http_405`); a refusal that no command waits for comes as one `error`.
//
// Time is counted by `performance.now()`, so the computer's clock may be set. A browser without that has the clock
// alone: when it is set back, no time passes; when it is set ahead, that looks like sleep, and costs a connection.
//
// Where pages of another site may not read the server's answers, JSONP must be named in `transports`, since
// nothing shows such a page that the server is there.

export type Transport =
  | "websocket" | "sse" | "fetch" | "xhr" | "htmlfile" | "iframe" | "longpoll" | "jsonp" | "shortpoll";

export type State = "connecting" | "live" | "retrying" | "closed";

export interface Options {
  /** The server's origin, and a path in front if there is one. Left out: where the page is from. */
  url?: string;
  /** Channels to read from the beginning. */
  channels?: string[];
  /** Which transports to use, best first; one alone is never left. Left out: all, websocket first. */
  transports?: Transport[] | Transport;
  /** Sent as the parameter `token`, for an application to look at. */
  token?: string;
  /** Begin with that many latest messages of each channel. Without it, reading starts now. */
  last?: number;
  /** Seconds between two heartbeats; two of them missing end a link. */
  heartbeat?: number;
  /** Go on after this cursor, as `cursor` gave it: after a reload, nothing is lost. */
  since?: string;
  /** Go on as this client, as `sid` gave it. It is a secret. A tab that finds a leader is that one's client. */
  sid?: string;
  /** Share one connection among the tabs of this origin. Left out: yes. */
  share?: boolean;
  /** Only read: nothing is ever sent but reading requests. */
  readOnly?: boolean;
}

export interface Message {
  type: "message";
  /** The cursor after it. */
  id: string;
  ch: string;
  /** The server's word, never the sender's. */
  from: string | null;
  /** Milliseconds since 1970. */
  at: number;
  data: unknown;
  /** `data` is base64 of bytes that are no text. */
  encoding?: "base64";
}

export interface Presence {
  type: "presence";
  id: string;
  ch: string;
  event: "join" | "leave" | "away" | "back";
  user: string;
  count: number;
}

/** Messages of a channel are missing before `cursor`. */
export interface Gap {
  type: "gap";
  ch: string;
  why: "evicted" | "restarted";
  cursor: string;
}

/** One link that is over, or a transport that was not even tried. */
export interface Tried {
  transport: Transport;
  /** Milliseconds. */
  lived: number;
  /** Why it ended, for people. */
  why: string;
  /** The transport was given up for the next of the list. */
  left: boolean;
}

export interface Reply {
  ok: true;
  [member: string]: unknown;
}

/**
 * `code` is for programs, `message` for people. The server's codes, and the library's own: `queue_full`, `bad_data`,
 * `read_only`, `closed`, `message_too_long` (a WebSocket was closed for it), and `http_` with a status that something in between answered.
 */
export interface Failure extends Error {
  code: string;
  /** Milliseconds after which it may be tried again. What can be waited for in half a minute was waited for. */
  retry?: number;
}

export interface Events {
  message: Message;
  presence: Presence;
  gap: Gap;
  welcome: { type: "welcome"; sid: string; cursor: string; heartbeat: number; epoch: string };
  heartbeat: { type: "heartbeat"; at: number };
  /** The server ends this link; the client comes back after `retry` ms, under its name, unless it is closed now. */
  bye: { type: "bye"; why: string; retry: number };
  /** An entry of `trail`, as it is made. */
  trail: Tried;
  /** `rtt` was measured. */
  rtt: number;
  /** Something was refused that nobody is waiting for. */
  error: Failure;
}

type Answer<T> = (error: Failure | null, reply?: T) => void;

export interface Client {
  readonly state: State;
  /** The one in use, or empty between two links. */
  readonly transport: Transport | "";
  /** What was tried, how long it lived, why it ended: the last fifty. It is the leading tab's, as are `state` and `transport`. */
  readonly trail: Tried[];
  /** Milliseconds that the last command took to be answered; 0 before the first. Over WebSocket, and where the page has written, measured every 25 s at least. */
  readonly rtt: number;
  readonly sid: string;
  readonly cursor: string;

  on<K extends keyof Events>(type: K, act: (event: Events[K]) => void): this;
  on(type: "state", act: (state: State, why?: string) => void): this;
  /** An application's own events have names of its own, and come over every transport. */
  on(type: string, act: (event: any) => void): this;
  /** Without `act`: all handlers of the type. */
  off(type: string, act?: (...said: any[]) => void): this;

  /** What is published waits for a link if there is none, and arrives once or fails. The reply's `id` is the cursor after it. */
  publish(ch: string, data: unknown): Promise<Reply & { id: string }>;
  publish(ch: string, data: unknown, answer: Answer<Reply & { id: string }>): void;
  subscribe(ch: string, how?: { last?: number; since?: string }): Promise<Reply>;
  subscribe(ch: string, how: { last?: number; since?: string } | undefined, answer: Answer<Reply>): void;
  unsubscribe(ch: string, answer?: Answer<Reply>): Promise<Reply>;
  /** Repeated by itself when the server has forgotten us. The reply's `secret` proves later whose name it is. */
  login(who: string | { nick: string; secret?: string }): Promise<Reply & { user: string; secret: string }>;
  login(who: string | { nick: string; secret?: string }, answer: Answer<Reply>): void;
  who(ch: string, answer?: Answer<Reply>): Promise<Reply & { users: string[]; count: number; readers: number }>;
  history(ch: string, how?: { before?: string; limit?: number }): Promise<Reply & { messages: Message[]; more: boolean }>;
  history(ch: string, how: { before?: string; limit?: number } | undefined, answer: Answer<Reply>): void;
  /** Any other command of the server or its application. */
  command(op: string, fields?: object, answer?: Answer<Reply>): Promise<Reply>;

  /** Other transports from now on, in all tabs; nothing is lost or doubled. Left out: all. */
  use(transports?: Transport[] | Transport): this;
  /** For good. What was not answered fails with the code `closed`. */
  close(): void;
}

declare const Encke: {
  (options?: Options): Client;
  new (options?: Options): Client;
  readonly transports: Transport[];
};

export default Encke;
export as namespace Encke;
